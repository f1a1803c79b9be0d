// SPDX-License-Identifier: Apache-2.0
import { type Address, type Family, Prefix, parsePrefix } from './address.ts'

export interface PrefixEntry<T> {
  readonly prefix: Prefix
  readonly value: T
}

/** The prefixes of one length; `shift` takes an address to its key. */
interface Level<T> {
  readonly length: number
  readonly shift: bigint
  readonly entries: Map<bigint, PrefixEntry<T>>
}

/**
 * Longest-prefix lookup: one hash map for each length that occurs, longest first, so that a lookup costs as
 * many probes as there are different lengths (a handful in practice, 129 at worst), whatever the number of prefixes.
 */
export class PrefixMap<T> {
  readonly #levels: Record<Family, Level<T>[]> = { 4: [], 6: [] }

  constructor(entries: Iterable<readonly [Prefix, T]> = []) {
    for (const [prefix, value] of entries) this.set(prefix, value)
  }

  get size(): number {
    return [...this.#levels[4], ...this.#levels[6]].reduce((sum, level) => sum + level.entries.size, 0)
  }

  set(prefix: Prefix, value: T): this {
    const levels = this.#levels[prefix.family]
    let level = levels.find(({ length }) => length === prefix.length)
    if (!level) {
      level = {
        length: prefix.length,
        shift: BigInt((prefix.family === 4 ? 32 : 128) - prefix.length),
        entries: new Map(),
      }
      levels.push(level)
      levels.sort((a, b) => b.length - a.length)
    }
    level.entries.set(prefix.address.value >> level.shift, { prefix, value })
    return this
  }

  /** The value of the longest prefix that contains the address. */
  get(address: Address): T | undefined {
    for (const level of this.#levels[address.family]) {
      const entry = level.entries.get(address.value >> level.shift)
      if (entry) return entry.value
    }
    return undefined
  }

  /** The longest prefix that contains the address or prefix, with its value. */
  lookup(what: Address | Prefix): PrefixEntry<T> | undefined {
    for (const entry of this.matches(what)) return entry
    return undefined
  }

  /** Every prefix that contains the address or prefix, longest first. */
  *matches(what: Address | Prefix): Generator<PrefixEntry<T>> {
    const [address, atMost] = what instanceof Prefix ? [what.address, what.length] : [what, 128]
    for (const level of this.#levels[what.family]) {
      if (level.length > atMost) continue
      const entry = level.entries.get(address.value >> level.shift)
      if (entry) yield entry
    }
  }

  /** The value stored under exactly this prefix. */
  exact(prefix: Prefix): T | undefined {
    const level = this.#levels[prefix.family].find(({ length }) => length === prefix.length)
    return level?.entries.get(prefix.address.value >> level.shift)?.value
  }

  delete(prefix: Prefix): boolean {
    const levels = this.#levels[prefix.family]
    const index = levels.findIndex(({ length }) => length === prefix.length)
    const level = levels[index]
    if (!level?.entries.delete(prefix.address.value >> level.shift)) return false
    if (level.entries.size === 0) levels.splice(index, 1)
    return true
  }

  /** Longest prefixes first within a family. */
  *[Symbol.iterator](): Generator<[Prefix, T]> {
    for (const family of [4, 6] as const)
      for (const level of this.#levels[family])
        for (const { prefix, value } of level.entries.values()) yield [prefix, value]
  }
}

/** Without those that lie in another, as nftables and routes want them. */
export function outermost(texts: readonly string[]): string[] {
  const kept = new PrefixMap<true>()
  const shortestFirst = [...new Set(texts)].map(parsePrefix).sort((a, b) => a.length - b.length)
  for (const prefix of shortestFirst) if (!kept.lookup(prefix)) kept.set(prefix, true)
  return [...new Set(texts)].filter((text) => kept.exact(parsePrefix(text)))
}
