// SPDX-License-Identifier: Apache-2.0
/** Loads the addon that native/build.mjs makes. */
import { createRequire } from 'node:module'

/** The raw exports; each user narrows what it needs. */
export type Addon = Readonly<Record<string, unknown>>

let loaded: Addon | undefined

export function loadAddon(): Addon {
  loaded ??= createRequire(import.meta.url)('../../native/build/sixgate.node') as Addon
  return loaded
}
