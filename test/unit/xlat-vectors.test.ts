// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, it } from 'vitest'
import { build, readVectors, SANITIZERS } from './xlat.ts'

const vectors = readVectors()
const topics = [...new Set(vectors.map((vector) => vector.topic))]
const builds = [
  { as: 'C11 under sanitizers', compiler: 'gcc', flags: ['-std=c11', ...SANITIZERS] },
  { as: 'C++20, optimized', compiler: 'g++', flags: ['-x', 'c++', '-std=c++20', '-O2'] },
]

describe.each(builds)('the translation core as $as', ({ compiler, flags }) => {
  const answers = new Map<string, string>()

  beforeAll(async () => {
    const program = await build(compiler, 'run.c', flags)
    const input = vectors.map((vector) => `${vector.command}\n`).join('')
    const done = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 26 })
    expect(done.stderr).toBe('')
    expect(done.status).toBe(0)
    const lines = done.stdout.split('\n')
    expect(lines.length).toBe(vectors.length + 1)
    for (const [i, vector] of vectors.entries()) answers.set(vector.topic + vector.name, lines[i] ?? '')
  })

  describe.each(topics)('%s', (topic) => {
    it.each(vectors.filter((vector) => vector.topic === topic))('$name', (vector) => {
      expect(answers.get(topic + vector.name)).toBe(vector.expected)
    })
  })
})
