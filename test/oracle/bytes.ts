// SPDX-License-Identifier: Apache-2.0
/** Bytes, and RFC 1071's sum over them. */

export const word = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
export const long = (bytes: Uint8Array, at: number): number => word(bytes, at) * 65536 + word(bytes, at + 2)
export const words = (...values: number[]): number[] => values.flatMap((value) => [(value >> 8) & 255, value & 255])
export const longs = (value: number): number[] => words(Math.floor(value / 65536), value % 65536)

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value & 255
}

/** The plain sum of 16-bit words, an odd last byte padded with zero. */
export function sum(...parts: readonly (Uint8Array | readonly number[])[]): number {
  let total = 0
  for (const part of parts)
    for (let at = 0; at < part.length; at++) total += at % 2 ? (part[at] ?? 0) : (part[at] ?? 0) * 256
  return total
}

/** RFC 1071 §1: the one's complement of the one's complement sum. 0xffff only if all bytes are zero. */
export function checksum(...parts: readonly (Uint8Array | readonly number[])[]): number {
  let total = sum(...parts)
  while (total > 0xffff) total = (total % 65536) + Math.floor(total / 65536)
  return 0xffff - total
}

/**
 * RFC 1624 §2: one's complement arithmetic is arithmetic modulo 65535. What a checksum misses of being right
 * stays the same when what it covers changes from a sum of `before` to one of `after`.
 */
export function keepError(field: number, before: number, after: number): number {
  return (((field + before - after) % 65535) + 65535) % 65535
}
