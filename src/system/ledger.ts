// SPDX-License-Identifier: Apache-2.0
/**
 * What the gateway has set and what was there before, on disk before the kernel is touched: a daemon that was
 * killed leaves it, and its successor takes back what is no longer wanted.
 */
import { open, readFile, rename, rm } from 'node:fs/promises'
import type { Resource } from './system.ts'

export interface Entry {
  /** Absent: it did not exist. */
  readonly original?: Resource
  /** Absent: the gateway removed it. */
  readonly set?: Resource
}

export type Entries = ReadonlyMap<string, Entry>

export interface Ledger {
  readonly entries: Entries
  save(entries: Entries): Promise<void>
}

interface LedgerFile {
  readonly identity: string
  readonly entries: [string, Entry][]
}

/** Replaces a file whole: a reader, or a crash, sees the old text or the new. */
export async function writeAtomically(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

export class FileLedger implements Ledger {
  readonly #path: string
  readonly #identity: string
  #entries: Entries

  private constructor(path: string, identity: string, entries: Entries) {
    this.#path = path
    this.#identity = identity
    this.#entries = entries
  }

  /** A ledger of another boot or network namespace tells nothing about this one. */
  static async open(path: string, identity: string): Promise<FileLedger> {
    let file: LedgerFile | undefined
    try {
      file = JSON.parse(await readFile(path, 'utf8')) as LedgerFile
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && !(error instanceof SyntaxError)) throw error
    }
    const entries = file?.identity === identity ? file.entries : []
    return new FileLedger(path, identity, new Map(entries))
  }

  get entries(): Entries {
    return this.#entries
  }

  async save(entries: Entries): Promise<void> {
    if (entries.size === 0) await rm(this.#path, { force: true })
    else {
      const file: LedgerFile = { identity: this.#identity, entries: [...entries] }
      await writeAtomically(this.#path, `${JSON.stringify(file)}\n`)
    }
    this.#entries = entries
  }
}

export class MemoryLedger implements Ledger {
  entries: Entries = new Map()

  async save(entries: Entries): Promise<void> {
    this.entries = entries
  }
}
