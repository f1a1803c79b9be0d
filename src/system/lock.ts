// SPDX-License-Identifier: Apache-2.0
/** One daemon per run directory. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { GatewayError } from '../errors.ts'
import { findCommand } from './command.ts'

export interface Lock {
  release(): Promise<void>
}

/**
 * flock(1) locks the open file it inherits, and the lock stays with our descriptor: it ends with this process however
 * that ends, and there is no stale file to judge.
 */
export async function lock(path: string): Promise<Lock> {
  const flock = findCommand('flock', 'util-linux')
  const file = await open(path, 'a', 0o600)
  const child = spawn(flock, ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', file.fd] })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) {
    await file.close()
    throw new GatewayError('ALREADY_RUNNING', { detail: path })
  }
  return { release: () => file.close() }
}
