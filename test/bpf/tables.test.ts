// SPDX-License-Identifier: Apache-2.0
/** What the programs make of the tables that user space writes: test/bpf/tables.cc, a test for each story. */
import { describe, expect, it } from 'vitest'
import { buildPrograms } from '../../native/bpf.mjs'
import { answers, compile, refusal } from './program.ts'

const object = await buildPrograms()
const reason = refusal(await compile('bpf-run', 'test/bpf/run.cc'), object)
const program = await compile('bpf-tables', 'test/bpf/tables.cc')
const stories = reason ? [`ok does what its tables say (${reason})`] : answers(program, [object], [])

describe.skipIf(reason)('the fast path', () => {
  it.each(stories.map((line) => ({ line, name: line.replace(/^(?:not )?ok /, '').replace(/: .*/, '') })))(
    '$name',
    ({ line }) => {
      expect(line).toMatch(/^ok /)
    },
  )

  it.skipIf(reason)('has told all its stories', () => {
    expect(stories.length).toBeGreaterThan(15)
  })
})
