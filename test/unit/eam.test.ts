// SPDX-License-Identifier: Apache-2.0
/** The explicit address mappings (native/eam.*) against their slow twin, under the sanitizers. */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const directory = mkdtempSync(join(tmpdir(), 'sixgate-eam-'))
const program = join(directory, 'twin')
const FLAGS = ['-std=c++20', '-O1', '-g1', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined']

beforeAll(() => {
  const sources = [join(root, 'native/eam.cc'), join(root, 'test/unit/eam/twin.cc')]
  execFileSync('g++', [...FLAGS, '-fno-sanitize-recover=all', '-I', join(root, 'native'), '-o', program, ...sources])
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

it('explicit mappings are found as by looking at each of them', () => {
  const seed = randomInt(2 ** 32)
  const hits = Number(execFileSync(program, [String(seed)], { encoding: 'utf8' }))
  expect(hits, `seed ${seed}`).toBeGreaterThan(1000)
})
