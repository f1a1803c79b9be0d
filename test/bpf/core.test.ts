// SPDX-License-Identifier: Apache-2.0
/**
 * The programs against the core's general way, packet by packet through BPF_PROG_TEST_RUN: what they translate
 * must be the same bytes, what they do not must be untouched. SEED repeats a run, COUNT lengthens it.
 */
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { buildPrograms } from '../../native/bpf.mjs'
import { generate } from '../oracle/generate.ts'
import { Random } from '../oracle/random.ts'
import { readVectors } from '../unit/xlat.ts'
import { answers, compile, refusal } from './program.ts'

const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32LE())
const COUNT = Number(process.env['COUNT'] ?? 100_000)
const BATCH = 20_000

const object = await buildPrograms()
const program = await compile('bpf-run', 'test/bpf/run.cc')
const reason = refusal(program, object)
const vectors = readVectors().filter(({ command }) => /^(?:46|64) /.test(command) && command.includes(' in='))
const outcomes = reason
  ? []
  : answers(
      program,
      [object],
      vectors.map(({ command }) => command),
    )

/** By the packet itself: neither IPv4 option nor extension header nor fragment, and TCP, UDP or echo. */
const FINE = /^xdp=(?:same tc=same|passed tc=(?:passed|refused))$/

function tally(commands: readonly string[], args: readonly string[], seen: Map<string, number>): void {
  const lines = answers(program, [object, ...args], commands)
  expect(lines.length).toBe(commands.length)
  for (const [i, line] of lines.entries()) {
    if (!FINE.test(line))
      expect({ command: commands[i], line }).toEqual({ command: commands[i], line: 'xdp and tc alike' })
    seen.set(line, (seen.get(line) ?? 0) + 1)
  }
}

describe.skipIf(reason)(`the fast path (SEED=${SEED})${reason && ` (${reason})`}`, () => {
  it.each(vectors.map((vector, i) => ({ ...vector, outcome: outcomes[i] ?? '' })))(
    'agrees with the core on $topic: $name',
    ({ outcome }) => {
      expect(outcome).toMatch(FINE)
    },
  )

  it('translates the plain vectors by itself', () => {
    expect(outcomes.filter((line) => line === 'xdp=same tc=same').length).toBeGreaterThan(60)
  })

  it(`agrees with the core on ${COUNT} generated packets, and on as many spoilt ones`, { timeout: 600_000 }, () => {
    const random = new Random(SEED)
    const whole = new Map<string, number>()
    const spoilt = new Map<string, number>()
    for (let left = COUNT; left > 0; left -= BATCH) {
      const commands = Array.from({ length: Math.min(left, BATCH) }, () => generate(random))
      tally(commands, [], whole)
      tally(commands, [String(random.below(2 ** 31))], spoilt)
    }
    console.info(`SEED=${SEED}`, Object.fromEntries(whole), Object.fromEntries(spoilt))
    for (const seen of [whole, spoilt]) {
      expect(seen.get('xdp=same tc=same')).toBeGreaterThan(COUNT / 10)
      expect(seen.get('xdp=passed tc=passed')).toBeGreaterThan(COUNT / 10)
    }
  })
})
