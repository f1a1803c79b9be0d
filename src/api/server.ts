// SPDX-License-Identifier: Apache-2.0
/** The REST API: one application behind the unix socket and behind every endpoint of `api.listen`. */
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { canonicalHost } from '../net/address.ts'
import { authenticate, authorize, LOCAL } from './auth.ts'
import { configRoutes } from './config-routes.ts'
import type { ApiOptions, App, RouteContext } from './context.ts'
import { close, Listeners, listenUnix, type Staged } from './listeners.ts'
import { describe, type RouteRecord } from './openapi.ts'
import { PROBLEM_TYPE, toGatewayError, toProblem } from './problem.ts'
import { stateRoutes } from './state-routes.ts'
import { traceRoutes } from './trace-routes.ts'
import { tunnelRoutes } from './tunnel-routes.ts'
import { validator } from './validate.ts'

const BODY_LIMIT = 1024 * 1024

export interface Api {
  /** What is listened on, with the port numbers that were given. */
  readonly endpoints: readonly string[]
  /** Opens new endpoints before a change of the configuration; commit() closes those that are gone. */
  stage(listen: readonly string[]): Promise<Staged>
  close(): Promise<void>
}

export async function startApi(options: ApiOptions): Promise<Api> {
  const local = new WeakSet<IncomingMessage>()
  let listeners: Listeners | undefined
  const app = await createApp(
    options,
    (request) => local.has(request),
    () => listeners?.endpoints ?? [],
  )
  listeners = new Listeners((request, response) => app.routing(request, response))
  const fromSocket: RequestListener = (request, response) => {
    local.add(request)
    app.routing(request, response)
  }
  let unix: Server | undefined
  const stop = async () => {
    await Promise.all([listeners.close(), unix && close(unix)])
    await app.close()
  }
  try {
    const sockets = await listeners.stage(options.gateway.config.api.listen)
    sockets.commit()
    // The last one: whoever is answered there speaks to a gateway that has all its sockets.
    if (options.socket !== undefined) unix = await listenUnix(options.socket, fromSocket)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    get endpoints() {
      return listeners.endpoints
    },
    stage: (listen) => listeners.stage(listen),
    close: stop,
  }
}

async function createApp(
  options: ApiOptions,
  isLocal: (request: IncomingMessage) => boolean,
  endpoints: () => readonly string[],
): Promise<App> {
  const app: App = Fastify({
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: true,
    frameworkErrors: (error, request, reply) => refuse(request, reply, toGatewayError(error), options.log),
  }).withTypeProvider<TypeBoxTypeProvider>()
  const routes: RouteRecord[] = []
  app.addHook('onRoute', (route) => void routes.push(describe(route)))
  app.setValidatorCompiler(validator)
  app.setSerializerCompiler(() => JSON.stringify)
  acceptBodies(app)
  guard(app, options, isLocal)
  app.setNotFoundHandler((request, reply) => refuseUnknown(request, reply, routes, options.log))
  const context: RouteContext = { ...options, routes, endpoints }
  configRoutes(app, context)
  stateRoutes(app, context)
  traceRoutes(app, context)
  tunnelRoutes(app, context)
  await app.ready()
  return app
}

function acceptBodies(app: App): void {
  app.removeContentTypeParser('text/plain')
  const types = ['application/yaml', 'application/x-yaml', 'text/yaml']
  app.addContentTypeParser(types, { parseAs: 'string' }, (_, text, done) => done(null, text))
}

/** Authentication before, the log after, and problem documents for whatever goes wrong between. */
function guard(app: App, { gateway, log }: ApiOptions, isLocal: (request: IncomingMessage) => boolean): void {
  app.decorateRequest('principal', undefined)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    const role = request.is404 ? 'open' : (request.routeOptions.config.role ?? 'admin')
    if (role === 'open') return
    request.principal = isLocal(request.raw)
      ? LOCAL
      : authenticate(request.headers.authorization, gateway.config.api.tokens)
    authorize(request.principal, role)
  })
  app.addHook('onResponse', async (request, reply) => {
    const level = reply.statusCode >= 400 || request.method !== 'GET' ? 'info' : 'debug'
    log[level](summary(request, reply), 'api request')
  })
  app.setErrorHandler((error, request, reply) => refuse(request, reply, toGatewayError(error), log))
}

/** No such path, or no such method of it (RFC 9110 section 15.5.6). */
function refuseUnknown(request: FastifyRequest, reply: FastifyReply, routes: readonly RouteRecord[], log: Log) {
  const [path = ''] = request.url.split('?')
  const allowed = routes.filter(({ url }) => isUnder(url, path)).map(({ method }) => method)
  if (allowed.length === 0) return refuse(request, reply, new GatewayError('NOT_FOUND'), log)
  const methods = [...new Set(allowed)].sort().join(', ')
  reply.header('allow', methods)
  return refuse(request, reply, new GatewayError('METHOD_NOT_ALLOWED', { values: { methods } }), log)
}

/** Whether a path is one of a route, in whose place `:name` stands for any segment. */
function isUnder(url: string, path: string): boolean {
  const [wanted, given] = [url.split('/'), path.split('/')]
  return (
    wanted.length === given.length &&
    wanted.every((segment, index) => (segment.startsWith(':') ? given[index] !== '' : given[index] === segment))
  )
}

function refuse(request: FastifyRequest, reply: FastifyReply, error: GatewayError, log: Log) {
  if (error.status >= 500)
    log.error({ err: error, method: request.method, path: request.url.split('?')[0] }, error.message)
  if (error.code === 'UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer realm="sixgate"')
  const [path = '/'] = request.url.split('?')
  return reply
    .code(error.status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(toProblem(error, path)))
}

function summary(request: FastifyRequest, reply: FastifyReply) {
  const { remoteAddress } = request.raw.socket
  return {
    method: request.method,
    path: request.url.split('?')[0],
    status: reply.statusCode,
    principal: request.principal?.name,
    client: remoteAddress === undefined ? 'local' : canonicalHost(remoteAddress).toString(),
  }
}
