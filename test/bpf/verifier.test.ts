// SPDX-License-Identifier: Apache-2.0
/** What this kernel's verifier tells of the programs, against what an older one is known to bear. */
import { describe, expect, it } from 'vitest'
import { buildPrograms } from '../../native/bpf.mjs'
import { answers, compile, refusal } from './program.ts'

const object = await buildPrograms()
const reason = refusal(await compile('bpf-run', 'test/bpf/run.cc'), object)
const program = await compile('bpf-verifier', 'test/bpf/verifier.cc')

describe.skipIf(reason)(`the verifier of Linux 6.1${reason && ` (${reason})`}`, () => {
  it('would bear both programs', () => {
    expect(answers(program, [object], [])).toEqual(['gateway_xdp fits', 'gateway_tc fits'])
  })
})
