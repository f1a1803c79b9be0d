// SPDX-License-Identifier: Apache-2.0
/** Durations (`90s`, `2h4m`) and sizes (`64MiB`): always with a unit, one canonical text for each value. */
import { GatewayError } from '../errors.ts'

const SECONDS = { d: 86_400, h: 3600, m: 60, s: 1, ms: 0.001 } as const
const BITS = { Gbit: 1e9, Mbit: 1e6, kbit: 1e3, bit: 1 } as const
const BYTES = { GiB: 2 ** 30, MiB: 2 ** 20, KiB: 2 ** 10, B: 1 } as const

/** Beyond a year a duration is a slip of the pen, and milliseconds would leave 32 bits long before. */
const LONGEST = 366 * SECONDS.d
const LARGEST = 2 ** 40

const SLOWEST = 1e3
const FASTEST = 100e9

/** `1d`, `2h4m`, `90s`, `500ms` in seconds. Units go from large to small, each once. */
export function parseDuration(text: string): number {
  const remedy = 'Write a number with a unit, as in 90s, 5m, 2h4m, 1d or 500ms.'
  const words = checked(text, remedy)
  const match = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/.exec(words)
  if (!match || words === '') refuse(text, /^[\d.]+$/.test(words) ? 'has no unit' : 'is no duration', remedy)
  const milliseconds = Object.values(SECONDS).reduce(
    (sum, unit, index) => sum + Math.round(unit * 1000) * Number(match[index + 1] ?? 0),
    0,
  )
  if (milliseconds > LONGEST * 1000) refuse(text, 'is longer than 366 days', 'Write a shorter duration.')
  return milliseconds / 1000
}

/** `1500B`, `4KiB`, `64MiB`, `1GiB` in bytes. */
export function parseSize(text: string): number {
  const remedy = 'Write a whole number with a unit, as in 1500B, 4KiB, 64MiB or 1GiB.'
  const words = checked(text, remedy)
  const match = /^(\d{1,13})(B|KiB|MiB|GiB)$/.exec(words)
  if (!match) refuse(text, /^[\d.]+$/.test(words) ? 'has no unit' : 'is no size', remedy)
  const bytes = Number(match[1]) * BYTES[match[2] as keyof typeof BYTES]
  if (bytes > LARGEST) refuse(text, 'is larger than 1024GiB', 'Write a smaller size.')
  return bytes
}

/** `64kbit/s`, `10Mbit/s`, `1Gbit/s` in bits per second; these units are powers of ten. */
export function parseBitRate(text: string): number {
  const remedy = 'Write a whole number with a unit, as in 64kbit/s, 10Mbit/s or 1Gbit/s.'
  const words = checked(text, remedy)
  const match = /^(\d{1,12})(bit|kbit|Mbit|Gbit)\/s$/.exec(words)
  if (!match) refuse(text, /^[\d.]+$/.test(words) ? 'has no unit' : 'is no rate', remedy)
  const bits = Number(match[1]) * BITS[match[2] as keyof typeof BITS]
  if (bits < SLOWEST || bits > FASTEST) refuse(text, 'is out of range', 'Write from 1kbit/s to 100Gbit/s.')
  return bits
}

/** The canonical text: the largest unit that divides. */
export function formatBitRate(bits: number): string {
  for (const [name, unit] of Object.entries(BITS)) if (bits % unit === 0) return `${bits / unit}${name}/s`
  return `${bits}bit/s`
}

/** The canonical text: `90` is `1m30s`. */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds * 1000)
  let text = ''
  for (const [name, unit] of Object.entries(SECONDS)) {
    const milliseconds = Math.round(unit * 1000)
    const number = Math.floor(rest / milliseconds)
    if (number > 0) text += `${number}${name}`
    rest -= number * milliseconds
  }
  return text === '' ? '0s' : text
}

/** The canonical text: the largest unit that divides. */
export function formatSize(bytes: number): string {
  for (const [name, unit] of Object.entries(BYTES)) if (bytes > 0 && bytes % unit === 0) return `${bytes / unit}${name}`
  return '0B'
}

function checked(text: unknown, remedy: string): string {
  if (typeof text !== 'string') refuse(String(text), 'is not text', remedy)
  if (text.length > 40) refuse(`${text.slice(0, 40)}…`, `is ${text.length} characters long`, remedy)
  return text
}

function refuse(text: string, why: string, remedy: string): never {
  const message = `${JSON.stringify(text)} ${why}`
  throw new GatewayError('CONFIG_INVALID', { detail: message, faults: [{ path: '', message, remedy }] })
}
