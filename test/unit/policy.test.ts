// SPDX-License-Identifier: Apache-2.0
/** The compiled policy (native/policy.*) against its slow twin, and its limiters, under the sanitizers. */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { buildProgram, execute, files, native } from './native-program.ts'

it('nodes are met as by looking at each of them, and no client gets more than its limits', async () => {
  const program = await buildProgram({
    name: 'policy',
    sources: [...files(native, /^policy(_limiter)?\.cc$/), join(import.meta.dirname, 'policy/twin.cc')],
    headers: [
      ...files(native, /^(policy.*|prefix_table|session|translator_counters)\.h$/),
      ...files(join(native, 'xlat'), /\.h$/),
    ],
  })
  const seed = randomInt(2 ** 32)
  const { stdout } = await execute(program, [String(seed)]).catch((error) => {
    throw new Error(`seed ${seed}: ${error.stdout}${error.stderr}`)
  })
  expect(Number(stdout), `seed ${seed}`).toBeGreaterThan(1000)
})
