// SPDX-License-Identifier: Apache-2.0
/**
 * What an answer is found by: the name in lower case, the type, DO and CD, and the view when answers differ by
 * client. Compared a word at a time, hashed while the name is read.
 */
import { randomBytes } from 'node:crypto'
import { LOWER, MAX_NAME } from './name.ts'

export const VARIANT = { DO: 1, CD: 2 } as const

/** FNV-1a from a start that no client knows, so that none can choose names that collide. */
const BASIS = randomBytes(4).readInt32LE()
const PRIME = 0x01000193

export class Key {
  readonly words = new Int32Array((MAX_NAME + 1 + 4) / 4)
  readonly bytes = new Uint8Array(this.words.buffer)
  nameLength = 0
  length = 0
  hash = 0
  #nameHash = 0
  readonly #text = Buffer.from(this.words.buffer)

  /** Makes this the key of an uncompressed name. */
  assign(name: Uint8Array, type: number, variant: number, view = 0): this {
    this.readName(name, 0, name.length)
    this.finish(type, variant)
    this.view = view
    return this
  }

  /** Takes the name at `at`, which may not be compressed; returns the offset behind it, or -1 for no name. */
  readName(bytes: Uint8Array, at: number, end: number): number {
    const target = this.bytes
    let hash = BASIS
    let offset = at
    for (;;) {
      if (offset >= end) return -1
      const label = bytes[offset]!
      const next = offset + label + 1
      if (label > 63 || next - at > MAX_NAME || next > end) return -1
      for (; offset < next; offset++) {
        const byte = LOWER[bytes[offset]!]!
        target[offset - at] = byte
        hash = Math.imul(hash ^ byte, PRIME)
      }
      if (label === 0) break
    }
    this.nameLength = offset - at
    this.#nameHash = hash
    return offset
  }

  /** Completes the key behind its name; the last word is filled up with zeros. */
  finish(type: number, variant: number): void {
    const { bytes, nameLength } = this
    bytes[nameLength] = type >>> 8
    bytes[nameLength + 1] = type
    bytes[nameLength + 2] = variant
    bytes[nameLength + 3] = 0
    this.length = nameLength + 4
    for (let index = this.length; index & 3; index++) bytes[index] = 0
    this.hash = Math.imul(Math.imul(this.#nameHash ^ type, PRIME) ^ variant, PRIME)
  }

  get variant(): number {
    return this.bytes[this.nameLength + 2]!
  }

  get view(): number {
    return this.bytes[this.nameLength + 3]!
  }

  set view(view: number) {
    this.bytes[this.nameLength + 3] = view
    if (view !== 0) this.hash = Math.imul(this.hash ^ view, PRIME)
  }

  /** The same for equal keys. */
  toString(): string {
    return this.#text.toString('latin1', 0, this.length)
  }
}
