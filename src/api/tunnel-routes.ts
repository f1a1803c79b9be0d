// SPDX-License-Identifier: Apache-2.0
/** Routes of the tunnels: their state, and the part of the configuration that they are. */
import type { Static } from 'typebox'
import { putTunnel, removeTunnel } from '../config/edit.ts'
import { GatewayError } from '../errors.ts'
import type { TunnelStatus } from '../tunnel-service.ts'
import { changeOptions } from './config-routes.ts'
import type { App, RouteContext } from './context.ts'
import * as shape from './schemas.ts'
import { bodyJudgedLater } from './validate.ts'

const viewer = { role: 'viewer' } as const

/** The schemas' types are not read-only; what is sent is not written to. */
const sent = (status: TunnelStatus) => status as unknown as Static<typeof shape.TunnelSchema>

export function tunnelRoutes(app: App, { gateway, store }: RouteContext): void {
  const all = () => gateway.tunnels?.report() ?? { tunnels: [], strays: [] }
  const one = (name: string) => {
    const found = all().tunnels.find((tunnel) => tunnel.name === name)
    if (!found) throw new GatewayError('NOT_FOUND', { detail: `no tunnel is called ${name}` })
    return sent(found)
  }

  app.get(
    '/api/v1/tunnels',
    { config: viewer, schema: { summary: 'Tunnels of IPv6 over IPv4', response: { 200: shape.TunnelsSchema } } },
    async () => ({ tunnels: all().tunnels.map(sent), strays: [...all().strays] }),
  )

  app.get(
    '/api/v1/tunnels/:name',
    {
      config: viewer,
      schema: { summary: 'One tunnel', params: shape.TunnelParams, response: { 200: shape.TunnelSchema } },
    },
    async ({ params }) => one(params.name),
  )

  app.put(
    '/api/v1/tunnels/:name',
    {
      validatorCompiler: bodyJudgedLater,
      schema: {
        summary: 'Make a tunnel, or change the one of this name',
        headers: shape.IfMatchHeader,
        params: shape.TunnelParams,
        body: shape.TunnelBody,
        response: { 200: shape.TunnelSchema, 201: shape.TunnelSchema },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const tunnel = { ...named(request.body, name), name }
      const fresh = !store.config.tunnels.some((other) => other.name === name)
      await store.edit((text, config) => putTunnel(text, config, tunnel), changeOptions(request))
      reply.code(fresh ? 201 : 200).header('etag', store.etag)
      return one(name)
    },
  )

  app.delete(
    '/api/v1/tunnels/:name',
    {
      schema: {
        summary: 'Remove a tunnel',
        headers: shape.IfMatchHeader,
        params: shape.TunnelParams,
        response: { 200: shape.TunnelsSchema },
      },
    },
    async (request, reply) => {
      await store.edit((text, config) => removeTunnel(text, config, request.params.name), changeOptions(request))
      reply.header('etag', store.etag)
      return { tunnels: all().tunnels.map(sent), strays: [...all().strays] }
    },
  )
}

/** The body as it came: whether it is right is for the check of the whole configuration to say. */
function named(body: unknown, name: string): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new GatewayError('REQUEST_INVALID', { detail: 'the body is no tunnel' })
  const { name: other = name } = body as { name?: unknown }
  if (other === name) return body as Record<string, unknown>
  const message = `is ${JSON.stringify(other)}, but the path says ${name}`
  throw new GatewayError('REQUEST_INVALID', {
    faults: [
      { path: '/name', message, remedy: 'Leave it out; a tunnel is renamed by removing it and making another.' },
    ],
  })
}
