// SPDX-License-Identifier: Apache-2.0
/** The stateful machine (native/session*, pool, fragment) by its own test program, under the sanitizers. */
import { describe, expect, it } from 'vitest'
import { build, execute } from './session-program.ts'

const program = await build()
const sentences = (await execute(program, ['--list'])).stdout.trim().split('\n')

describe('session table', () => {
  for (const sentence of sentences) {
    it(sentence, async () => {
      const result = await execute(program, [sentence]).catch((error) => error as { stdout: string; stderr: string })
      expect(`${result.stdout}${result.stderr}`).toBe('')
    })
  }

  it('has a case for every topic', () => {
    expect(sentences.length).toBeGreaterThan(50)
  })
})
