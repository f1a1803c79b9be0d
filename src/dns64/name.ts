// SPDX-License-Identifier: Apache-2.0
/**
 * Domain names on the wire. A name in memory is its uncompressed wire form: length-prefixed labels and the
 * root's zero byte, at most 255 bytes (RFC 1035 section 3.1).
 */
import { get16 } from './wire.ts'

export const MAX_NAME = 255
/** A name of 127 labels needs few pointers; a longer chain of pointers is an attack on the reader. */
const MAX_POINTERS = 32

/** ASCII lower case by byte value: names compare without regard to case (RFC 4343). */
export const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte))

/** Where the name at `at` ends inside the message, without following a pointer; -1 when it does not. */
export function skipName(bytes: Uint8Array, at: number, end: number): number {
  for (let offset = at; offset < end; ) {
    const length = bytes[offset]!
    if (length === 0) return offset + 1
    if (length >= 0xc0) return offset + 2 <= end ? offset + 2 : -1
    if (length > 63) return -1
    offset += length + 1
  }
  return -1
}

/**
 * Writes the uncompressed name found at `at` to `out` and returns its length, or -1 for a name that is not
 * one. A pointer must lead before everything read so far, so a loop cannot be written.
 */
export function readName(bytes: Uint8Array, at: number, end: number, out: Uint8Array, outAt = 0): number {
  let offset = at
  let lowest = at
  let written = 0
  for (let pointers = 0; offset < end; ) {
    const length = bytes[offset]!
    if (length >= 0xc0) {
      if (offset + 2 > end || ++pointers > MAX_POINTERS) return -1
      offset = get16(bytes, offset) & 0x3fff
      if (offset >= lowest) return -1
      lowest = offset
      continue
    }
    if (length > 63 || written + length + 1 > MAX_NAME || offset + length + 1 > end) return -1
    for (let index = 0; index <= length; index++) out[outAt + written + index] = bytes[offset + index]!
    written += length + 1
    if (length === 0) return written
    offset += length + 1
  }
  return -1
}

/** The uncompressed name at `at` as a copy of its own, or undefined. */
export function copyName(bytes: Uint8Array, at: number, end: number): Uint8Array | undefined {
  const length = readName(bytes, at, end, scratch)
  return length < 0 ? undefined : scratch.slice(0, length)
}
const scratch = new Uint8Array(MAX_NAME + 1)

export function equalNames(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && isBelow(left, right)
}

/** Whether `name` is `ancestor` or lies below it, in any letter case. Both are uncompressed names. */
export function isBelow(name: Uint8Array, ancestor: Uint8Array): boolean {
  const start = name.length - ancestor.length
  if (start < 0) return false
  let offset = 0
  while (offset < start) offset += name[offset]! + 1
  if (offset !== start) return false
  for (let index = 0; index < ancestor.length; index++) {
    if (LOWER[name[start + index]!] !== LOWER[ancestor[index]!]) return false
  }
  return true
}

/** A map key: the same for two names that differ in letter case only. */
export function nameKey(name: Uint8Array): string {
  for (let index = 0; index < name.length; index++) keyScratch[index] = LOWER[name[index]!]!
  return keyScratch.toString('latin1', 0, name.length)
}
const keyScratch = Buffer.alloc(MAX_NAME + 1)

export function labelsOf(name: Uint8Array): string[] {
  const labels: string[] = []
  for (let offset = 0; name[offset]! > 0; offset += name[offset]! + 1) {
    labels.push(String.fromCharCode(...name.subarray(offset + 1, offset + 1 + name[offset]!)))
  }
  return labels
}

/** The name as RFC 1035 section 5.1 writes it, with a final dot. */
export function formatName(name: Uint8Array): string {
  const escape = (label: string) =>
    label.replace(/[.\\"();@$]|[^\x21-\x7e]/g, (char) =>
      char.charCodeAt(0) > 0x20 && char.charCodeAt(0) < 0x7f
        ? `\\${char}`
        : `\\${String(char.charCodeAt(0)).padStart(3, '0')}`,
    )
  return (
    labelsOf(name)
      .map((label) => `${escape(label)}.`)
      .join('') || '.'
  )
}

/** The wire form of a name in text, with RFC 1035 escapes; undefined when a label or the name is too long. */
export function parseName(text: string): Uint8Array | undefined {
  const bytes: number[] = []
  if (text === '') return undefined
  if (text !== '.') {
    for (const label of splitLabels(text.endsWith('.') && !text.endsWith('\\.') ? text.slice(0, -1) : text)) {
      if (label.length === 0 || label.length > 63) return undefined
      bytes.push(label.length, ...label)
    }
  }
  bytes.push(0)
  return bytes.length > MAX_NAME ? undefined : Uint8Array.from(bytes)
}

function splitLabels(text: string): number[][] {
  const labels: number[][] = [[]]
  const source = Buffer.from(text, 'utf8')
  for (let index = 0; index < source.length; index++) {
    const byte = source[index]!
    const digits = /^\\(\d{3})/.exec(source.toString('latin1', index, index + 4))
    if (byte === 0x2e) labels.push([])
    else if (digits) {
      labels.at(-1)!.push(Number(digits[1]) & 0xff)
      index += 3
    } else labels.at(-1)!.push(byte === 0x5c ? (source[++index] ?? 0x5c) : byte)
  }
  return labels
}
