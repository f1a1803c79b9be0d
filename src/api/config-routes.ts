// SPDX-License-Identifier: Apache-2.0
/** Routes that read and change the configuration. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { addStatic, removeStatic, toYaml } from '../config/edit.ts'
import { validateConfig } from '../config/load.ts'
import { readRevision } from '../config/revision.ts'
import { type Config, ConfigSchema } from '../config/schema.ts'
import type { ChangeOptions, ConfigStore } from '../config/store.ts'
import { parseDuration } from '../config/units.ts'
import { GatewayError } from '../errors.ts'
import { parseEndpoint } from '../net/address.ts'
import type { App, RouteContext } from './context.ts'
import * as shape from './schemas.ts'
import { bodyJudgedLater } from './validate.ts'

const LONGEST_CONFIRM = 86_400

export function configRoutes(app: App, { gateway, store }: RouteContext): void {
  app.get(
    '/api/v1/config',
    {
      config: { role: 'viewer' },
      schema: {
        summary: 'The running configuration: JSON with all defaults, or YAML as it was written',
        produces: ['application/json', 'application/yaml'],
        response: { 200: ConfigSchema },
      },
    },
    async (request, answer) => {
      // The YAML text and the empty 304 stand for the same resource as the declared JSON.
      const reply: FastifyReply = answer
      reply.header('etag', store.etag).header('vary', 'accept')
      if (request.headers['if-none-match'] === store.etag) return reply.code(304).send()
      const seesHashes = request.principal?.role === 'admin'
      if (prefersYaml(request)) return reply.type('application/yaml').send(seesHashes ? store.text : masked(store))
      return seesHashes ? store.config : maskedConfig(store.config)
    },
  )

  app.put(
    '/api/v1/config',
    {
      validatorCompiler: bodyJudgedLater,
      schema: {
        summary: 'Replace the configuration, for good or until a deadline',
        querystring: shape.ConfirmQuery,
        headers: shape.IfMatchHeader,
        body: ConfigSchema,
        consumes: ['application/json', 'application/yaml'],
        response: { 200: shape.ConfigStateSchema },
      },
    },
    async (request, reply) => {
      const options = changeOptions(request)
      if (options.ifMatch === undefined) throw new GatewayError('ETAG_REQUIRED')
      await store.change(bodyText(request), options)
      return stateOf(store, reply)
    },
  )

  app.post(
    '/api/v1/config/confirm',
    { schema: { summary: 'Keep the change that waits for confirmation', response: { 200: shape.ConfigStateSchema } } },
    async (_, reply) => {
      await store.confirm()
      return stateOf(store, reply)
    },
  )

  app.post(
    '/api/v1/config/rollback',
    { schema: { summary: 'Undo the change that waits for confirmation', response: { 200: shape.ConfigStateSchema } } },
    async (_, reply) => {
      await store.rollback()
      return stateOf(store, reply)
    },
  )

  app.post(
    '/api/v1/config/check',
    {
      validatorCompiler: bodyJudgedLater,
      schema: {
        summary: 'Judge a configuration without using it',
        body: ConfigSchema,
        consumes: ['application/json', 'application/yaml'],
        response: { 200: shape.CheckSchema },
      },
    },
    async (request) => {
      const { config, etag, warnings } = readRevision(bodyText(request), 'request body')
      const faults = await gateway.check(config)
      if (faults.length > 0) throw new GatewayError('CONFIG_INVALID', { faults })
      return { valid: true as const, etag, warnings: [...warnings] }
    },
  )

  staticRoutes(app, store)
}

function staticRoutes(app: App, store: ConfigStore): void {
  app.get(
    '/api/v1/nat64/static',
    {
      config: { role: 'viewer' },
      schema: { summary: 'Static bindings', response: { 200: shape.StaticBindingsSchema } },
    },
    async (_, reply) => {
      reply.header('etag', store.etag)
      return { static: store.config.nat64?.static ?? [] }
    },
  )

  app.post(
    '/api/v1/nat64/static',
    {
      schema: {
        summary: 'Add a static binding',
        headers: shape.IfMatchHeader,
        body: shape.StaticBindingSchema,
        response: { 201: shape.StaticBindingsSchema },
      },
    },
    async (request, reply) => {
      await store.edit((text, config) => addStatic(text, config, request.body), changeOptions(request))
      reply.code(201).header('etag', store.etag)
      return { static: store.config.nat64?.static ?? [] }
    },
  )

  app.delete(
    '/api/v1/nat64/static/:protocol/:outside',
    {
      schema: {
        summary: 'Remove a static binding',
        headers: shape.IfMatchHeader,
        params: shape.StaticBindingParams,
        response: { 200: shape.StaticBindingsSchema },
      },
    },
    async (request, reply) => {
      const { protocol, outside } = request.params
      const key = { protocol, outside: parseEndpoint(outside).toString() }
      await store.edit((text, config) => removeStatic(text, config, key), changeOptions(request))
      reply.header('etag', store.etag)
      return { static: store.config.nat64?.static ?? [] }
    },
  )
}

export function changeOptions(request: FastifyRequest): ChangeOptions {
  const ifMatch = request.headers['if-match']
  const { confirm } = request.query as { confirm?: string }
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(confirm === undefined ? {} : { confirm: seconds(confirm) }),
  }
}

function seconds(confirm: string): number {
  const wait = durationOf(confirm)
  if (wait !== undefined && wait >= 1 && wait <= LONGEST_CONFIRM) return wait
  const message = `${JSON.stringify(confirm)} is no duration between 1s and 1d`
  throw new GatewayError('REQUEST_INVALID', {
    faults: [{ path: '/querystring/confirm', message, remedy: 'Write confirm=60s.' }],
  })
}

function durationOf(text: string): number | undefined {
  try {
    return parseDuration(text)
  } catch {
    return undefined
  }
}

/** YAML is kept as it was written; JSON is judged as it came and then written as YAML. */
function bodyText({ body }: FastifyRequest): string {
  if (typeof body === 'string') return body
  if (body === undefined || body === null) throw new GatewayError('REQUEST_INVALID', { detail: 'the body is empty' })
  validateConfig(body)
  return toYaml(body)
}

function stateOf(store: ConfigStore, reply: FastifyReply) {
  reply.header('etag', store.etag)
  return { etag: store.etag, pending: store.pending ?? null, warnings: [...store.warnings] }
}

/** A viewer must not work out an admin's token from its hash. */
const MASK = '0'.repeat(64)

function maskedConfig(config: Config): Config {
  const tokens = config.api.tokens.map((token) => ({ ...token, sha256: MASK }))
  return { ...config, api: { ...config.api, tokens } }
}

function masked({ text, config }: ConfigStore): string {
  return config.api.tokens.reduce((masked, { sha256 }) => masked.replaceAll(new RegExp(sha256, 'gi'), MASK), text)
}

/** JSON unless YAML is asked for and JSON is not asked for before it. */
function prefersYaml({ headers }: FastifyRequest): boolean {
  const types = (headers.accept ?? '').split(',').map((type) => type.split(';')[0]?.trim())
  const yaml = types.findIndex(
    (type) => type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml',
  )
  const json = types.indexOf('application/json')
  return yaml >= 0 && (json < 0 || yaml < json)
}
