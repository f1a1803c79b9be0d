// SPDX-License-Identifier: Apache-2.0
/** A configuration at one time: its text, its meaning, and the tag of the meaning. */
import { sha256 } from './durable.ts'
import { type Loaded, readConfig } from './load.ts'
import type { Config } from './schema.ts'

/** A configuration and the text it was written as. */
export interface Revision extends Loaded {
  readonly text: string
  readonly etag: string
}

export function readRevision(text: string, origin: string): Revision {
  const loaded = readConfig(text, origin)
  return { ...loaded, text, etag: etagOf(loaded.config) }
}

/** Of the meaning, not of the text: two spellings of one configuration have one tag. */
function etagOf(config: Config): string {
  return `"${sha256(canonicalJson(config)).slice(0, 32)}"`
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).filter(([, child]) => child !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, child]) => `${JSON.stringify(key)}:${canonicalJson(child)}`).join(',')}}`
}
