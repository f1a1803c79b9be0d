// SPDX-License-Identifier: Apache-2.0
/** The core against a slow translator written from the RFCs. SEED repeats a run, COUNT lengthens it. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { build, readVectors, SANITIZERS } from '../unit/xlat.ts'
import { answer } from './command.ts'
import { generate } from './generate.ts'
import { Random } from './random.ts'

const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32LE())
const COUNT = Number(process.env['COUNT'] ?? 100_000)
/** Lines for one round trip: as much as is pleasant to hold in memory. */
const BATCH = 20_000

const program = await build('gcc', 'run.c', ['-std=c11', ...SANITIZERS])

function core(commands: readonly string[]): string[] {
  const input = commands.map((command) => `${command}\n`).join('')
  const done = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 28 })
  expect(done.stderr).toBe('')
  expect(done.status).toBe(0)
  return done.stdout.split('\n')
}

/** `drop REASON`, or `out` for what is translated: what a run should have some of each. */
const outcome = (line: string) => (line.startsWith('drop') ? line.split(' ', 2).join(' ') : line.split(' ', 1).join())

describe(`the oracle (SEED=${SEED})`, () => {
  it.each(readVectors())('agrees with $topic: $name', ({ command, expected }) => {
    expect(answer(command)).toBe(expected)
  })

  it(`agrees with the core on ${COUNT} generated packets`, { timeout: 300_000 }, () => {
    const random = new Random(SEED)
    const seen = new Map<string, number>()
    for (let left = COUNT; left > 0; left -= BATCH) {
      const commands = Array.from({ length: Math.min(left, BATCH) }, () => generate(random))
      const answers = core(commands)
      for (const [i, command] of commands.entries()) {
        const wanted = answer(command)
        if (answers[i] !== wanted) expect({ command, core: answers[i] }).toEqual({ command, core: wanted })
        const kind = `${command.split(' ', 1)} ${outcome(wanted)}`
        seen.set(kind, (seen.get(kind) ?? 0) + 1)
      }
    }
    const translated = (seen.get('46 out') ?? 0) + (seen.get('64 out') ?? 0)
    console.info(`SEED=${SEED}: ${COUNT} packets, ${translated} translated, ${seen.size} outcomes`)
    expect(translated).toBeGreaterThan(COUNT / 3)
    expect(seen.size).toBeGreaterThan(COUNT >= 100_000 ? 40 : 20)
  })
})
