// SPDX-License-Identifier: Apache-2.0
/** Routes that only read: the state of the gateway, its metrics, its health and the API's own description. */

import { type Static, Type } from 'typebox'
import type { Config } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'
import { canonicalHost, parsePrefix } from '../net/address.ts'
import { policyStatus } from '../policy.ts'
import type { SessionFilter } from '../system/dataplane.ts'
import type { App, RouteContext } from './context.ts'
import type { Gateway } from './gateway.ts'
import { METRICS_TYPE, renderMetrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import * as shape from './schemas.ts'

/** The schemas' types are not read-only; what is sent is not written to. */
type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T

const viewer = { role: 'viewer' } as const
const open = { role: 'open' } as const

export function stateRoutes(app: App, context: RouteContext): void {
  const { gateway, version } = context
  app.get(
    '/api/v1/status',
    { config: viewer, schema: { summary: 'State of the gateway', response: { 200: shape.StatusSchema } } },
    async () => fullStatus(context),
  )
  tableRoutes(app, gateway)
  app.get(
    '/api/v1/dns64',
    { config: viewer, schema: { summary: 'Counters of DNS64', response: { 200: shape.Dns64Schema } } },
    async () => {
      if (!gateway.dns64) throw new GatewayError('NOT_FOUND', { detail: 'dns64 is not configured' })
      return gateway.dns64.stats() as Static<typeof shape.Dns64Schema>
    },
  )
  app.get(
    '/metrics',
    {
      config: viewer,
      schema: { summary: 'Metrics for Prometheus', produces: ['text/plain'], response: { 200: Type.String() } },
    },
    async (_, reply) => {
      reply.type(METRICS_TYPE)
      return renderMetrics(context)
    },
  )
  app.get(
    '/healthz',
    {
      config: open,
      schema: { summary: 'Whether the gateway works', response: { 200: shape.HealthSchema, 503: shape.HealthSchema } },
    },
    async (_, reply) => {
      const reasons = failures(gateway)
      reply.code(reasons.length === 0 ? 200 : 503)
      return { status: reasons.length === 0 ? ('ok' as const) : ('failing' as const), reasons }
    },
  )
  app.get(
    '/openapi.json',
    {
      config: open,
      schema: { summary: 'This description', response: { 200: Type.Object({}, { additionalProperties: true }) } },
    },
    async () => openApi(context.routes, version),
  )
}

function tableRoutes(app: App, gateway: Gateway): void {
  const schema = (summary: string) => ({ summary, querystring: shape.FilterQuery })
  app.get(
    '/api/v1/sessions',
    { config: viewer, schema: { ...schema('NAT64 sessions'), response: { 200: shape.SessionsSchema } } },
    async ({ query }) => ({ sessions: [...(gateway.dataplane?.sessions(filter(query)) ?? [])] }),
  )
  app.get(
    '/api/v1/bindings',
    { config: viewer, schema: { ...schema('NAT64 bindings (BIB)'), response: { 200: shape.BindingsSchema } } },
    async ({ query }) => ({ bindings: [...(gateway.dataplane?.bindings(filter(query)) ?? [])] }),
  )
  app.get(
    '/api/v1/drops',
    { config: viewer, schema: { summary: 'Lost packets by reason', response: { 200: shape.DropsSchema } } },
    async () => ({ drops: (gateway.dataplane?.drops() ?? []).map((drop) => ({ ...drop, last: [...drop.last] })) }),
  )
  app.get(
    '/api/v1/clients',
    {
      config: viewer,
      schema: { summary: 'Traffic by client', querystring: shape.ClientsQuery, response: { 200: shape.ClientsSchema } },
    },
    async ({ query }) => ({ clients: [...topClients(gateway, query.top)] }),
  )
  app.get(
    '/api/v1/policy',
    { config: viewer, schema: { summary: 'Nodes of the policy', response: { 200: shape.PolicySchema } } },
    async () => ({ policy: policyStatus(gateway.config, gateway.dataplane) }),
  )
}

export function topClients({ config, dataplane }: Gateway, top = config.accounting.top) {
  return dataplane?.clients(top) ?? []
}

/** Every spelling of an address or prefix asks for the same; a mapped address is the IPv4 host. */
export function canonicalEnd(text: string): string {
  return (text.includes('/') ? parsePrefix(text) : canonicalHost(text)).toString()
}

function filter({
  protocol,
  address,
  limit,
}: {
  protocol?: SessionFilter['protocol']
  address?: string
  limit: number
}) {
  return {
    limit,
    ...(protocol === undefined ? {} : { protocol }),
    ...(address === undefined ? {} : { address: canonicalEnd(address) }),
  }
}

function fullStatus({ gateway, store, version, endpoints }: RouteContext) {
  const { etag, file, origin, warnings } = store
  const status = {
    ...gateway.status(),
    version,
    config: { etag, pending: store.pending ?? null, warnings, file, origin },
    api: { listen: [...endpoints()] },
  }
  return status as Writable<typeof status>
}

/** Every part that is configured must be there. */
function failures(gateway: Gateway): string[] {
  const parts: [keyof Config & ('nat64' | 'siit' | 'dns64'), unknown][] = [
    ['nat64', gateway.dataplane],
    ['siit', gateway.dataplane],
    ['dns64', gateway.dns64],
  ]
  return parts.filter(([name, part]) => gateway.config[name] && !part).map(([name]) => `${name} does not run`)
}
