// SPDX-License-Identifier: Apache-2.0
/** The fuzzers of TypeScript: a loop of mutations, each round with a seed of its own. */
import { Random } from '../oracle/random.ts'
import { config } from './config.ts'
import { dns } from './dns.ts'

export interface ScriptFuzzer {
  readonly name: string
  /** One input; throws when something does not hold of it. */
  readonly once: (random: Random) => void
  /** In `npm test`. */
  readonly runs: number
}

export const SCRIPTS: readonly ScriptFuzzer[] = [
  { name: 'dns', once: dns, runs: 20_000 },
  { name: 'config', once: config, runs: 200 },
]

/** Longer than this no input may take: a stranger's would stop everything else. */
const HANG = 20_000

/** Runs rounds until `done`; gives their number. What is thrown names the seed that repeats the round alone. */
export function rounds(fuzzer: ScriptFuzzer, seed: number, done: (round: number) => boolean): number {
  let round = 0
  for (; !done(round); round++) {
    const started = performance.now()
    const repeat = `npm run fuzz -- --runs 1 --seed ${seed + round} ${fuzzer.name}`
    try {
      fuzzer.once(new Random(seed + round))
    } catch (cause) {
      throw new Error(`${fuzzer.name}, round ${round}: ${(cause as Error).message}\nrepeat: ${repeat}`, { cause })
    }
    const took = performance.now() - started
    if (took > HANG) throw new Error(`${fuzzer.name}, round ${round} took ${Math.round(took)} ms\nrepeat: ${repeat}`)
  }
  return round
}
