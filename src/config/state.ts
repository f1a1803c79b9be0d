// SPDX-License-Identifier: Apache-2.0
/** The daemon's memory of the configuration file, across restarts. */

/** A change that is undone at its deadline unless it is confirmed. */
export interface Pending {
  readonly etag: string
  /** ISO 8601. */
  readonly deadline: string
}

/** What state.json holds. */
export interface State {
  readonly version: 1
  readonly file: string
  /** Hash of the file's text when the daemon last dealt with it. */
  readonly seen: string | null
  readonly pending: Pending | null
}

export function parseState(text: string): State {
  const { version, file, seen, pending } = JSON.parse(text)
  if (version !== 1 || typeof file !== 'string') throw new Error('unknown state version')
  const waits = typeof pending?.deadline === 'string' && typeof pending?.etag === 'string'
  return { version, file, seen: typeof seen === 'string' ? seen : null, pending: waits ? pending : null }
}
