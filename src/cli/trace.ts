// SPDX-License-Identifier: Apache-2.0
import type { Static } from 'typebox'
import type * as shape from '../api/schemas.ts'
import type { TracedPacket } from '../system/dataplane.ts'
import { askJson, follow } from './client.ts'
import { DONE, type Io, printable } from './io.ts'
import { type Directories, parse } from './options.ts'
import { wayLines } from './packet-text.ts'

const OPTIONS = {
  from: { type: 'string' },
  to: { type: 'string' },
  protocol: { type: 'string' },
  limit: { type: 'string' },
  seconds: { type: 'string' },
} as const

const INJECT = { inject: { type: 'string' } } as const

const ENDS = { limit: 'the limit is reached', time: 'the time is up', closed: 'the gateway ended it' }

export async function run(args: string[], io: Io): Promise<number> {
  const { values, directories } = parse(args, { ...OPTIONS, ...INJECT }, { min: 0, max: 0 })
  if (values.inject !== undefined) return inject(values.inject, directories, values.json === true, io)
  const query = new URLSearchParams()
  for (const name of Object.keys(OPTIONS) as (keyof typeof OPTIONS)[])
    if (values[name] !== undefined) query.set(name, values[name])
  await follow(directories, `/api/v1/trace?${query}`, (text) => {
    if (values.json) return io.out(text)
    const line = JSON.parse(text) as Static<typeof shape.TraceLineSchema>
    if ('started' in line) return io.err('following; Ctrl-C ends it')
    if ('ended' in line) {
      const missed = line.missed > 0 ? `, ${line.missed} more came too fast or too late to be shown` : ''
      return io.err(`${ENDS[line.ended]}: ${line.packets} packets${missed}`)
    }
    for (const shown of wayLines(line as TracedPacket)) io.out(printable(shown))
  })
  return DONE
}

async function inject(packet: string, directories: Directories, json: boolean, io: Io): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  const request = { method: 'POST', path: '/api/v1/trace', headers, body: JSON.stringify({ packet }) } as const
  const traced = await askJson<TracedPacket>(directories, request)
  const lines = json ? [JSON.stringify(traced, null, 2)] : wayLines(traced, true)
  for (const line of lines) io.out(json ? line : printable(line))
  return DONE
}
