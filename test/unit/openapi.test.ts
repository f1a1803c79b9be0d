// SPDX-License-Identifier: Apache-2.0
import { Compile } from 'typebox/compile'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { documents } from '../../src/config/reference.ts'
import { ERRORS } from '../../src/errors.ts'
import { type Ask, ask, configText, freePort, type Stage, setUp } from './api-fake.ts'

interface Operation {
  readonly parameters: readonly { name: string; in: string; required: boolean; schema: { default?: unknown } }[]
  readonly responses: Record<string, { content?: Record<string, { schema: object }> }>
  readonly requestBody?: { content: Record<string, { schema: object }> }
  readonly security: readonly object[]
}

let stage: Stage
let document: { openapi: string; paths: Record<string, Record<string, Operation>>; 'x-errors': object }

beforeAll(async () => {
  stage = await setUp(configText([`[::1]:${await freePort()}`]))
  document = (await ask(stage.socket, '/openapi.json')).json
})

afterAll(() => stage.close())

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )

/** The whole REST API as its users know it. */
const ROUTES = [
  'delete /api/v1/nat64/static/{protocol}/{outside}',
  'delete /api/v1/tunnels/{name}',
  'get /api/v1/bindings',
  'get /api/v1/clients',
  'get /api/v1/config',
  'get /api/v1/dns64',
  'get /api/v1/drops',
  'get /api/v1/nat64/static',
  'get /api/v1/policy',
  'get /api/v1/sessions',
  'get /api/v1/status',
  'get /api/v1/trace',
  'get /api/v1/tunnels',
  'get /api/v1/tunnels/{name}',
  'get /healthz',
  'get /metrics',
  'get /openapi.json',
  'post /api/v1/config/check',
  'post /api/v1/config/confirm',
  'post /api/v1/config/rollback',
  'post /api/v1/nat64/static',
  'post /api/v1/trace',
  'put /api/v1/config',
  'put /api/v1/tunnels/{name}',
]

/** A trace ends when it has what it was asked for. */
const pathOf = (path: string) => (path.endsWith('/trace') ? `${path}?limit=2` : path.replace('{name}', 'he0'))

describe('the OpenAPI document', () => {
  it('has every route and no other', () => {
    expect(document.openapi).toBe('3.1.0')
    expect(
      operations()
        .map(({ path, method }) => `${method} ${path}`)
        .sort(),
    ).toEqual(ROUTES)
  })

  it('names only routes that answer', async () => {
    for (const { path, method } of operations()) {
      const url = pathOf(path).replace('{protocol}', 'tcp').replace('{outside}', '198.51.100.64:9')
      const body: Ask = method === 'get' || method === 'delete' ? {} : { body: {} }
      const answer = await ask(stage.socket, url, { method: method.toUpperCase(), ...body })
      if (answer.json?.code === 'NOT_FOUND')
        expect(answer.json.detail, `${method} ${path}`).toMatch(/^no (static binding|tunnel)/)
    }
  })

  it('describes what each route that reads really sends', async () => {
    for (const { path, operation } of operations().filter(({ method }) => method === 'get')) {
      const answer = await ask(stage.socket, pathOf(path))
      expect(answer.status, path).toBe(200)
      const [type = ''] = String(answer.headers['content-type']).split(';')
      const schema = operation.responses['200']?.content?.[type]?.schema
      expect(schema, `${path} ${type}`).toBeDefined()
      const check = Compile((schema ?? {}) as never)
      const lines = type === 'application/x-ndjson' ? answer.text.trimEnd().split('\n') : undefined
      const values = lines?.map((line) => JSON.parse(line)) ?? [answer.json ?? answer.text]
      for (const value of values) expect([...check.Errors(value)], path).toEqual([])
      const sent = Object.keys(answer.json ?? {})
      const declared = Object.keys((schema as { properties?: object }).properties ?? {})
      if (declared.length > 0 && path !== '/api/v1/status') expect(declared, path).toEqual(expect.arrayContaining(sent))
    }
  })

  it('gives the configuration the schema that is published for editors', () => {
    const { $schema, $comment, title, ...schema } = JSON.parse(documents()['config/schema.json'] ?? '')
    expect($schema).toContain('2020-12')
    expect([typeof $comment, title]).toEqual(['string', 'sixgate'])
    const put = document.paths['/api/v1/config']?.put?.requestBody?.content
    expect(Object.keys(put ?? {})).toEqual(['application/json', 'application/yaml'])
    expect(put?.['application/json']?.schema).toEqual(schema)
  })

  it('asks for a token exactly where the server does', async () => {
    const [endpoint = ''] = stage.api.endpoints
    for (const { path, method, operation } of operations()) {
      const answer = await ask(`http://${endpoint}`, path, { method: method.toUpperCase() })
      expect(answer.status === 401, `${method} ${path}`).toBe(operation.security.length > 0)
    }
  })

  it('answers everything else with a problem document, whose codes it lists', () => {
    for (const { operation } of operations())
      expect(operation.responses.default).toEqual({ $ref: '#/components/responses/Problem' })
    expect(Object.keys(document['x-errors'])).toEqual(Object.keys(ERRORS))
  })

  it('says which parameters there are, and that a default makes one optional', () => {
    const sessions = document.paths['/api/v1/sessions']?.get?.parameters
    expect(sessions?.map(({ name, required }) => [name, required])).toEqual([
      ['protocol', false],
      ['address', false],
      ['limit', false],
    ])
  })
})
