// SPDX-License-Identifier: Apache-2.0
/** Events as JSON lines: one object each, its keys in a fixed order, addresses in canonical text. */
import { Ascii } from './ascii.ts'
import { AT, EVENT, QUOTA, RECORD_SIZE, readTime } from './record.ts'

const ICMP = 1
const PROTOCOLS: Readonly<Record<number, string>> = { [ICMP]: 'icmp', 6: 'tcp', 17: 'udp' }

const NAMES: Readonly<Record<number, string>> = {
  [EVENT.addressesExhausted]: 'addresses-exhausted',
  [EVENT.sessionCreated]: 'session-created',
  [EVENT.sessionDeleted]: 'session-deleted',
  [EVENT.bindingCreated]: 'binding-created',
  [EVENT.bindingDeleted]: 'binding-deleted',
  [EVENT.portsExhausted]: 'ports-exhausted',
  [EVENT.quotaExceeded]: 'quota-exceeded',
  [EVENT.blockAllocated]: 'block-allocated',
  [EVENT.blockReleased]: 'block-released',
}

const DAY = 86_400_000
/** Bindings that end may be weeks old. */
const MAX_DAYS = 64

/** The longest line without the addresses of a pool. */
const LINE = 384

/** A line about the log itself. */
export function noteLine(event: 'start' | 'stop' | 'lost', facts: Readonly<Record<string, number>> = {}): Buffer {
  return Buffer.from(`${JSON.stringify({ time: new Date().toISOString(), event, ...facts })}\n`)
}

/** Nothing that stands in a line needs escaping: it is made of numbers, addresses and words of ours. */
export class JsonLines {
  #out = new Ascii(64 * LINE)
  readonly #days = new Map<number, string>()
  /** The addresses of each pool of the configuration, as JSON. */
  #pools: readonly string[] = []
  #longest = LINE

  setPools(pools: readonly (readonly string[])[]): void {
    this.#pools = pools.map((addresses) => JSON.stringify(addresses))
    this.#longest = LINE + Math.max(0, ...this.#pools.map(({ length }) => length))
  }

  lines(records: Buffer, count: number): Buffer {
    const needed = count * this.#longest
    if (this.#out.room < needed) this.#out = new Ascii(needed)
    for (let index = 0; index < count; index++) this.#line(records, index * RECORD_SIZE)
    return this.#out.take()
  }

  #line(records: Buffer, at: number): void {
    const event = records[at + AT.event] ?? 0
    const protocol = records[at + AT.protocol] ?? 0
    this.#out.text('{"time":"')
    this.#time(readTime(records, at + AT.time))
    this.#out.text('","event":"').text(NAMES[event] ?? String(event))
    if (protocol !== 0) this.#out.text('","protocol":"').text(PROTOCOLS[protocol] ?? String(protocol))
    this.#out.text('"')
    this.#facts(event, records, at)
    const since = readTime(records, at + AT.since)
    if (since !== 0) {
      this.#out.text(',"since":"')
      this.#time(since)
      this.#out.text('"')
    }
    this.#out.text('}\n')
  }

  #facts(event: number, records: Buffer, at: number): void {
    const out = this.#out
    switch (event) {
      case EVENT.sessionCreated:
      case EVENT.sessionDeleted:
        this.#binding(records, at)
        out.text(',"remote":"').ipv4(records, at + AT.remote)
        // the port of an ICMP query is its identifier, which stands in the binding
        if (records[at + AT.protocol] !== ICMP) out.text(':').number(records.readUInt16BE(at + AT.remotePort))
        out.text('"')
        return
      case EVENT.blockAllocated:
      case EVENT.blockReleased:
        this.#client(records, at)
        out.text(',"outside":"').ipv4(records, at + AT.pool)
        out.text('","ports":"').number(records.readUInt16BE(at + AT.poolPort))
        out
          .text('-')
          .number(records.readUInt16BE(at + AT.lastPort))
          .text('"')
        return
      case EVENT.portsExhausted:
        out
          .text(',"outside":"')
          .ipv4(records, at + AT.pool)
          .text('"')
        return
      case EVENT.addressesExhausted:
        out.text(',"pool":').text(this.#pools[records.readUInt32BE(at + AT.value)] ?? '[]')
        return
      case EVENT.quotaExceeded:
        this.#quota(records, at)
        return
      default:
        this.#binding(records, at)
    }
  }

  #binding(records: Buffer, at: number): void {
    this.#out.text(',"inside":"[').ipv6(records, at + AT.client)
    this.#out.text(']:').number(records.readUInt16BE(at + AT.clientPort))
    this.#out.text('","outside":"').ipv4(records, at + AT.pool)
    this.#out
      .text(':')
      .number(records.readUInt16BE(at + AT.poolPort))
      .text('"')
  }

  #client(records: Buffer, at: number): void {
    const length = records[at + AT.clientLength] ?? 128
    this.#out.text(',"inside":"').ipv6(records, at + AT.client)
    if (length < 128) this.#out.text('/').number(length)
    this.#out.text('"')
  }

  #quota(records: Buffer, at: number): void {
    const isClient = records.readUInt32BE(at + AT.quota) === QUOTA.client
    this.#out.text(isClient ? ',"quota":"client","limit":' : ',"quota":"sessions","limit":')
    this.#out.number(records.readUInt32BE(at + AT.value))
    if (isClient) this.#client(records, at)
  }

  /** ISO 8601, of which only the day needs a calendar. */
  #time(milliseconds: number): void {
    const day = Math.floor(milliseconds / DAY)
    const rest = milliseconds - day * DAY
    this.#out
      .text(this.#dayText(day))
      .number(Math.floor(rest / 3_600_000), 2)
      .text(':')
    this.#out
      .number(Math.floor(rest / 60_000) % 60, 2)
      .text(':')
      .number(Math.floor(rest / 1000) % 60, 2)
    this.#out
      .text('.')
      .number(rest % 1000, 3)
      .text('Z')
  }

  #dayText(day: number): string {
    const known = this.#days.get(day)
    if (known !== undefined) return known
    if (this.#days.size >= MAX_DAYS) this.#days.clear()
    const text = new Date(day * DAY).toISOString().slice(0, 11)
    this.#days.set(day, text)
    return text
  }
}
