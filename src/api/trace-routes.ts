// SPDX-License-Identifier: Apache-2.0
/** Following packets live: a line of JSON for each, until the limit, the time or the client ends it. */
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Static } from 'typebox'
import { GatewayError } from '../errors.ts'
import { packetOf } from '../net/packet.ts'
import type { TraceFilter } from '../system/dataplane.ts'
import type { App, RouteContext } from './context.ts'
import type { Gateway } from './gateway.ts'
import * as shape from './schemas.ts'
import { canonicalEnd } from './state-routes.ts'

/** Between two looks at what the packet threads have kept. */
const INTERVAL = 50

type Query = Static<typeof shape.TraceQuery>
type Line = Static<typeof shape.TraceLineSchema>
type Plane = NonNullable<Gateway['dataplane']>

export function traceRoutes(app: App, { gateway }: RouteContext): void {
  foreseeRoute(app, gateway)
  app.get(
    '/api/v1/trace',
    {
      // a HEAD would trace and throw it away
      exposeHeadRoute: false,
      config: { role: 'admin' },
      schema: {
        summary: 'Follow packets live',
        querystring: shape.TraceQuery,
        produces: ['application/x-ndjson'],
        response: { 200: shape.TraceLineSchema },
      },
    },
    async ({ query }, reply) => {
      const dataplane = planeOf(gateway)
      const trace = dataplane.openTrace(filter(query))
      if (trace === 0) throw new GatewayError('TRACE_BUSY')
      const lines = Readable.from(follow(dataplane, trace, query))
      // however it ends, and before the generator would look again
      reply.raw.once('close', () => dataplane.closeTrace(trace))
      // the schema is that of a line
      return reply.type('application/x-ndjson').send(lines as unknown as Line)
    },
  )
}

function foreseeRoute(app: App, gateway: Gateway): void {
  app.post(
    '/api/v1/trace',
    {
      config: { role: 'admin' },
      schema: {
        summary: 'What would become of a packet, which is not sent',
        body: shape.InjectBody,
        response: { 200: shape.TracedSchema },
      },
    },
    async ({ body }) => planeOf(gateway).foresee(packetOf(body.packet)) as Static<typeof shape.TracedSchema>,
  )
}

function planeOf({ dataplane }: Gateway): Plane {
  if (!dataplane) throw new GatewayError('NOT_FOUND', { detail: 'nat64 is not configured' })
  return dataplane
}

async function* follow(dataplane: Plane, trace: number, { limit, seconds }: Query): AsyncGenerator<string> {
  const until = performance.now() + seconds * 1000
  let packets = 0
  let missed = 0
  let ended: 'limit' | 'time' | 'closed' | undefined
  yield line({ started: new Date().toISOString() })
  while (ended === undefined) {
    const late = performance.now() >= until
    const batch = dataplane.readTrace(trace)
    const shown = batch?.packets.slice(0, limit - packets) ?? []
    packets += shown.length
    missed += (batch?.missed ?? 0) + (batch?.packets.length ?? 0) - shown.length
    for (const packet of shown) yield line(packet)
    if (!batch) ended = 'closed'
    else if (packets === limit) ended = 'limit'
    else if (late) ended = 'time'
    else await sleep(INTERVAL)
  }
  yield line({ ended, packets, missed })
}

const line = (value: Line) => `${JSON.stringify(value)}\n`

function filter({ from, to, protocol }: Query): TraceFilter {
  return {
    ...(from === undefined ? {} : { from: canonicalEnd(from) }),
    ...(to === undefined ? {} : { to: canonicalEnd(to) }),
    ...(protocol === undefined ? {} : { protocol }),
  }
}
