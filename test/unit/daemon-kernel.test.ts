// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'

const isRoot = process.getuid?.() === 0
const program = fileURLToPath(new URL('daemon-namespace.ts', import.meta.url))

describe('the daemon in a namespace', () => {
  const name =
    'leaves ip, nft and sysctl as they were, also after a failure of each step, heals what others break, and moves'
  it.skipIf(!isRoot)(isRoot ? name : `${name} (needs root)`, { timeout: 120_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sixgate-daemon-'))
    onTestFinished(() => rm(directory, { recursive: true }))
    const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, program, directory])
    const [whole, ...rest] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(whole).toMatchObject({ changed: true, back: true })
    expect(whole.steps).toBeGreaterThan(20)
    const failures = rest.filter((result) => 'step' in result)
    const losses = rest.filter((result) => 'lost' in result)
    expect(failures).toEqual(failures.map((_, step) => ({ step, outcome: 'injected', back: true })))
    expect(failures).toHaveLength(whole.steps)
    expect(losses).toHaveLength(4)
    expect(losses).toEqual(losses.map((loss) => ({ ...loss, damaged: true, healed: true })))
    expect(rest.at(-2)).toEqual({ moved: ['192.0.2.9/24'], kept: '203.0.113.0/24 via 192.0.2.7 dev wan0' })
    expect(rest.at(-1)).toEqual({ adopted: true, back: true })
  })
})
