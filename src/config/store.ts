// SPDX-License-Identifier: Apache-2.0
/**
 * The configuration over time: which text runs at start, how it is changed, confirmed and rolled back, and
 * what of it is on the disk.
 *
 * FILE is what the operator edits (`sixgate run -c FILE`). The state directory holds
 *   last-good.yaml   the configuration that ran last and needs no confirmation, as it was written
 *   state.json       which FILE that was, the hash of FILE's text when the daemon last dealt with it, and the
 *                    change that waits for its confirmation
 *   previous.yaml    the text that the last change replaced
 *
 * At start the latest act wins. When FILE was edited since the daemon last dealt with it, FILE runs. Else
 * last-good.yaml runs, which also holds what was applied through the API while FILE could not be written. When
 * a change was waiting for its confirmation, last-good.yaml runs: the change is undone. A faulty FILE is
 * refused, unless `--last-good` was given.
 *
 * A change is written to last-good.yaml, then through to FILE if it can be written; a change with a confirm
 * time-out only once it is confirmed. A rollback leaves FILE alone. An edit of FILE that was never applied is
 * kept beside it as FILE.unapplied before FILE is overwritten.
 *
 * Power may fail anywhere: the rename of last-good.yaml is the moment a change counts.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Clock, systemClock } from '../clock.ts'
import { type Fault, GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { type DiskStep, prepare, readConfigFile, readIfThere, sha256, writeDurably } from './durable.ts'
import { type Revision, readRevision } from './revision.ts'
import type { Config } from './schema.ts'
import { type Pending, parseState, type State } from './state.ts'

export interface StoreOptions {
  readonly file: string
  readonly stateDirectory: string
  /** Start with the last good configuration when FILE is missing or faulty. */
  readonly lastGood?: boolean
  readonly log: Log
  readonly clock?: Clock
  readonly step?: DiskStep
}

export interface ChangeOptions {
  /** Entity tags the caller has seen; the change is refused when none is the running one. */
  readonly ifMatch?: string
  /** Undo the change after so many seconds unless it is confirmed. */
  readonly confirm?: number
}

export type Apply = (config: Config) => Promise<void>

/** The wait before a rollback that failed is tried again. */
const RETRY = 10_000

export class ConfigStore {
  readonly file: string
  /** Where the configuration that started came from. */
  readonly origin: 'file' | 'last-good'
  #directory: string
  #log: Log
  #clock: Clock
  #step: DiskStep
  #state: State
  #good: Revision
  #waiting: { revision: Revision; deadline: string; cancel: () => void } | undefined
  #apply: Apply | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #closed = false

  /** Decides what runs; nothing is written before started(). */
  constructor(options: StoreOptions) {
    this.file = resolve(options.file)
    this.#directory = options.stateDirectory
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#step = options.step ?? (() => {})
    const state = this.#readState()
    const start = this.#choose(state, options.lastGood === true)
    this.#good = start.revision
    this.origin = start.origin
    this.#state = { version: 1, file: this.file, seen: start.seen, pending: null }
  }

  get config(): Config {
    return this.#running.config
  }

  get text(): string {
    return this.#running.text
  }

  get etag(): string {
    return this.#running.etag
  }

  /** What of the running configuration is hardly meant so. */
  get warnings(): readonly Fault[] {
    return this.#running.warnings
  }

