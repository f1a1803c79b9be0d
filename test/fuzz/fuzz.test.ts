// SPDX-License-Identifier: Apache-2.0
/** A short run of every fuzzer; `npm run fuzz` runs them for long. SEED repeats a run. */
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fuzz, NATIVE } from './native.ts'
import { rounds, SCRIPTS } from './script.ts'

const SEED = Number(process.env['SEED'] ?? randomInt(1, 2 ** 31))

describe(`fuzzing (SEED=${SEED})`, { timeout: 300_000 }, () => {
  it.each(NATIVE)('finds nothing in $runs runs of $name', async (fuzzer) => {
    const work = mkdtempSync(join(tmpdir(), `sixgate-fuzz-${fuzzer.name}-`))
    const { ok, report } = await fuzz(fuzzer, work, SEED, { runs: fuzzer.runs })
    // what was found stays, to be run again
    expect(ok, report).toBe(true)
    rmSync(work, { recursive: true })
    expect(Number(/number_of_executed_units: (\d+)/.exec(report)?.[1])).toBeGreaterThanOrEqual(fuzzer.runs)
  })

  it.each(SCRIPTS)('finds nothing in $runs runs of $name', (fuzzer) => {
    expect(rounds(fuzzer, SEED, (round) => round >= fuzzer.runs)).toBe(fuzzer.runs)
  })
})
