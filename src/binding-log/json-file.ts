// SPDX-License-Identifier: Apache-2.0
/**
 * A file of JSON lines, appended to. One that was renamed or deleted is opened anew by its name before the next lines
 * are written, so logrotate needs no signal. What cannot be written is counted, and told once.
 */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '../log.ts'
import { JsonLines, noteLine } from './json-lines.ts'
import type { Target, TargetStats } from './target.ts'

/** Bytes that may wait for a slow disk. */
const MAX_WAITING = 16 << 20

/** Without O_NONBLOCK a pipe that nobody reads would block the opening. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

const NEWLINE = Buffer.from('\n')

interface Lines {
  readonly text: Buffer
  readonly events: number
}

export class JsonFile implements Target {
  readonly #path: string
  readonly #log: Log
  readonly #lines = new JsonLines()
  #file: FileHandle
  #identity: Pick<Stats, 'ino' | 'dev'>
  #waiting: Lines[] = []
  #waitingBytes = 0
  #work: Promise<void> | undefined
  #written = 0
  #lost = 0
  #error = ''
  /** The last write ended within a line. */
  #torn = false

  /** Throws when the file cannot be opened. */
  static async open(path: string, log: Log, existing: number): Promise<JsonFile> {
    await mkdir(dirname(path), { recursive: true, mode: 0o750 })
    const file = await open(path, FLAGS, 0o640)
    const target = new JsonFile(path, log, file, await file.stat())
    target.#push({ text: noteLine('start', { bindings: existing }), events: 0 })
    return target
  }

  private constructor(path: string, log: Log, file: FileHandle, identity: Stats) {
    this.#path = path
    this.#log = log
    this.#file = file
    this.#identity = identity
  }

  setPools(pools: readonly (readonly string[])[]): void {
    this.#lines.setPools(pools)
  }

  write(records: Buffer, count: number): void {
    if (this.#waitingBytes >= MAX_WAITING) this.#lost += count
    else this.#push({ text: this.#lines.lines(records, count), events: count })
  }

  missed(events: number): void {
    this.#push({ text: noteLine('lost', { events }), events: 0 })
  }

  #push(lines: Lines): void {
    this.#waiting.push(lines)
    this.#waitingBytes += lines.text.length
    this.#work ??= this.#writeAll().finally(() => {
      this.#work = undefined
    })
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      const events = batch.reduce((sum, lines) => sum + lines.events, 0)
      this.#waiting = []
      this.#waitingBytes = 0
      try {
        await this.#follow()
        await this.#append(Buffer.concat(batch.map(({ text }) => text)))
        this.#written += events
        if (this.#error !== '') this.#log.info({ file: this.#path }, 'the log of bindings is written again')
        this.#error = ''
      } catch (error) {
        this.#lost += events
        const { message } = error as Error
        if (this.#error === '')
          this.#log.error({ file: this.#path, reason: message }, 'the log of bindings loses events')
        this.#error = message
      }
    }
  }

  /** To the file that has the name now. */
  async #follow(): Promise<void> {
    const now = await stat(this.#path).catch(() => undefined)
    if (now && now.ino === this.#identity.ino && now.dev === this.#identity.dev) return
    const file = await open(this.#path, FLAGS, 0o640)
    const old = this.#file
    this.#file = file
    this.#identity = await file.stat()
    this.#torn = false
    await old.close()
  }

  async #append(lines: Buffer): Promise<void> {
    const bytes = this.#torn ? Buffer.concat([NEWLINE, lines]) : lines
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done)
      done += bytesWritten
      this.#torn = bytes[done - 1] !== NEWLINE[0]
    }
  }

  stats(): TargetStats {
    return { target: this.#path, format: 'json', written: this.#written, lost: this.#lost, error: this.#error }
  }

  async close(): Promise<void> {
    this.#push({ text: noteLine('stop'), events: 0 })
    await this.#work
    await this.#file.close()
  }
}
