// SPDX-License-Identifier: Apache-2.0
/** Events as JSON lines: one object each, its keys in a fixed order, addresses in canonical text. */
import { addressFromBytes } from '../net/address.ts'
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

/** Texts of the addresses seen lately; clients come back. */
const MAX_TEXTS = 16_384

/** A line about the log itself. */
export function noteLine(event: 'start' | 'stop' | 'lost', facts: Readonly<Record<string, number>> = {}): string {
  return `${JSON.stringify({ time: new Date().toISOString(), event, ...facts })}\n`
}

/** Nothing that stands in a line needs escaping: it is made of numbers, addresses and words of ours. */
export class JsonLines {
  readonly #texts = new Map<string, string>()
  #second = -1
  #secondText = ''
  /** The addresses of each pool of the configuration, as JSON. */
  #pools: readonly string[] = []

  setPools(pools: readonly (readonly string[])[]): void {
    this.#pools = pools.map((addresses) => JSON.stringify(addresses))
  }

  lines(records: Buffer, count: number): string {
    let text = ''
    for (let index = 0; index < count; index++) text += this.#line(records, index * RECORD_SIZE)
    return text
  }

  #line(records: Buffer, at: number): string {
    const event = records[at + AT.event] ?? 0
    const head = `{"time":"${this.#time(readTime(records, at + AT.time))}","event":"${NAMES[event] ?? event}"`
    return `${head}${this.#protocol(records, at)}${this.#facts(event, records, at)}${this.#since(records, at)}}\n`
  }

  #protocol(records: Buffer, at: number): string {
    const protocol = records[at + AT.protocol] ?? 0
    return protocol === 0 ? '' : `,"protocol":"${PROTOCOLS[protocol] ?? protocol}"`
  }

  #facts(event: number, records: Buffer, at: number): string {
    const value = records.readUInt32BE(at + AT.value)
    switch (event) {
      case EVENT.sessionCreated:
      case EVENT.sessionDeleted: {
        // the port of an ICMP query is its identifier, which stands in the binding
        const port = records[at + AT.protocol] === ICMP ? '' : `:${records.readUInt16BE(at + AT.remotePort)}`
        return `${this.#binding(records, at)},"remote":"${ipv4(records, at + AT.remote)}${port}"`
      }
      case EVENT.blockAllocated:
      case EVENT.blockReleased: {
        const ports = `${records.readUInt16BE(at + AT.poolPort)}-${records.readUInt16BE(at + AT.lastPort)}`
        const outside = ipv4(records, at + AT.pool)
        return `,"inside":"${this.#ipv6(records, at + AT.client)}","outside":"${outside}","ports":"${ports}"`
      }
      case EVENT.portsExhausted:
        return `,"outside":"${ipv4(records, at + AT.pool)}"`
      case EVENT.addressesExhausted:
        return `,"pool":${this.#pools[value] ?? '[]'}`
      case EVENT.quotaExceeded:
        return records.readUInt32BE(at + AT.quota) === QUOTA.client
          ? `,"quota":"client","limit":${value},"inside":"${this.#ipv6(records, at + AT.client)}"`
          : `,"quota":"sessions","limit":${value}`
      default:
        return this.#binding(records, at)
    }
  }

  #binding(records: Buffer, at: number): string {
    const inside = `[${this.#ipv6(records, at + AT.client)}]:${records.readUInt16BE(at + AT.clientPort)}`
    return `,"inside":"${inside}","outside":"${ipv4(records, at + AT.pool)}:${records.readUInt16BE(at + AT.poolPort)}"`
  }

  #since(records: Buffer, at: number): string {
    const since = readTime(records, at + AT.since)
    return since === 0 ? '' : `,"since":"${this.#time(since)}"`
  }

  #ipv6(records: Buffer, at: number): string {
    const key = records.toString('latin1', at, at + 16)
    const known = this.#texts.get(key)
    if (known !== undefined) return known
    if (this.#texts.size >= MAX_TEXTS) this.#texts.clear()
    const text = String(addressFromBytes(records.subarray(at, at + 16)))
    this.#texts.set(key, text)
    return text
  }

  #time(milliseconds: number): string {
    const second = Math.floor(milliseconds / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20)
    }
    return `${this.#secondText}${String(milliseconds - second * 1000).padStart(3, '0')}Z`
  }
}

function ipv4(records: Buffer, at: number): string {
  return `${records[at]}.${records[at + 1]}.${records[at + 2]}.${records[at + 3]}`
}
