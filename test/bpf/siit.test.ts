// SPDX-License-Identifier: Apache-2.0
/** Packets without a flow against the translator's own stateless tables; SEED repeats a run. */
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { buildPrograms } from '../../native/bpf.mjs'
import { answers, compile, refusal } from './program.ts'

const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32LE())
const COUNT = 5000
const MAPS = 8

const object = await buildPrograms()
const reason = refusal(await compile('bpf-run', 'test/bpf/run.cc'), object)
const program = await compile('bpf-siit', 'test/bpf/siit.cc', 'native/eam.cc')

describe.skipIf(reason)(`the fast path without state (SEED=${SEED})${reason && ` (${reason})`}`, () => {
  it.each(Array.from({ length: MAPS }, (_, i) => (SEED + i) % 2 ** 32))(
    'translates as the translator does, with the mappings of seed %i',
    (seed) => {
      const rows = answers(program, [object, String(seed), String(COUNT)], [])
      const seen = new Map(rows.map((row) => [row.replace(/ \d+$/, ''), Number(/\d+$/.exec(row)?.[0])]))
      const fine = ['46', '64'].flatMap((way) => ['tc', 'xdp'].map((by) => `${way} ${by}`))
      expect([...seen.keys()].sort()).toEqual(fine.flatMap((way) => [`${way} left alone`, `${way} translated`]))
      for (const way of fine) expect(seen.get(`${way} translated`)).toBeGreaterThan(COUNT / 20)
    },
  )
})