  get pending(): (Pending & { readonly secondsLeft: number }) | undefined {
    if (!this.#waiting) return undefined
    const { revision, deadline } = this.#waiting
    const left = Math.max(0, Date.parse(deadline) - this.#clock.now())
    return { etag: revision.etag, deadline, secondsLeft: Math.ceil(left / 1000) }
  }

  get #running(): Revision {
    return this.#waiting?.revision ?? this.#good
  }

  /**
   * The configuration runs: it is the last good one from now on, and `apply` carries out changes. A full disk keeps
   * no gateway from starting; changes are refused while it lasts.
   */
  started(apply: Apply): void {
    this.#apply = apply
    this.#warn(this.#good)
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      if (readIfThere(this.#path('last-good.yaml')) !== this.#good.text) this.#write('last-good.yaml', this.#good.text)
      this.#writeState()
    } catch (error) {
      const { message, remedy } = this.#unwritable(error)
      this.#log.error({ reason: message, remedy }, 'the last good configuration cannot be kept')
    }
  }

  change(text: string, options: ChangeOptions = {}): Promise<Revision> {
    return this.edit(() => text, options)
  }

  /** Changes the text as it is when the turn comes; `transform` may throw to refuse. */
  edit(transform: (text: string, config: Config) => string, options: ChangeOptions = {}): Promise<Revision> {
    return this.#inTurn(async () => {
      if (this.#waiting) throw new GatewayError('CONFLICT_PENDING', { detail: `until ${this.#waiting.deadline}` })
      this.#match(options.ifMatch)
      const revision = readRevision(transform(this.text, this.config), 'configuration')
      if (options.confirm === undefined) await this.#replace(revision)
      else await this.#tryOut(revision, options.confirm)
      this.#warn(revision)
      return revision
    })
  }

  confirm(): Promise<Revision> {
    return this.#inTurn(async () => {
      const waiting = this.#expectPending()
      this.#guardDisk(() => this.#commit(waiting.revision, this.#prepareGood(waiting.revision)))
      waiting.cancel()
      this.#waiting = undefined
      this.#log.info({ etag: this.etag }, 'configuration confirmed')
      return this.#good
    })
  }

  rollback(): Promise<Revision> {
    return this.#inTurn(() => {
      this.#expectPending()
      return this.#undo('configuration rolled back')
    })
  }

  /** Stops the timer. A change that still waits is undone by the next start. */
  async close(): Promise<void> {
    this.#closed = true
    this.#waiting?.cancel()
    await this.#queue
  }

  /** One change at a time, in the order they came. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(action)
    this.#queue = turn.catch(() => {})
    return turn
  }

  #match(ifMatch: string | undefined): void {
    if (ifMatch === undefined || ifMatch.trim() === '*') return
    // RFC 9110 section 13.1.1: strong comparison, so a weak tag never matches.
    if (ifMatch.split(',').some((tag) => tag.trim() === this.etag)) return
    throw new GatewayError('CONFLICT_ETAG', { detail: `it is now ${this.etag}` })
  }

  #warn({ warnings }: Revision): void {
    for (const { path, line, message, remedy } of warnings)
      this.#log.warn({ path, line, reason: message, remedy }, 'the configuration has something that is hardly meant')
  }

  #expectPending() {
    if (!this.#waiting) throw new GatewayError('NOTHING_PENDING')
    return this.#waiting
  }

  async #replace(revision: Revision): Promise<void> {
    const prepared = this.#guardDisk(() => this.#prepareGood(revision))
    try {
      await this.#carryOut(revision.config)
    } catch (error) {
      prepared.abandon()
      throw error
    }
    const before = this.#good.config
    try {
      this.#guardDisk(() => this.#commit(revision, prepared))
    } catch (error) {
      prepared.abandon()
      await this.#carryOut(before)
      throw error
    }
    this.#log.info({ etag: revision.etag }, 'configuration changed')
  }

  /** The deadline is durable before the change is made: whatever happens then, a restart undoes it. */
  async #tryOut(revision: Revision, seconds: number): Promise<void> {
    const deadline = new Date(this.#clock.now() + seconds * 1000).toISOString()
    const fileText = this.#readFile()
    const seen = fileText === revision.text ? sha256(fileText) : this.#state.seen
    this.#guardDisk(() => this.#writeState({ seen, pending: { etag: revision.etag, deadline } }))
    try {
      await this.#carryOut(revision.config)
    } catch (error) {
      this.#forgetPending()
      throw error
    }
    this.#waiting = { revision, deadline, cancel: this.#expireAfter(seconds * 1000) }
    this.#log.warn({ etag: revision.etag, deadline }, 'configuration changed until the deadline, unless confirmed')
  }

  #expireAfter(milliseconds: number): () => void {
    return this.#clock.after(milliseconds, () => {
      void this.#inTurn(async () => {
        if (this.#waiting && !this.#closed) await this.#undo('configuration rolled back: it was not confirmed in time')
      }).catch(() => {})
    })
  }

  async #undo(message: string): Promise<Revision> {
    const waiting = this.#expectPending()
    try {
      await this.#carryOut(this.#good.config)
    } catch (error) {
      waiting.cancel()
      waiting.cancel = this.#expireAfter(RETRY)
      this.#log.error({ err: error }, 'the previous configuration cannot be applied; trying again')
      throw error
    }
    waiting.cancel()
    this.#waiting = undefined
    this.#log.warn({ etag: this.#good.etag }, message)
    this.#forgetPending()
    return this.#good
  }

  /** If this fails the next start rolls back to what runs already. */
  #forgetPending(): void {
    try {
      this.#writeState({ pending: null })
    } catch (error) {
      this.#log.error({ err: error }, 'the state file cannot be written')
    }
  }

  async #carryOut(config: Config): Promise<void> {
    if (!this.#apply) throw new GatewayError('DAEMON_UNREACHABLE', { detail: 'it is starting' })
    try {
      await this.#apply(config)
    } catch (error) {
      if (error instanceof GatewayError) throw error
      throw new GatewayError('APPLY_FAILED', { detail: messageOf(error), cause: error })
    }
  }

  #prepareGood(revision: Revision) {
    return prepare(this.#path('last-good.yaml'), revision.text, this.#step)
  }

  #commit(revision: Revision, prepared: { commit(): void }): void {
    this.#write('previous.yaml', this.#good.text)
    prepared.commit()
    this.#good = revision
    // From here the change counts; what fails below is told, and the next start copes with it.
    try {
      this.#writeState({ seen: this.#writeThrough(revision.text), pending: null })
    } catch (error) {
      this.#log.error({ err: error }, 'the state file cannot be written')
    }
  }

  /** Brings FILE up to date and returns the hash of its text as the daemon has now dealt with it. */
  #writeThrough(text: string): string | null {
    const current = this.#readFile()
    if (current === text) return sha256(text)
    try {
      if (current !== undefined && sha256(current) !== this.#state.seen) this.#keepEdit(current)
      writeDurably(this.file, text, this.#step)
      return sha256(text)
    } catch (error) {
      const reason = messageOf(error)
      this.#log.warn(
        { file: this.file, reason },
        'the file cannot be written; the change is kept in the state directory',
      )
      return this.#state.seen
    }
  }

  #keepEdit(text: string): void {
    let path = `${this.file}.unapplied`
    for (let number = 1; existsSync(path) && readIfThere(path) !== text; number++)
      path = `${this.file}.unapplied.${number}`
    writeDurably(path, text, this.#step)
    this.#log.warn({ file: this.file, kept: path }, 'the file had an edit that was never applied; it is kept')
  }

  #readFile(): string | undefined {
    try {
      return readIfThere(this.file)
    } catch {
      return undefined
    }
  }

  #choose(state: State | undefined, fallBack: boolean) {
    const good = this.#readGood()
    const known = state?.file === this.file ? state : undefined
    const seen = known?.seen ?? null
    if (known?.pending && good) {
      this.#log.warn({ deadline: known.pending.deadline }, 'an unconfirmed change is rolled back')
      return { revision: good, origin: 'last-good' as const, seen }
    }
    try {
      const text = readConfigFile(this.file)
      const hash = sha256(text)
      if (good && hash === seen && good.text !== text) {
        this.#log.info({ file: this.file }, 'the file is unchanged; what was last applied runs')
        return { revision: good, origin: 'last-good' as const, seen }
      }
      return { revision: readRevision(text, this.file), origin: 'file' as const, seen: hash }
    } catch (error) {
      if (!fallBack || !good) throw error
      const faults = error instanceof GatewayError ? error.faults : []
      this.#log.error({ file: this.file, reason: messageOf(error), faults }, 'the last good configuration runs instead')
      return { revision: good, origin: 'last-good' as const, seen }
    }
  }

  #readGood(): Revision | undefined {
    const path = this.#path('last-good.yaml')
    try {
      const text = readIfThere(path)
      return text === undefined ? undefined : readRevision(text, path)
    } catch (error) {
      this.#log.warn({ path, reason: messageOf(error) }, 'the last good configuration cannot be read')
      return undefined
    }
  }

  #readState(): State | undefined {
    const path = this.#path('state.json')
    try {
      const text = readIfThere(path)
      return text === undefined ? undefined : parseState(text)
    } catch (error) {
      this.#log.warn({ path, reason: messageOf(error) }, 'the state cannot be read; the configuration file runs')
      return undefined
    }
  }

  #writeState(change: Partial<State> = {}): void {
    const next = { ...this.#state, ...change }
    this.#write('state.json', `${JSON.stringify(next, null, 2)}\n`)
    this.#state = next
  }

  #write(name: string, text: string): void {
    writeDurably(this.#path(name), text, this.#step)
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  #guardDisk<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw this.#unwritable(error)
    }
  }

  #unwritable(error: unknown): GatewayError {
    const values = { directory: this.#directory }
    return new GatewayError('STATE_UNWRITABLE', { values, detail: messageOf(error), cause: error })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
