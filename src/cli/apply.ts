// SPDX-License-Identifier: Apache-2.0
import type { Static } from 'typebox'
import type { ConfigStateSchema } from '../api/schemas.ts'
import { readConfigFile } from '../config/durable.ts'
import { loadConfig } from '../config/load.ts'
import { parseDuration } from '../config/units.ts'
import type { GatewayError } from '../errors.ts'
import { askJson } from './client.ts'
import { DONE, type Io, printWarnings, UsageError } from './io.ts'
import { parse } from './options.ts'

export async function run(args: string[], io: Io): Promise<number> {
  const { operands, values, directories } = parse(args, { confirm: { type: 'string' } }, { min: 1, max: 1 })
  const [file = ''] = operands
  const { confirm } = values
  if (confirm !== undefined) checkDuration(confirm)
  const body = readConfigFile(file)
  // Judged here too, so that the faults name this file.
  loadConfig(body, file)
  const query = confirm === undefined ? '' : `?${new URLSearchParams({ confirm })}`
  const state = await askJson<Static<typeof ConfigStateSchema>>(directories, {
    method: 'PUT',
    path: `/api/v1/config${query}`,
    headers: { 'content-type': 'application/yaml', 'if-match': '*' },
    body,
  })
  printWarnings(io, state.warnings)
  if (values.json) io.out(JSON.stringify(state, null, 2))
  else if (!state.pending) io.out(`applied ${file}`)
  else io.out(`applied ${file} for ${state.pending.secondsLeft} s; keep it with \`sixgate confirm\``)
  return DONE
}

function checkDuration(text: string): void {
  try {
    parseDuration(text)
  } catch (error) {
    const [fault] = (error as GatewayError).faults
    throw new UsageError(`--confirm ${fault?.message ?? (error as Error).message}`)
  }
}
