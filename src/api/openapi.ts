// SPDX-License-Identifier: Apache-2.0
/** The OpenAPI 3.1 document, made of the routes' own schemas, so that it cannot say anything else. */
import type { RouteOptions } from 'fastify'
import type { TSchema } from 'typebox'
import { inputSchema } from '../config/reference.ts'
import type { Node } from '../config/validate.ts'
import { ERRORS } from '../errors.ts'
import type { Role } from './auth.ts'
import { PROBLEM_TYPE, ProblemSchema } from './problem.ts'

export interface RouteRecord {
  readonly method: string
  readonly url: string
  readonly role: Role
  readonly schema: RouteSchema
}

export interface RouteSchema {
  readonly summary?: string
  readonly querystring?: TSchema
  readonly headers?: TSchema
  readonly params?: TSchema
  readonly body?: TSchema
  readonly response?: Readonly<Record<number, TSchema>>
  /** Media types of the answer and of the body, where JSON is not the only one. */
  readonly produces?: readonly string[]
  readonly consumes?: readonly string[]
}

declare module 'fastify' {
  interface FastifySchema {
    summary?: string
    produces?: readonly string[]
    consumes?: readonly string[]
  }
}

export function describe({ method, url, schema, config }: RouteOptions): RouteRecord {
  const name = Array.isArray(method) ? method.join(' ') : method
  return {
    method: name,
    url,
    role: (config as { role?: Role } | undefined)?.role ?? 'admin',
    schema: (schema ?? {}) as RouteSchema,
  }
}

export function openApi(routes: readonly RouteRecord[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    // Each GET answers HEAD too, which needs no words.
    if (route.method === 'HEAD') continue
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'sixgate', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: ProblemSchema },
      responses: {
        Problem: {
          description: 'Refused.',
          content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      },
    },
    'x-errors': ERRORS,
  }
}

function operation({ role, schema }: RouteRecord) {
  const { summary, body, consumes = ['application/json'] } = schema
  return {
    ...(summary ? { summary } : {}),
    parameters: [
      ...parameters('path', schema.params),
      ...parameters('query', schema.querystring),
      ...parameters('header', schema.headers),
    ],
    ...(body ? { requestBody: { required: true, content: contents(consumes, body) } } : {}),
    responses: { ...answers(schema), default: { $ref: '#/components/responses/Problem' } },
    security: role === 'open' ? [] : [{ bearer: [] }],
    'x-role': role,
  }
}

function parameters(place: 'path' | 'query' | 'header', schema: TSchema | undefined) {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Record<string, TSchema>
    required?: string[]
  }
  return Object.entries(properties).map(([name, value]) => {
    const { description, ...rest } = value as { description?: string }
    return {
      name,
      in: place,
      ...(description ? { description } : {}),
      required: required.includes(name) && !('default' in value),
      schema: rest,
    }
  })
}

function answers({ response = {}, produces = ['application/json'] }: RouteSchema) {
  return Object.fromEntries(
    Object.entries(response).map(([status, schema]) => {
      const { description = 'Done.' } = schema as { description?: string }
      return [status, { description, content: contents(produces, schema) }]
    }),
  )
}

/** Other types than JSON carry the same thing as text. */
function contents(types: readonly string[], schema: TSchema) {
  const published = inputSchema(schema as Node)
  return Object.fromEntries(
    types.map((type) => [type, { schema: type === 'text/plain' ? { type: 'string' } : published }]),
  )
}
