// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { build, readVectors, SANITIZERS } from './xlat.ts'

const COUNT = 100_000

/** XLAT_SEED repeats a run. */
const seed = process.env.XLAT_SEED ?? String(Date.now() % 1e9)

it(`survives ${COUNT} spoiled packets, and breaks no checksum that was right`, async () => {
  const program = await build('gcc', 'mutate.c', ['-std=c11', ...SANITIZERS])
  const input = readVectors()
    .map((vector) => vector.command)
    .filter((command) => command.includes(' in='))
    .join('\n')
  const done = spawnSync(program, [seed, String(COUNT)], { input, encoding: 'utf8', timeout: 50_000 })
  console.info(`XLAT_SEED=${seed}: ${done.stdout.trim()}`)
  expect(done.stderr).toBe('')
  expect(`${done.stdout}seed ${seed}, status ${done.status}`).toMatch(/of \d+ translated\nseed \d+, status 0$/)
  const translated = Number(/^\d+/.exec(done.stdout)?.[0])
  expect(translated).toBeGreaterThan(COUNT / 10)
})
