// SPDX-License-Identifier: Apache-2.0
/** Interleaved rounds, medians, and ratios within one run: the machine is shared and noisy. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { release } from 'node:os'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export interface Side {
  readonly name: string
  measure(): Promise<number>
}

/** Each round asks every side once; the first round warms up and is thrown away. */
export async function interleave(
  sides: readonly Side[],
  rounds: number,
  tell: (text: string) => void,
): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = Object.fromEntries(sides.map(({ name }) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const { name, measure } of sides) {
      const value = await measure()
      tell(`round ${round}/${rounds}  ${name}  ${value.toFixed(2)}`)
      if (round > 0) values[name]?.push(value)
    }
  }
  return values
}

export interface Ratio {
  readonly name: string
  readonly value: number
  readonly wanted?: number
  readonly atMost?: number
}

export interface Results {
  readonly bench: string
  readonly unit: string
  readonly values: Readonly<Record<string, number[]>>
  readonly ratios: readonly Ratio[]
  /** For programs, as it is. */
  readonly table?: readonly object[]
  readonly notes?: readonly string[]
}

export function machine(): string {
  const model = /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor'
  const cores = execFileSync('nproc').toString().trim()
  return `${cores} × ${model}, Linux ${release()}`
}

function goal({ value, wanted, atMost }: Ratio): string {
  if (wanted !== undefined) return `, wanted ${wanted} or more: ${value >= wanted ? 'met' : 'MISSED'}`
  if (atMost !== undefined) return `, wanted ${atMost} at most: ${value <= atMost ? 'met' : 'MISSED'}`
  return ''
}

export function publish(results: Results, json: boolean): void {
  const medians = Object.fromEntries(Object.entries(results.values).map(([name, values]) => [name, median(values)]))
  if (json) {
    console.log(JSON.stringify({ ...results, medians, machine: machine() }, null, 2))
    return
  }
  const width = Math.max(...Object.keys(medians).map((name) => name.length))
  console.log(`\n${results.bench}: ${results.unit}, medians (lowest–highest); ${machine()}`)
  for (const [name, values] of Object.entries(results.values)) {
    const range = `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`
    console.log(`  ${name.padEnd(width)}  ${(medians[name] ?? 0).toFixed(2).padStart(8)}  (${range})`)
  }
  for (const ratio of results.ratios) console.log(`  ${ratio.name}: ${ratio.value.toFixed(2)}${goal(ratio)}`)
  for (const note of results.notes ?? []) console.log(`  ${note}`)
}

/** A progress line that leaves standard output to the results. */
export function teller(): (text: string) => void {
  const live = process.stderr.isTTY
  return (text) => process.stderr.write(live ? `\r\x1b[K  ${text}` : `  ${text}\n`)
}
