// SPDX-License-Identifier: Apache-2.0
/**
 * Writes the records of an answer behind a question of known length, compressing names (RFC 1035 section
 * 4.1.4). Only the question's whole name and names written here are pointed at, and only byte for byte, so an
 * owner keeps its letters; what is stored serves every client that asks the name in other letters.
 */
import { equalNames } from './name.ts'
import { HEADER_SIZE, MAX_MESSAGE, put16, put32 } from './wire.ts'

export class Writer {
  readonly #question: Uint8Array
  readonly #base: number
  readonly #known = new Map<string, number>()
  readonly #bytes = SCRATCH
  #length = 0
  #full = false
  readonly ttlOffsets: number[] = []
  readonly counts: [number, number, number] = [0, 0, 0]

  /** `question` is the uncompressed name that stands at offset 12 of every message this is put into. */
  constructor(question: Uint8Array) {
    this.#question = question
    this.#base = HEADER_SIZE + question.length + 4
  }

  /** What follows the question, as a copy. */
  get body(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Leaves out this record and all behind it when the message would be longer than a message can be. */
  record(section: 0 | 1 | 2, owner: Uint8Array, type: number, ttl: number, data: (writer: Writer) => void): void {
    if (this.#full) return
    const start = this.#length
    this.name(owner)
    put16(this.#bytes, this.#length, type)
    put16(this.#bytes, this.#length + 2, 1)
    put32(this.#bytes, this.#length + 4, ttl)
    const ttlAt = this.#length + 4
    this.#length += 10
    data(this)
    if (this.#base + this.#length > MAX_MESSAGE) {
      this.#length = start
      this.#full = true
      return
    }
    put16(this.#bytes, ttlAt + 4, this.#length - ttlAt - 6)
    this.ttlOffsets.push(ttlAt)
    this.counts[section]++
  }

  raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  name(name: Uint8Array, compress = true): void {
    if (compress && name.length > 1 && equalNames(name, this.#question)) return this.#pointer(HEADER_SIZE)
    let offset = 0
    while (name[offset]! > 0) {
      const rest = Buffer.from(name.subarray(offset)).toString('latin1')
      const known = this.#known.get(rest)
      if (compress && known !== undefined) return this.#pointer(known)
      // A pointer reaches the first 16 KiB only.
      if (this.#base + this.#length < 0x4000) this.#known.set(rest, this.#base + this.#length)
      this.raw(name.subarray(offset, offset + name[offset]! + 1))
      offset += name[offset]! + 1
    }
    this.raw(ROOT)
  }

  #pointer(target: number): void {
    put16(this.#bytes, this.#length, 0xc000 | target)
    this.#length += 2
  }
}

/** One for all writers, of which each is done before the next begins: a message and the record that is too much. */
const SCRATCH = new Uint8Array(2 * MAX_MESSAGE + 512)
const ROOT = Uint8Array.of(0)
