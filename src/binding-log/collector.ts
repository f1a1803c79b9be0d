// SPDX-License-Identifier: Apache-2.0
/**
 * An IPFIX collector. Events wait while it cannot be reached, as many as MAX_WAITING; what is too much is counted, and
 * the collector is told the count. Over TCP what a broken connection may have swallowed is sent again.
 */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { IpfixSession, type Message } from './ipfix.ts'
import { RECORD_SIZE } from './record.ts'
import type { Target, TargetStats } from './target.ts'
import type { Connection, Transport } from './transport.ts'

export interface CollectorOptions {
  /** `TRANSPORT ENDPOINT`. */
  readonly name: string
  readonly transport: Transport
  readonly domain: number
  /** A broken connection is noticed, and what it did not take is sent again. */
  readonly reliable: boolean
  /** Milliseconds between two sendings of the losses and, where they may be lost, of the templates. */
  readonly refresh: number
  readonly clock: Clock
  readonly log: Log
}

/** Records, 59 bytes each. */
const MAX_WAITING = 65_536

/** Records that are sent at once. */
const MAX_SENT = 8192

/** Between two attempts to connect, from the first to the longest. */
const FIRST_PAUSE = 500
const LONGEST_PAUSE = 30_000

/** Milliseconds in which an ICMP error comes back. */
const PROBATION = 1000

/** A collector without an error for so long works again. */
const RECOVERED = 10_000

export class Collector implements Target {
  readonly #options: CollectorOptions
  #waiting: Buffer[] = []
  #waitingCount = 0
  #connection: Connection | undefined
  #attempt: { destroy(): void } | undefined
  #session: IpfixSession
  #sending = false
  #probing = false
  #refreshDue = false
  #pause = FIRST_PAUSE
  #cancelRetry: () => void = () => {}
  #cancelRefresh: () => void = () => {}
  #closed = false
  #idle: () => void = () => {}
  #written = 0
  #lost = 0
  #losses = { records: 0, first: 0, last: 0 }
  #error = ''
  #failedAt = 0

  constructor(options: CollectorOptions) {
    this.#options = options
    this.#session = new IpfixSession(options.domain)
    this.#connect()
    this.#scheduleRefresh()
  }

  setPools(): void {}

  write(records: Buffer, count: number): void {
    const room = Math.min(count, MAX_WAITING - this.#waitingCount)
    if (room < count) {
      this.#lost += count - room
      this.missed(count - room)
    }
    if (room === 0) return
    this.#waiting.push(Buffer.from(records.subarray(0, room * RECORD_SIZE)))
    this.#waitingCount += room
    this.#send()
  }

  missed(events: number): void {
    const now = this.#options.clock.now()
    const { records, first } = this.#losses
    this.#losses = { records: records + events, first: first || now, last: now }
  }

  #connect(): void {
    this.#attempt = this.#options.transport({
      up: (connection) => this.#up(connection),
      down: (error) => this.#down(error),
    })
  }

  #up(connection: Connection): void {
    const { domain, clock, reliable } = this.#options
    this.#connection = connection
    this.#session = new IpfixSession(domain)
    const templates = this.#session.templates(clock.now())
    // twice where one may be lost (RFC 7011 section 8.4)
    this.#hand(connection, reliable ? [templates] : [templates, templates], () => {})
    if (!reliable && this.#error !== '') this.#probe(connection)
  }

  /** Whether a collector is back that was not there is seen by what the templates meet; events wait for that. */
  #probe(connection: Connection): void {
    this.#probing = true
    this.#options.clock.after(PROBATION, () => {
      if (this.#connection !== connection) return
      this.#probing = false
      this.#send()
    })
  }

  #down(error: Error): void {
    this.#connection = undefined
    this.#sending = this.#probing = false
    this.#fail(error)
    this.#idle()
    if (this.#closed) return
    this.#cancelRetry = this.#options.clock.after(this.#pause, () => this.#connect())
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE)
  }

  #fail(error: Error): void {
    const { clock, log, name } = this.#options
    if (this.#error === '' && !this.#closed)
      log.error({ collector: name, reason: error.message }, 'the collector fails')
    this.#error = error.message
    this.#failedAt = clock.now()
  }

  #succeed(): void {
    const { clock, log, name } = this.#options
    if (this.#error === '' || clock.now() < this.#failedAt + RECOVERED) return
    this.#error = ''
    log.info({ collector: name }, 'the collector works again')
  }

  /** One sending at a time, so that what waits is bounded and its order kept. */
  #hand(connection: Connection, messages: readonly Message[], done: (unsent: number) => void): void {
    this.#sending = true
    connection.send(messages, (unsent, error) => {
      if (this.#connection !== connection) return
      if (error) this.#fail(error)
      else this.#succeed()
      // its end follows, and the next one begins with what waits
      if (error && this.#options.reliable) return
      this.#sending = false
      done(unsent)
      this.#send()
    })
  }

  #send(): void {
    const connection = this.#connection
    if (!connection || this.#sending || this.#probing) return
    if (this.#refreshDue) return this.#refresh(connection)
    if (this.#waitingCount === 0) return this.#idle()
    const batch = this.#take()
    const count = batch.length / RECORD_SIZE
    const messages = this.#session.messages(batch, count, connection.limit, this.#options.clock.now())
    this.#hand(connection, messages, (unsent) => {
      this.#pause = FIRST_PAUSE
      this.#drop(batch.length)
      this.#written += count - unsent
      this.#lost += unsent
      if (unsent > 0) this.missed(unsent)
    })
  }

  /** The oldest records, which stay until they are sent. */
  #take(): Buffer {
    let count = 0
    let bytes = 0
    for (const part of this.#waiting) {
      if (bytes > 0 && bytes + part.length > MAX_SENT * RECORD_SIZE) break
      bytes += part.length
      count++
    }
    const batch = Buffer.concat(this.#waiting.slice(0, count))
    this.#waiting.splice(0, count, batch)
    return batch
  }

  #drop(bytes: number): void {
    this.#waiting.shift()
    this.#waitingCount -= bytes / RECORD_SIZE
  }

  #scheduleRefresh(): void {
    this.#cancelRefresh = this.#options.clock.after(this.#options.refresh, () => {
      this.#refreshDue = true
      this.#send()
      this.#scheduleRefresh()
    })
  }

  #refresh(connection: Connection): void {
    const { clock, reliable } = this.#options
    this.#refreshDue = false
    const messages = [
      ...(reliable ? [] : [this.#session.templates(clock.now())]),
      ...(this.#losses.records > 0 ? [this.#session.reliability(this.#losses, clock.now())] : []),
    ]
    if (messages.length > 0) this.#hand(connection, messages, () => {})
    else this.#send()
  }

  stats(): TargetStats {
    const { name } = this.#options
    return { target: name, format: 'ipfix', written: this.#written, lost: this.#lost, error: this.#error }
  }

  /** What waits is lost when it is not taken within `patience` milliseconds. */
  async close(patience = 1000): Promise<void> {
    this.#closed = true
    this.#cancelRetry()
    this.#cancelRefresh()
    if (this.#connection && this.#waitingCount > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, patience)
        this.#idle = () => {
          clearTimeout(timer)
          resolve()
        }
        this.#send()
      })
    }
    this.#lost += this.#waitingCount
    this.#waiting = []
    this.#waitingCount = 0
    if (!this.#connection) return this.#attempt?.destroy()
    await this.#connection.close()
  }
}
