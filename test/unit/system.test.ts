// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { FakeSystem } from '../../src/system/fake.ts'
import { CONTRACT, KERNEL } from './system-contract.ts'

const isRoot = process.getuid?.() === 0
const program = fileURLToPath(new URL('system-namespace.ts', import.meta.url))

interface Result {
  readonly name: string
  readonly error?: string
}

async function inNamespace(): Promise<Map<string, Result>> {
  const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, program])
  const results = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Result)
  return new Map(results.map((result) => [result.name, result]))
}

describe('the fake system', () => {
  for (const { name, run } of CONTRACT) it(name, () => run(new FakeSystem(['lo', 'lan0', 'wan0', 'point0'])))
})

describe('the real system in a namespace', () => {
  let results: Promise<Map<string, Result>> | undefined
  for (const { name } of [...CONTRACT, ...KERNEL]) {
    it.skipIf(!isRoot)(isRoot ? name : `${name} (needs root)`, async () => {
      results ??= inNamespace()
      const result = (await results).get(name)
      expect(result?.error).toBeUndefined()
      expect(result).toBeDefined()
    })
  }
})
