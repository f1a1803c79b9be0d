// SPDX-License-Identifier: Apache-2.0
/** A configuration at one time: its text, its meaning, and the tag of the meaning. */
import { sha256 } from './durable.ts'
import { loadConfig } from './load.ts'
import type { Config } from './schema.ts'

/** A configuration and the text it was written as. */
export interface Revision {
  readonly text: string
  readonly config: Config
  readonly etag: string
}

export function readRevision(text: string, origin: string): Revision {
  const config = loadConfig(text, origin)
  return { text, config, etag: etagOf(config) }
}

/** Of the meaning, not of the text: two spellings of one configuration have one tag. */
export function etagOf(config: Config): string {
  return `"${sha256(canonicalJson(config)).slice(0, 32)}"`
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).filter(([, child]) => child !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, child]) => `${JSON.stringify(key)}:${canonicalJson(child)}`).join(',')}}`
}
