// SPDX-License-Identifier: Apache-2.0
/** Keeps a program running: started again with a growing pause when it ends, stopped for good by close(). */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { CloseOptions } from '../service.ts'
import type { ChildProcess, ExitInfo, System } from './system.ts'

const FIRST_PAUSE = 1000
const LONGEST_PAUSE = 60_000

/** A program that ran this long has proved itself: its next end is not the continuation of a series. */
const STEADY = 60_000

/** Time to say goodbye before it is killed. */
const GRACE = 3000

export interface Program {
  readonly command: string
  readonly args: readonly string[]
  /** Debian package that has the command. */
  readonly package: string
  readonly onLine?: (line: string) => void
}

export interface ProgramStatus {
  readonly state: 'running' | 'waiting' | 'stopped'
  readonly pid: number | null
  readonly restarts: number
  readonly lastExit: string | null
}

function wordsFor({ code, signal }: ExitInfo): string {
  return signal ? `signal ${signal}` : `exit status ${code}`
}

export class Supervised {
  readonly #system: System
  readonly #clock: Clock
  readonly #log: Log
  readonly #program: Program
  #child: ChildProcess | undefined
  #cancel: () => void = () => {}
  #since = 0
  #pause = FIRST_PAUSE
  #restarts = 0
  #lastExit: string | null = null
  #closed = false

  constructor(system: System, clock: Clock, log: Log, program: Program) {
    this.#system = system
    this.#clock = clock
    this.#log = log.child({ program: program.command })
    this.#program = program
    this.#start()
  }

  #start(): void {
    const { command, args, package: debianPackage, onLine } = this.#program
    const child = this.#system.spawn(command, args, {
      package: debianPackage,
      onLine: (line, stream) => {
        if (stream === 'out' && onLine) onLine(line)
        else this.#log.info({ line }, 'says')
      },
    })
    this.#child = child
    this.#since = this.#clock.now()
    this.#log.info({ pid: child.pid }, 'started')
    void child.exited.then((exit) => this.#ended(exit))
  }

  #ended(exit: ExitInfo): void {
    this.#child = undefined
    this.#lastExit = wordsFor(exit)
    if (this.#closed) return
    if (this.#clock.now() - this.#since >= STEADY) this.#pause = FIRST_PAUSE
    this.#log.warn({ exit: this.#lastExit, pause: this.#pause / 1000 }, 'ended and is started again')
    this.#cancel = this.#clock.after(this.#pause, () => this.#again())
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE)
  }

  #again(): void {
    this.#restarts++
    try {
      this.#start()
    } catch (error) {
      this.#log.error({ err: error }, 'cannot be started')
      this.#ended({ code: null, signal: null })
    }
  }

  /** Has it read its configuration again, now or when it is back. */
  reload(): void {
    this.#child?.kill('SIGHUP')
  }

  status(): ProgramStatus {
    return {
      state: this.#closed ? 'stopped' : this.#child ? 'running' : 'waiting',
      pid: this.#child?.pid ?? null,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    }
  }

  /** With `keep` it is killed, so that it tells nobody that it goes. */
  async close({ keep }: CloseOptions = {}): Promise<void> {
    this.#closed = true
    this.#cancel()
    const child = this.#child
    if (!child) return
    child.kill(keep ? 'SIGKILL' : 'SIGTERM')
    const cancel = this.#clock.after(GRACE, () => child.kill('SIGKILL'))
    await child.exited
    cancel()
  }
}
