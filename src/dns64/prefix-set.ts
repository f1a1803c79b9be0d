// SPDX-License-Identifier: Apache-2.0
/** Membership of raw addresses in a list of prefixes: a binary search over words, no allocation. */
import type { Family, Prefix } from '../net/address.ts'
import { get32 } from './wire.ts'

export class PrefixSet {
  readonly #v4: Ranges
  readonly #v6: Ranges

  constructor(prefixes: readonly Prefix[]) {
    this.#v4 = new Ranges(prefixes.filter(({ family }) => family === 4))
    this.#v6 = new Ranges(prefixes.filter(({ family }) => family === 6))
  }

  /** Whether the 4 or 16 bytes at `at` lie in one of the prefixes. */
  has(bytes: Uint8Array, at: number, family: Family): boolean {
    return family === 4 ? this.#v4.has(bytes, at) : this.#v6.has(bytes, at)
  }
}

/** Disjoint prefixes in order, as words of 32 bits: first address and mask. */
class Ranges {
  readonly #count: number
  readonly #width: number
  readonly #first: Uint32Array
  readonly #mask: Uint32Array

  constructor(prefixes: readonly Prefix[]) {
    // Prefixes nest or are disjoint: those inside another add nothing.
    const outer = prefixes
      .filter((prefix, index) =>
        prefixes.every((other, at) => at === index || !other.contains(prefix) || (other.equals(prefix) && at > index)),
      )
      .sort((a, b) => (a.address.value < b.address.value ? -1 : 1))
    const words = prefixes[0]?.family === 4 ? 1 : 4
    this.#count = outer.length
    this.#width = words
    this.#first = new Uint32Array(outer.length * words)
    this.#mask = new Uint32Array(outer.length * words)
    outer.forEach((prefix, index) => {
      const bytes = prefix.address.toBytes()
      for (let word = 0; word < words; word++) {
        const bits = Math.min(Math.max(prefix.length - 32 * word, 0), 32)
        this.#first[index * words + word] = get32(bytes, 4 * word)
        this.#mask[index * words + word] = bits === 0 ? 0 : 0xffffffff << (32 - bits)
      }
    })
  }

  has(bytes: Uint8Array, at: number): boolean {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#startsAfter(middle, bytes, at)) high = middle
      else low = middle + 1
    }
    return low > 0 && this.#contains(low - 1, bytes, at)
  }

  #startsAfter(index: number, bytes: Uint8Array, at: number): boolean {
    for (let word = 0; word < this.#width; word++) {
      const first = this.#first[index * this.#width + word]!
      const value = get32(bytes, at + 4 * word)
      if (first !== value) return first > value
    }
    return false
  }

  #contains(index: number, bytes: Uint8Array, at: number): boolean {
    for (let word = 0; word < this.#width; word++) {
      const place = index * this.#width + word
      if (((get32(bytes, at + 4 * word) ^ this.#first[place]!) & this.#mask[place]!) !== 0) return false
    }
    return true
  }
}
