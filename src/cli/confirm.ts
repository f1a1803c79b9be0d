// SPDX-License-Identifier: Apache-2.0
import { ask } from './client.ts'
import { DONE, type Io } from './io.ts'
import { parse } from './options.ts'

export async function run(args: string[], io: Io): Promise<number> {
  const { values, directories } = parse(args, {}, { min: 0, max: 0 })
  const answer = await ask(directories, { method: 'POST', path: '/api/v1/config/confirm' })
  io.out(values.json ? JSON.stringify(JSON.parse(answer), null, 2) : 'the change is kept')
  return DONE
}
