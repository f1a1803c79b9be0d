// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { DONE, type Io } from './io.ts'
import { parse } from './options.ts'

/** The version of the package this file is part of. */
export function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
}

export function run(args: string[], io: Io): number {
  const { values } = parse(args, {}, { min: 0, max: 0 })
  io.out(values.json ? JSON.stringify({ version: version() }) : `sixgate ${version()}`)
  return DONE
}
