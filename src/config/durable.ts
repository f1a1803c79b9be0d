// SPDX-License-Identifier: Apache-2.0
/**
 * Files that survive a power cut: the new text is complete on the disk before its name points to it, so a
 * reader finds the old file or the new one, never a part.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { GatewayError } from '../errors.ts'

/** Told before each step that reaches the disk; a test throws from it where the power is cut. */
export type DiskStep = (step: 'create' | 'write' | 'sync' | 'rename' | 'sync directory', path: string) => void

/** A text that is on the disk under another name and takes its place with commit(). */
export interface Prepared {
  commit(): void
  abandon(): void
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The text of a file, or undefined when there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Tens of thousands of static bindings fit. */
const CONFIG_LIMIT = 4 * 2 ** 20

/** The text of a file that must be there; it may be a pipe, so its size is only known by reading. */
export function readConfigFile(path: string): string {
  try {
    return readBounded(path, CONFIG_LIMIT)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const plain: Record<string, string> = {
      ENOENT: `${path} does not exist`,
      EISDIR: `${path} is a directory`,
      EFBIG: `${path} is larger than 4 MiB`,
      ERR_ENCODING_INVALID_ENCODED_DATA: `${path} is not UTF-8 text`,
    }
    throw new GatewayError('CONFIG_UNREADABLE', { detail: plain[code ?? ''] ?? message, cause: error })
  }
}

function readBounded(path: string, limit: number): string {
  const file = openSync(path, 'r')
  try {
    const room = Buffer.allocUnsafe(limit + 1)
    let size = 0
    for (let read = -1; read !== 0 && size <= limit; size += read)
      read = readSync(file, room, size, room.length - size, null)
    if (size > limit) throw Object.assign(new Error('too large'), { code: 'EFBIG' })
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(room.subarray(0, size))
  } finally {
    closeSync(file)
  }
}

/** Everything that can fail for want of space or permission happens here, before the change is made. */
export function prepare(path: string, text: string, step: DiskStep = () => {}): Prepared {
  const target = throughLinks(path)
  const before = statSync(target, { throwIfNoEntry: false })
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`)
  step('create', temporary)
  const file = openSync(temporary, 'w', 0o600)
  try {
    if (before) {
      fchmodSync(file, before.mode & 0o7777)
      fchownSync(file, before.uid, before.gid)
    }
    step('write', temporary)
    writeAll(file, Buffer.from(text))
    step('sync', temporary)
    fsyncSync(file)
  } catch (error) {
    remove(temporary)
    throw error
  } finally {
    closeSync(file)
  }
  return {
    commit() {
      step('rename', target)
      renameSync(temporary, target)
      step('sync directory', dirname(target))
      syncDirectory(dirname(target))
    },
    abandon: () => remove(temporary),
  }
}

export function writeDurably(path: string, text: string, step?: DiskStep): void {
  const prepared = prepare(path, text, step)
  try {
    prepared.commit()
  } catch (error) {
    prepared.abandon()
    throw error
  }
}

/** A symbolic link stays one: what it points to is replaced. */
function throughLinks(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done)
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It was renamed or never made; a leftover is overwritten by the next change.
  }
}
