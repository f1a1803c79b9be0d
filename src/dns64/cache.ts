// SPDX-License-Identifier: Apache-2.0
/**
 * Answers in one block of memory of fixed size: a circular log of entries, of which a new one pushes out the
 * oldest, and an open-addressing table of where they are. Nothing is allocated for a hit.
 */
import type { Answer } from './answer.ts'
import type { Key } from './key.ts'

/** Words of an entry's header. The key in whole words, the body and the offsets of its TTLs follow. */
export const ENTRY = {
  size: 0,
  hash: 1,
  /** Seconds of the cache's own clock. */
  stored: 2,
  expires: 3,
  flags: 4,
  keyLength: 5,
  bodyLength: 6,
  ttls: 7,
  answers: 8,
  authorities: 9,
  additionals: 10,
  /** Offset of the body in bytes, from the start of the block. */
  body: 11,
  words: 12,
} as const

/** Bits of the flags word; the low twelve are the RCODE. */
export const ENTRY_FLAG = { AUTHENTIC: 0x1000, SYNTHESISED: 0x2000, CUT: 0x4000, RCODE: 0xfff } as const

/** Stands where an entry would begin when the rest of the block was too short for the next one. */
const WRAP = -1
/** Offsets in bytes are signed integers of 32 bits. */
const MAX_SIZE = 2 ** 31 - 8
/** A key further from its place than this is not kept: names chosen to collide gain nothing. */
const MAX_PROBES = 128

export class Cache {
  /** The block as words and as bytes; offsets of entries are in words. */
  readonly words: Int32Array
  readonly bytes: Uint8Array
  readonly #capacity: number
  readonly #table: Int32Array
  readonly #hashes: Int32Array
  readonly #mask: number
  #head = 0
  #tail = 0
  #used = 0
  #count = 0
  evictions = 0

