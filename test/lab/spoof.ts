// SPDX-License-Identifier: Apache-2.0
/** Floods from forged addresses: spoof.cc, compiled once, run in a namespace. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Namespace } from './netns.ts'
import { run } from './process.ts'

const source = join(import.meta.dirname, 'spoof.cc')
const out = join(import.meta.dirname, '../../.cache/lab')

async function program(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16)
  const target = join(out, `spoof-${hash}`)
  if (existsSync(target)) return target
  mkdirSync(out, { recursive: true })
  const scratch = `${target}.${process.pid}`
  await run('g++', ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-o', scratch, source])
  renameSync(scratch, target)
  return target
}

export interface Flood {
  readonly kind: 'syn' | 'fragment'
  /** Prefixes or addresses of one family. */
  readonly from: string
  readonly to: string
  /** Of a SYN; all ports in turn without it. */
  readonly port?: number
  readonly count: number
  /** Packets a second. */
  readonly rate: number
}

/** Ends when all are sent. */
export async function spoof(namespace: Namespace, { kind, from, to, port = 0, count, rate }: Flood): Promise<void> {
  const args = [kind, from, to, port, count, rate].map(String)
  await namespace.run(await program(), args, { timeout: 100 })
}
