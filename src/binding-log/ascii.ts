// SPDX-License-Identifier: Apache-2.0
/**
 * ASCII text written byte by byte into memory that is used again: strings cost ten times as much where a line is made
 * for each of 100,000 events a second. Addresses come out as net/address.ts prints them, and a test compares the two.
 */
import { addressFromBytes } from '../net/address.ts'

const ZERO = 48
const HEX = Buffer.from('0123456789abcdef', 'latin1')
const COLON = 58
const DOT = 46

export class Ascii {
  #bytes: Buffer
  #end = 0

  constructor(capacity: number) {
    this.#bytes = Buffer.alloc(capacity)
  }

  get room(): number {
    return this.#bytes.length - this.#end
  }

  /** What was written, which is the caller's; then begins anew. */
  take(): Buffer {
    const out = Buffer.from(this.#bytes.subarray(0, this.#end))
    this.#end = 0
    return out
  }

  text(text: string): this {
    const bytes = this.#bytes
    let end = this.#end
    for (let index = 0; index < text.length; index++) bytes[end++] = text.charCodeAt(index)
    this.#end = end
    return this
  }

  /** A whole number below 2^32, with at least `digits` digits. */
  number(value: number, digits = 1): this {
    let length = digits
    for (let limit = 10 ** digits; value >= limit; limit *= 10) length++
    let rest = value >>> 0
    for (let at = this.#end + length - 1; at >= this.#end; at--) {
      const next = Math.floor(rest / 10)
      this.#bytes[at] = ZERO + rest - next * 10
      rest = next
    }
    this.#end += length
    return this
  }

  #byte(value: number): void {
    this.#bytes[this.#end++] = value
  }

  ipv4(from: Buffer, at: number): this {
    for (let index = 0; index < 4; index++) {
      if (index > 0) this.#byte(DOT)
      this.number(from[at + index] ?? 0)
    }
    return this
  }

  /** RFC 5952 section 4. */
  ipv6(from: Buffer, at: number): this {
    if (isMapped(from, at)) return this.text(String(addressFromBytes(from.subarray(at, at + 16))))
    const [start, until] = zeroRun(from, at)
    for (let group = 0; group < 8; group++) {
      if (group === start) {
        this.#byte(COLON)
        if (until === 8) this.#byte(COLON)
        group = until - 1
        continue
      }
      if (group > 0) this.#byte(COLON)
      this.#group(((from[at + 2 * group] ?? 0) << 8) | (from[at + 2 * group + 1] ?? 0))
    }
    return this
  }

  #group(value: number): void {
    for (let shift = value > 0xfff ? 12 : value > 0xff ? 8 : value > 0xf ? 4 : 0; shift >= 0; shift -= 4)
      this.#byte(HEX[(value >> shift) & 15] ?? ZERO)
  }
}

/** An IPv4-mapped address ends in dotted decimals (RFC 5952 section 5). */
function isMapped(from: Buffer, at: number): boolean {
  if (from[at] !== 0 || from[at + 10] !== 0xff || from[at + 11] !== 0xff) return false
  for (let index = 1; index < 10; index++) if (from[at + index] !== 0) return false
  return true
}

/** The first of the longest runs of two or more zero groups, from and until; 8 and 8 when there is none. */
function zeroRun(from: Buffer, at: number): readonly [number, number] {
  let best = 8
  let length = 1
  for (let group = 0; group < 8; group++) {
    let end = group
    while (end < 8 && from[at + 2 * end] === 0 && from[at + 2 * end + 1] === 0) end++
    if (end - group > length) {
      best = group
      length = end - group
    }
    group = Math.max(group, end - 1)
  }
  return best === 8 ? [8, 8] : [best, best + length]
}
