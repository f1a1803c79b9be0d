// SPDX-License-Identifier: Apache-2.0
/**
 * Random values in random spellings, held against what Node itself makes of them (URL serialises IPv6 by the
 * WHATWG rules, isIP is another grammar). SEED=… repeats a run.
 */
import { isIP } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Address, parseAddress, parsePrefix } from '../../src/net/address.ts'
import { PrefixMap } from '../../src/net/prefix-map.ts'
import { embed, extract, LENGTHS } from '../../src/net/rfc6052.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 32)
const ROUNDS = 3000

/** mulberry32: numbers from 0 to below 2^32. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

const next = generator(SEED)
const below = (limit: number) => next() % limit
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T

/** Groups with many zeros and small numbers, where the rules of RFC 5952 bite. */
function randomGroups(): number[] {
  const groups = Array.from({ length: 8 }, () => pick([0, 0, 0, 1, 0xa, 0xff, 0xffff, below(65536)]))
  return below(8) === 0 ? [0, 0, 0, 0, 0, 0xffff, below(65536), below(65536)] : groups
}

function valueOf(groups: readonly number[]): bigint {
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n)
}

/** One of the spellings that RFC 4291 section 2.2 allows. */
function spell(groups: readonly number[]): string {
  const words = groups.map((group) => {
    const word = group.toString(16).padStart(pick([1, 2, 3, 4]), '0')
    return below(2) ? word.toUpperCase() : word
  })
  if (below(3) === 0)
    words.splice(
      6,
      2,
      groups
        .slice(6)
        .flatMap((group) => [group >> 8, group & 255])
        .join('.'),
    )
  const runs = words.flatMap((_, first) =>
    words
      .map((_, last) => ({ first, last }))
      .filter(({ last }) => last >= first && words.slice(first, last + 1).every((word) => /^0+$/.test(word))),
  )
  if (runs.length === 0 || below(3) === 0) return words.join(':')
  const { first, last } = pick(runs)
  return `${words.slice(0, first).join(':')}::${words.slice(last + 1).join(':')}`
}

describe(`with seed ${SEED}`, () => {
  it('every spelling of a value parses to it, and its text parses to it again', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const groups = randomGroups()
      const text = spell(groups)
      const address = parseAddress(text)
      expect(address.value, text).toBe(valueOf(groups))
      expect(parseAddress(String(address)).value, text).toBe(valueOf(groups))
    }
  })

  it('the text is the one that URL prints, but for the mixed form of mapped addresses', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const groups = randomGroups()
      const text = spell(groups)
      if (valueOf(groups) >> 32n === 0xffffn) expect(String(parseAddress(text))).toMatch(/^::ffff:\d+\.\d+\.\d+\.\d+$/)
      else expect(`[${parseAddress(text)}]`, text).toBe(new URL(`http://[${text}]`).hostname)
    }
  })

  it('a spoilt text is accepted when Node accepts it, and with the same value', () => {
    let accepted = 0
    for (let round = 0; round < ROUNDS; round++) {
      const text = spoil(below(4) ? spell(randomGroups()) : [below(300), below(300), below(256), below(30)].join('.'))
      const ours = attempt(text)
      expect(ours !== undefined, JSON.stringify(text)).toBe(isIP(text) !== 0)
      if (ours?.family === 6 && ours.zone === undefined) {
        accepted++
        expect(ours.value, text).toBe(parseAddress(new URL(`http://[${text}]`).hostname.slice(1, -1)).value)
      }
    }
    expect(accepted).toBeGreaterThan(0)
  })

  it('what is embedded is extracted, for every length', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const length = pick(LENGTHS)
      const base = (valueOf(randomGroups()) >> BigInt(128 - length)) << BigInt(128 - length)
      const prefix = parsePrefix(`${new Address(6, base & ~(0xffn << 56n))}/${length}`)
      const ipv4 = new Address(4, BigInt(next()))
      const ipv6 = embed(prefix, ipv4)
      expect((ipv6.value >> 56n) & 0xffn, `${ipv4} under ${prefix}`).toBe(0n)
      expect(String(extract(prefix, ipv6)), `${ipv4} under ${prefix}`).toBe(String(ipv4))
    }
  })

  it('the longest prefix is found as a slow search finds it', () => {
    const random = (bits: bigint) =>
      new Address(6, (0x20010db8n << 96n) | ((BigInt(below(64)) << (96n - bits)) | BigInt(below(4))))
    const map = new PrefixMap<string>()
    const all = Array.from({ length: 200 }, () => {
      const length = pick([0, 32, 33, 36, 38, 40, 64, 127, 128])
      const { value } = random(6n)
      const prefix = parsePrefix(`${new Address(6, (value >> BigInt(128 - length)) << BigInt(128 - length))}/${length}`)
      map.set(prefix, String(prefix))
      return prefix
    })
    for (let round = 0; round < ROUNDS; round++) {
      const address = random(6n)
      const slow = all.filter((prefix) => prefix.contains(address)).sort((a, b) => b.length - a.length)[0]
      expect(map.get(address), String(address)).toBe(slow && String(slow))
    }
  })
})

/** One character more, less or other; no `%`, since Node takes a zone behind any address. */
function spoil(text: string): string {
  const at = below(text.length + 1)
  const character = pick([':', '::', '.', '0', '1', 'f', 'g', ' ', '/', '00', '-', '٣'])
  const rest = below(2) ? text.slice(at) : text.slice(at + 1)
  return below(4) ? `${text.slice(0, at)}${character}${rest}` : `${text.slice(0, at)}${text.slice(at + 1)}`
}

function attempt(text: string): Address | undefined {
  try {
    return parseAddress(text)
  } catch {
    return undefined
  }
}
