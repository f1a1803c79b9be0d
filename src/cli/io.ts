// SPDX-License-Identifier: Apache-2.0
/** What a command prints and how: lines to two streams, safe for a terminal. */
import { type Fault, GatewayError } from '../errors.ts'

export interface Io {
  out(line: string): void
  err(line: string): void
}

/** Exit codes of every command. */
export const DONE = 0
export const REFUSED = 1
export const USAGE = 2

/** The command line itself is wrong. */
export class UsageError extends Error {}

export const processIo: Io = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
}

/** Control characters, and those that reorder text, as \xNN or \uNNNN; a tab becomes a space. */
export function printable(text: string): string {
  return text.replace(/\t/g, ' ').replace(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, escapeOne)
}

function escapeOne(character: string): string {
  const code = character.charCodeAt(0)
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A refusal on standard error: what, each fault with its path and remedy, what to do. */
export function printError(io: Io, error: unknown): void {
  for (const line of errorLines(error)) io.err(printable(line))
}

/** What is not refused and yet to be looked at, on standard error. */
export function printWarnings(io: Io, warnings: readonly Fault[]): void {
  for (const warning of warnings) {
    const [what = '', ...remedy] = faultLines(warning)
    for (const line of [`warning:${what.slice(1)}`, ...remedy]) io.err(printable(line))
  }
}

export function errorLines(error: unknown): string[] {
  if (!(error instanceof GatewayError)) {
    const message = error instanceof Error ? error.message : String(error)
    return [`sixgate: ${message.split('\n').join(' ')}`]
  }
  const { faults } = error
  if (faults.length === 0) return [`sixgate: ${error.message}. ${error.remedy}`]
  const title = error.detail ? error.message.slice(0, -(error.detail.length + 2)) : error.message
  return [`sixgate: ${title}. ${error.remedy}`, ...faults.flatMap(faultLines)]
}

function faultLines({ path, message, remedy, line }: Fault): string[] {
  const place = `${path || '/'}${line === undefined ? '' : ` (line ${line})`}`
  return remedy ? [`  ${place}: ${message}`, `    ${remedy}`] : [`  ${place}: ${message}`]
}

export type Cell = string | number | boolean

/** Columns as wide as their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const texts = rows.map((row) => row.map((cell) => printable(String(cell))))
  const widths = head.map((title, column) => Math.max(title.length, ...texts.map((row) => row[column]?.length ?? 0)))
  const isNumber = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(head), ...texts.map(line)]
}

/** Bytes as a reader likes them: 12.3 MiB. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${count} B` : `${value.toFixed(1)} ${units[unit]}`
}