  constructor(limit: number) {
    const size = Math.min(limit, MAX_SIZE)
    // A sixteenth or less for the table, which is at most three quarters full.
    const slots = 1 << Math.max(8, Math.floor(Math.log2(size / 128)))
    this.#capacity = Math.max(4096, (size - slots * 8) >>> 2)
    const block = new ArrayBuffer(this.#capacity * 4)
    this.words = new Int32Array(block)
    this.bytes = new Uint8Array(block)
    this.#table = new Int32Array(slots)
    this.#hashes = new Int32Array(slots)
    this.#mask = slots - 1
  }

  get entries(): number {
    return this.#count
  }

  get bytesUsed(): number {
    return this.#used * 4
  }

  /** The entry of a key, in words from the start of the block, or -1. Expired entries are not found. */
  find(key: Key, now: number): number {
    const { hash } = key
    let slot = hash & this.#mask
    for (let probes = 0; probes < MAX_PROBES; probes++, slot = (slot + 1) & this.#mask) {
      const place = this.#table[slot]!
      if (place === 0) return -1
      if (this.#hashes[slot] !== hash || !this.#matches(place - 1, key)) continue
      const entry = place - 1
      if (this.words[entry + ENTRY.expires]! <= now) return -1
      return entry
    }
    return -1
  }

  /** Keeps an answer under a key, in place of what was kept under it. An answer too large is not kept. */
  insert(key: Key, answer: Answer, now: number): void {
    this.#remove(key)
    const size =
      ENTRY.words + ((key.length + 3) >>> 2) + ((answer.body.length + 2 * answer.ttlOffsets.length + 3) >>> 2)
    // Nothing may take more than a sixteenth: one answer shall not push out all others.
    if (size > this.#capacity >>> 4) return
    while (this.#count >= this.#mask * 0.75) this.#evict()
    const entry = this.#reserve(size)
    this.#write(entry, size, key, answer, now)
    this.#link(entry, key.hash)
  }

  clear(): void {
    this.#table.fill(0)
    this.#head = this.#tail = this.#used = this.#count = 0
  }

  #matches(entry: number, key: Key): boolean {
    const { words } = this
    if (words[entry + ENTRY.keyLength] !== key.length) return false
    const at = entry + ENTRY.words
    for (let index = (key.length + 3) >>> 2; index > 0; ) {
      index--
      if (words[at + index] !== key.words[index]) return false
    }
    return true
  }

  #write(entry: number, size: number, key: Key, answer: Answer, now: number): void {
    const { words } = this
    const keyWords = (key.length + 3) >>> 2
    const body = (entry + ENTRY.words + keyWords) << 2
    words[entry + ENTRY.size] = size
    words[entry + ENTRY.hash] = key.hash
    words[entry + ENTRY.stored] = now
    words[entry + ENTRY.expires] = now + answer.keep
    words[entry + ENTRY.flags] =
      answer.rcode |
      (answer.authentic ? ENTRY_FLAG.AUTHENTIC : 0) |
      (answer.synthesised ? ENTRY_FLAG.SYNTHESISED : 0) |
      (answer.cut ? ENTRY_FLAG.CUT : 0)
    words[entry + ENTRY.keyLength] = key.length
    words[entry + ENTRY.bodyLength] = answer.body.length
    words[entry + ENTRY.ttls] = answer.ttlOffsets.length
    words[entry + ENTRY.answers] = answer.counts[0]
    words[entry + ENTRY.authorities] = answer.counts[1]
    words[entry + ENTRY.additionals] = answer.counts[2]
    words[entry + ENTRY.body] = body
    words.set(key.words.subarray(0, keyWords), entry + ENTRY.words)
    this.bytes.set(answer.body, body)
    let at = ttlTable(body, answer.body.length)
    for (const offset of answer.ttlOffsets) {
      this.bytes[at++] = offset
      this.bytes[at++] = offset >>> 8
    }
  }

  /** Makes room for `size` words at the head and takes them; live entries lie from tail to head. */
  #reserve(size: number): number {
    for (;;) {
      if (this.#used === 0) this.#head = this.#tail = 0
      const wrapped = this.#used > 0 && this.#head <= this.#tail
      if (this.#head + size <= (wrapped ? this.#tail : this.#capacity)) break
      if (wrapped) this.#evict()
      else {
        // An entry never wraps: skip the rest of the block.
        if (this.#head < this.#capacity) this.words[this.#head] = WRAP
        this.#used += this.#capacity - this.#head
        this.#head = 0
      }
    }
    const entry = this.#head
    this.#head += size
    this.#used += size
    return entry
  }

  /** Drops the oldest entry, or the gap at the end of the block. */
  #evict(): void {
    const tail = this.#tail
    const size = tail < this.#capacity ? this.words[tail]! : WRAP
    if (size === WRAP) {
      this.#used -= this.#capacity - tail
      this.#tail = 0
      return
    }
    const slot = this.#slotOf(tail)
    if (slot >= 0) {
      this.#unlink(slot)
      this.evictions++
    }
    this.#used -= size
    this.#tail = tail + size
  }

  #link(entry: number, hash: number): void {
    let slot = hash & this.#mask
    for (let probes = 0; this.#table[slot] !== 0; slot = (slot + 1) & this.#mask) if (++probes >= MAX_PROBES) return
    this.#table[slot] = entry + 1
    this.#hashes[slot] = hash
    this.#count++
  }

  /** The table's slot of an entry, or -1 when another has taken the entry's place. */
  #slotOf(entry: number): number {
    for (let slot = this.words[entry + ENTRY.hash]! & this.#mask; ; slot = (slot + 1) & this.#mask) {
      if (this.#table[slot] === 0) return -1
      if (this.#table[slot] === entry + 1) return slot
    }
  }

  #remove(key: Key): void {
    const { hash } = key
    for (let slot = hash & this.#mask; this.#table[slot] !== 0; slot = (slot + 1) & this.#mask) {
      if (this.#hashes[slot] !== hash || !this.#matches(this.#table[slot]! - 1, key)) continue
      this.#unlink(slot)
      return
    }
  }

  /** Closes the gap, so that no search ends early (Knuth, volume 3, section 6.4, algorithm R). */
  #unlink(slot: number): void {
    let gap = slot
    for (let next = (slot + 1) & this.#mask; this.#table[next] !== 0; next = (next + 1) & this.#mask) {
      const home = this.#hashes[next]! & this.#mask
      if (((next - home) & this.#mask) < ((next - gap) & this.#mask)) continue
      this.#table[gap] = this.#table[next]!
      this.#hashes[gap] = this.#hashes[next]!
      gap = next
    }
    this.#table[gap] = 0
    this.#count--
  }
}

/** Where the offsets of an entry's TTLs begin: pairs of bytes, low first, behind the body. */
export function ttlTable(body: number, bodyLength: number): number {
  return body + bodyLength
}
