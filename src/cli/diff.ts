// SPDX-License-Identifier: Apache-2.0
/**
 * What applying a file would change: both sides as canonical YAML with all defaults, so that two spellings of
 * one address are no difference.
 */
import type { Static } from 'typebox'
import type { StatusSchema } from '../api/schemas.ts'
import { readConfigFile } from '../config/durable.ts'
import { loadConfig, renderConfig, validateConfig } from '../config/load.ts'
import { askJson } from './client.ts'
import { DONE, type Io, printable } from './io.ts'
import { diffLines, hunks } from './line-diff.ts'
import { parse } from './options.ts'

export async function run(args: string[], io: Io): Promise<number> {
  const { operands, values, directories } = parse(args, {}, { min: 0, max: 1 })
  const file =
    operands[0] ?? (await askJson<Static<typeof StatusSchema>>(directories, { path: '/api/v1/status' })).config.file
  const wanted = renderConfig(loadConfig(readConfigFile(file), file))
  const running = renderConfig(validateConfig(await askJson<unknown>(directories, { path: '/api/v1/config' })))
  const lines = diffLines(running.split('\n'), wanted.split('\n'))
  const changes = lines.filter(({ kind }) => kind !== ' ')
  if (values.json) io.out(JSON.stringify({ file, equal: changes.length === 0, changes }, null, 2))
  else if (changes.length === 0) io.out(`${printable(file)}: no difference from what runs`)
  else for (const line of [`--- running`, `+++ ${file}`, ...hunks(lines)]) io.out(printable(line))
  return DONE
}
