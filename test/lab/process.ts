// SPDX-License-Identifier: Apache-2.0
/** Commands run to their end, and processes that run beside the test until they are stopped. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | Buffer
  /** Seconds until it is killed. */
  readonly timeout?: number
  readonly env?: Record<string, string>
}

/** Runs to the end whatever the exit code; 124 is a time-out, as in timeout(1). */
export function attempt(command: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const settings = {
      timeout: (options.timeout ?? 60) * 1000,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 64 << 20,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    }
    const child = execFile(command, args, settings, (error, stdout, stderr) => {
      if (error && typeof error.code === 'string') return reject(new Error(`${command}: ${error.message}`))
      const code = error ? (error.killed ? 124 : Number(error.code ?? 128)) : 0
      resolve({ code, stdout, stderr })
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.input ?? '')
  })
}

/** Runs to the end; anything but exit 0 is an error that shows what the command said. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, args, options)
  if (code === 0) return stdout
  throw new Error(`${[command, ...args].join(' ')}: exit ${code}\n${stderr.trim()}\n${stdout.trim()}`.trim())
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process beside the test; its output is kept and can be waited for. */
export class Background {
  readonly child: ChildProcess
  readonly title: string
  readonly exited: Promise<Exit>
  output = ''
  exit: Exit | undefined
  #watchers = new Set<() => void>()

  constructor(command: string, args: readonly string[], options: { env?: Record<string, string>; ipc?: boolean } = {}) {
    this.title = [command, ...args].join(' ')
    this.child = spawn(command, args, {
      stdio: options.ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
      // Ctrl-C reaches the whole foreground group; these end when their owner has told them to.
      detached: true,
    })
    const keep = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-4 << 20)
      this.#wake()
    }
    this.child.stdout?.on('data', keep)
    this.child.stderr?.on('data', keep)
    this.child.on('message', () => this.#wake())
    this.exited = new Promise((resolve) => {
      const done = (exit: Exit) => {
        this.exit ??= exit
        this.#wake()
        resolve(this.exit)
      }
      this.child.on('error', (error) => {
        this.output += `${error.message}\n`
        done({ code: 127, signal: null })
      })
      this.child.on('close', (code, signal) => done({ code, signal }))
    })
  }

  #wake() {
    for (const watcher of [...this.#watchers]) watcher()
  }

  /** Waits until the output matches, failing when the process ends first. */
  waitFor(pattern: RegExp, seconds = 20): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (action: () => void) => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        action()
      }
      const look = () => {
        const match = pattern.exec(this.output)
        if (match) settle(() => resolve(match))
        else if (this.exit) settle(() => reject(this.#failure(`ended before it printed ${pattern}`)))
      }
      const timer = setTimeout(() => settle(() => reject(this.#failure(`did not print ${pattern}`))), seconds * 1000)
      this.#watchers.add(look)
      look()
    })
  }

  /** Waits for the first message of a Node child. */
  ready(seconds = 20): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#failure('sent no message')), seconds * 1000)
      const settle = (action: () => void) => {
        clearTimeout(timer)
        action()
      }
      this.child.once('message', (message) => settle(() => resolve(message)))
      this.exited.then(() => settle(() => reject(this.#failure('ended before it was ready'))))
    })
  }

  #failure(what: string) {
    const end = this.exit ? ` (exit ${this.exit.code ?? this.exit.signal})` : ''
    return new Error(`${this.title} ${what}${end}\n${this.output.slice(-4000)}`)
  }

  /** Waits for the end and demands exit 0. */
  async success(seconds = 60): Promise<string> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), seconds * 1000)
    const exit = await this.exited
    clearTimeout(timer)
    if (exit.code !== 0) throw this.#failure('failed')
    return this.output
  }

  /** Ends it: the signal first, SIGKILL when that is not heeded. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', seconds = 10): Promise<Exit> {
    if (!this.exit) this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), seconds * 1000)
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }
}

/** Asks again until the answer is there; for states that the system announces to nobody. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 20,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain: ${what}`, { cause: last })
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
