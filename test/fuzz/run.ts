// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run fuzz -- [--minutes N | --runs N] [--seed N] [NAME…]`: each fuzzer, or those named, one after another for
 * N minutes (1 by default). Findings and new inputs stay in .cache/fuzz; the exit code is 1 when something was found.
 */
import { randomInt } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzz, type Limit, NATIVE, type NativeFuzzer } from './native.ts'
import { rounds, SCRIPTS, type ScriptFuzzer } from './script.ts'

const cache = join(import.meta.dirname, '../../.cache/fuzz')

function usage(message: string): never {
  console.error(`${message}\nusage: npm run fuzz -- [--minutes N | --runs N] [--seed N] [NAME…]`)
  process.exit(2)
}

function positive(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!(value > 0)) usage(`--${option} ${text}: a number above 0 is wanted`)
  return value
}

async function native(fuzzer: NativeFuzzer, seed: number, limit: Limit): Promise<boolean> {
  const work = join(cache, fuzzer.name)
  mkdirSync(work, { recursive: true })
  const { ok, report } = await fuzz(fuzzer, work, seed, limit)
  const runs = /number_of_executed_units: (\d+)/.exec(report)?.[1]
  const covered = [...report.matchAll(/cov: (\d+) ft: (\d+)/g)].at(-1)
  console.log(`${ok ? '✓' : '✗'} ${fuzzer.name}: ${runs ?? '?'} runs, ${covered?.[1] ?? '?'} edges, seed ${seed}`)
  if (!ok) console.log(report)
  return ok
}

function script(fuzzer: ScriptFuzzer, seed: number, { runs, seconds = 0 }: Limit): boolean {
  const end = performance.now() + seconds * 1000
  try {
    const count = rounds(fuzzer, seed, (round) => (runs ? round >= runs : performance.now() > end))
    console.log(`✓ ${fuzzer.name}: ${count} runs, seed ${seed}`)
    return true
  } catch (error) {
    console.log(`✗ ${fuzzer.name}:`, error)
    return false
  }
}

function read() {
  try {
    const options = { minutes: { type: 'string' }, runs: { type: 'string' }, seed: { type: 'string' } } as const
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    return usage((error as Error).message)
  }
}

const { values, positionals } = read()
const known = [...NATIVE, ...SCRIPTS].map(({ name }) => name)
const unknown = positionals.find((name) => !known.includes(name))
if (unknown) usage(`there is no fuzzer ${unknown}, only ${known.join(', ')}`)
const chosen = (name: string) => positionals.length === 0 || positionals.includes(name)
const runs = positive(values.runs, 'runs')
const limit = runs ? { runs } : { seconds: Math.ceil((positive(values.minutes, 'minutes') ?? 1) * 60) }
const seed = positive(values.seed, 'seed') ?? randomInt(1, 2 ** 31)
let ok = true
for (const fuzzer of NATIVE) if (chosen(fuzzer.name)) ok = (await native(fuzzer, seed, limit)) && ok
for (const fuzzer of SCRIPTS) if (chosen(fuzzer.name)) ok = script(fuzzer, seed, limit) && ok
process.exitCode = ok ? 0 : 1
