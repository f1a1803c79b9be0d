// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { startApi } from '../../src/api/server.ts'
import { validateConfig } from '../../src/config/load.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../../src/errors.ts'
import { createLog, silentLog } from '../../src/log.ts'
import {
  ADMIN,
  type Ask,
  ask,
  configText,
  DNS64,
  DROP,
  FakeGateway,
  freePort,
  SESSION,
  type Stage,
  setUp,
  VIEWER,
} from './api-fake.ts'

let stage: Stage
let port: number
let base: string

beforeEach(async () => {
  port = await freePort()
  base = `http://[::1]:${port}`
  stage = await setUp(configText([`[::1]:${port}`]))
})

afterEach(() => stage.close())

const local = (path: string, options: Ask = {}) => ask(stage.socket, path, options)
const yaml = { 'content-type': 'application/yaml' }
const put = (body: string, headers: Record<string, string> = { 'if-match': '*' }, query = '') =>
  local(`/api/v1/config${query}`, { method: 'PUT', headers: { ...yaml, ...headers }, body })
const text = (extra: string) => configText([`[::1]:${port}`], extra)

describe('who may do what', () => {
  const READS = ['config', 'status', 'sessions', 'bindings', 'nat64/static', 'dns64', 'drops', 'clients', 'policy']

  it('the unix socket is for its owner and needs no token', async () => {
    expect(statSync(stage.socket).mode & 0o777).toBe(0o600)
    expect((await local('/api/v1/status')).status).toBe(200)
  })

  it.each(READS.map((name) => `/api/v1/${name}`).concat('/metrics'))(
    '%s needs a token, of a viewer at least',
    async (path) => {
      expect((await ask(base, path)).status).toBe(401)
      expect((await ask(base, path, { token: 'wrong' })).status).toBe(401)
      expect((await ask(base, path, { token: VIEWER })).status).toBe(200)
      expect((await ask(base, path, { token: ADMIN })).status).toBe(200)
    },
  )

  it.each(['/healthz', '/openapi.json'])('%s is open', async (path) => {
    expect((await ask(base, path)).status).toBe(200)
  })

  const WRITES = [
    ['PUT', '/api/v1/config'],
    ['POST', '/api/v1/config/check'],
    ['POST', '/api/v1/config/confirm'],
    ['POST', '/api/v1/config/rollback'],
    ['POST', '/api/v1/nat64/static'],
    ['DELETE', '/api/v1/nat64/static/tcp/198.51.100.64:2000'],
  ] as const
  it.each(WRITES)('%s %s is forbidden to a viewer and to nobody', async (method, path) => {
    const body = method === 'DELETE' ? {} : { body: {} }
    expect((await ask(base, path, { method, token: VIEWER, ...body })).json.code).toBe('FORBIDDEN')
    expect((await ask(base, path, { method, ...body })).json.code).toBe('UNAUTHENTICATED')
    expect(stage.gateway.applied).toEqual([])
  })

  it('an admin may change the configuration over TCP', async () => {
    const answer = await ask(base, '/api/v1/config', {
      method: 'PUT',
      token: ADMIN,
      headers: { ...yaml, 'if-match': '*' },
      body: text('log: { level: warn }'),
    })
    expect([answer.status, stage.gateway.config.log.level]).toEqual([200, 'warn'])
  })

  it('asks for a bearer token in words a client understands', async () => {
    expect((await ask(base, '/metrics')).headers['www-authenticate']).toBe('Bearer realm="sixgate"')
    for (const authorization of ['Basic b3BzOm9wcw==', 'Bearer', `Bearer ${ADMIN} ${ADMIN}`, ADMIN])
      expect((await ask(base, '/metrics', { headers: { authorization } })).status).toBe(401)
    expect((await ask(base, '/metrics', { headers: { authorization: `bearer ${VIEWER}` } })).status).toBe(200)
  })

  it('keeps the hashes of tokens from a viewer', async () => {
    const upper = stage.store.text.replace(/[0-9a-f]{64}/g, (hash) => hash.toUpperCase())
    await put(upper)
    for (const accept of ['application/json', 'application/yaml']) {
      const hashes = async (token: string) =>
        (await ask(base, '/api/v1/config', { token, headers: { accept } })).text.match(/[0-9a-f]{64}/gi) ?? []
      expect(new Set(await hashes(VIEWER))).toEqual(new Set(['0'.repeat(64)]))
      expect(new Set(await hashes(ADMIN)).size).toBe(2)
    }
  })

  it('forgets a token that the configuration no longer has', async () => {
    await put(`version: 1\napi: { listen: ["[::1]:${port}"] }`)
    expect((await ask(base, '/metrics', { token: ADMIN })).status).toBe(401)
  })
})

describe('listening', () => {
  it('serves both families', async () => {
    await put(configText([`[::1]:${port}`, `127.0.0.1:${port}`]))
    for (const host of ['[::1]', '127.0.0.1'])
      expect((await ask(`http://${host}:${port}`, '/healthz')).status).toBe(200)
    expect((await local('/api/v1/status')).json.api.listen).toEqual([`[::1]:${port}`, `127.0.0.1:${port}`])
  })

  it('tells a mapped client as the IPv4 host it is', async () => {
    const lines: string[] = []
    const wide = await freePort()
    const other = await setUp(
      configText([`[::]:${wide}`]),
      createLog('debug', { write: (line) => void lines.push(line) }),
    )
    try {
      await ask(`http://127.0.0.1:${wide}`, '/healthz')
      await vi.waitFor(() => expect(lines.map((line) => JSON.parse(line).client)).toContain('127.0.0.1'))
    } finally {
      await other.close()
    }
  })

  it('widens from loopback to every address on the same port, and back', async () => {
    expect((await put(configText([`[::]:${port}`]))).status).toBe(200)
    expect((await ask(`http://127.0.0.1:${port}`, '/healthz')).status).toBe(200)
    expect((await put(configText([`[::1]:${port}`]))).status).toBe(200)
    expect((await ask(base, '/healthz')).status).toBe(200)
    await expect(ask(`http://127.0.0.1:${port}`, '/healthz')).rejects.toThrow('ECONNREFUSED')
  })

  it('refuses a port that is taken, names it and stays as it was', async () => {
    const other = createServer()
    const taken = await new Promise<number>((resolve) =>
      other.listen(0, '::1', () => resolve((other.address() as { port: number }).port)),
    )
    const answer = await put(configText([`[::1]:${taken}`]))
    other.close()
    expect(answer.json).toMatchObject({ code: 'PORT_IN_USE', title: `[::1]:${taken} is in use` })
    expect((await ask(base, '/healthz')).status).toBe(200)
    expect(stage.gateway.applied).toEqual([])
  })

  it('goes back to the old endpoints when the change fails', async () => {
    stage.gateway.failure = new GatewayError('APPLY_FAILED')
    expect((await put(configText([`[::]:${port}`]))).json.code).toBe('APPLY_FAILED')
    expect((await ask(base, '/healthz')).status).toBe(200)
    await expect(ask(`http://127.0.0.1:${port}`, '/healthz')).rejects.toThrow('ECONNREFUSED')
  })

  it('answers the request that takes away the endpoint it came through', async () => {
    const next = await freePort()
    const options = {
      method: 'PUT',
      token: ADMIN,
      headers: { ...yaml, 'if-match': '*' },
      body: configText([`[::1]:${next}`]),
    }
    expect((await ask(base, '/api/v1/config', options)).status).toBe(200)
    expect((await ask(`http://[::1]:${next}`, '/healthz')).status).toBe(200)
    await expect(ask(base, '/healthz')).rejects.toThrow('ECONNREFUSED')
  })
})

describe('the configuration', () => {
  it('comes as JSON with its defaults and as YAML as it was written', async () => {
    const json = await local('/api/v1/config')
    expect(json.headers['content-type']).toContain('application/json')
    expect(json.json.nat64.timeouts.udp).toBe('5m')
    const written = await local('/api/v1/config', { headers: { accept: 'application/yaml' } })
    expect([written.headers['content-type'], written.text]).toEqual(['application/yaml', stage.store.text])
    expect(written.headers.etag).toBe(json.headers.etag)
  })

  it('goes back as JSON unchanged under its own tag', async () => {
    const { json, headers } = await local('/api/v1/config')
    const options = { method: 'PUT', headers: { 'if-match': String(headers.etag) }, body: json }
    const answer = await local('/api/v1/config', options)
    expect([answer.status, answer.json.etag, answer.headers.etag]).toEqual([200, headers.etag, headers.etag])
    expect(validateConfig(json)).toEqual(stage.store.config)
  })

  it('is not sent again to who has it', async () => {
    const { headers } = await local('/api/v1/config')
    const again = await local('/api/v1/config', { headers: { 'if-none-match': String(headers.etag) } })
    expect([again.status, again.text]).toEqual([304, ''])
  })

  it('is changed only by who says which version', async () => {
    expect((await put(text(''), {})).json.code).toBe('ETAG_REQUIRED')
    expect((await put(text(''), { 'if-match': '"old"' })).json.code).toBe('CONFLICT_ETAG')
    expect(stage.gateway.applied).toEqual([])
  })

  it('lets one of many concurrent writers of one version win', async () => {
    const { headers } = await local('/api/v1/config')
    const levels = ['trace', 'debug', 'warn', 'error']
    const match = { 'if-match': String(headers.etag) }
    const answers = await Promise.all(levels.map((level) => put(text(`log: { level: ${level} }`), match)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412])
    expect(stage.gateway.applied).toHaveLength(1)
  })

  it('is refused with every fault at once, as pointers, and stays', async () => {
    const body = { version: 1, interfaces: [{ name: 'lan0', role: 'middle' }], nat46: {}, log: { level: 3 } }
    const answer = await local('/api/v1/config', { method: 'PUT', headers: { 'if-match': '*' }, body })
    expect([answer.status, answer.json.code]).toEqual([422, 'CONFIG_INVALID'])
    const paths = answer.json.faults.map(({ path }: { path: string }) => path)
    expect(paths).toEqual(expect.arrayContaining(['/interfaces/0/role', '/nat46', '/log/level']))
    expect(stage.gateway.applied).toEqual([])
  })

  it('names the line of a YAML fault', async () => {
    const answer = await put('version: 1\nlog:\n  level: loud\n')
    expect(answer.json.faults).toEqual([expect.objectContaining({ path: '/log/level', line: 3 })])
    expect((await put('version: [')).json.code).toBe('CONFIG_SYNTAX')
  })

  it('never turns a number into text or text into a number', async () => {
    const body = { version: '1' }
    const answer = await local('/api/v1/config/check', { method: 'POST', body })
    expect(answer.json.faults).toEqual([expect.objectContaining({ path: '/version' })])
  })

  it('is judged without being used', async () => {
    const good = await local('/api/v1/config/check', { method: 'POST', headers: yaml, body: text('') })
    expect(good.json).toEqual({ valid: true, etag: stage.store.etag, warnings: [] })
    const bad = await local('/api/v1/config/check', { method: 'POST', body: { version: 2 } })
    expect(bad.json.code).toBe('CONFIG_INVALID')
    stage.gateway.faults = [{ path: '/interfaces/0/name', message: 'there is no lan9' }]
    const here = await local('/api/v1/config/check', { method: 'POST', headers: yaml, body: text('') })
    expect([here.status, here.json.faults]).toEqual([422, stage.gateway.faults])
    expect(stage.gateway.applied).toEqual([])
  })

  it('is used with what is hardly meant, which is told with every answer', async () => {
    const body = text(
      'siit: { map: [{ ipv6: "2001:db8:2::/120", ipv4: 203.0.113.0/24 }, { ipv6: "2001:db8:3::1", ipv4: 203.0.113.5 }] }',
    )
    const told = {
      warnings: [
        {
          path: '/siit/map/0/ipv4',
          line: 14,
          message: expect.stringContaining('203.0.113.0/24 contains 203.0.113.5/32'),
          remedy: expect.stringMatching(/\.$/),
        },
      ],
    }
    const check = await local('/api/v1/config/check', { method: 'POST', headers: yaml, body })
    expect([check.status, check.json]).toEqual([200, expect.objectContaining(told)])
    const change = await put(body)
    expect([change.status, change.json]).toEqual([200, expect.objectContaining(told)])
    expect((await local('/api/v1/status')).json.config).toMatchObject(told)
    expect(stage.gateway.applied).toHaveLength(1)
    expect((await put(text(''))).json.warnings).toEqual([])
  })

  it('undoes itself unless confirmed, and refuses changes meanwhile', async () => {
    const changed = await put(text('log: { level: warn }'), { 'if-match': '*' }, '?confirm=90s')
    expect(changed.json.pending.secondsLeft).toBe(90)
    expect((await local('/api/v1/status')).json.config.pending.etag).toBe(changed.json.etag)
    expect((await put(text(''))).json.code).toBe('CONFLICT_PENDING')
    const binding = { protocol: 'udp', inside: '[2001:db8:1::6]:53', outside: '198.51.100.65:2053' }
    expect((await local('/api/v1/nat64/static', { method: 'POST', body: binding })).json.code).toBe('CONFLICT_PENDING')
    stage.clock.advance(90_000)
    expect((await put(text('log: { level: error }'))).status).toBe(200)
    expect(stage.gateway.applied.map(({ log }) => log.level)).toEqual(['warn', 'info', 'error'])
  })

  it('stays when confirmed and goes back when rolled back', async () => {
    await put(text('log: { level: warn }'), { 'if-match': '*' }, '?confirm=90s')
    expect((await local('/api/v1/config/confirm', { method: 'POST' })).json.pending).toBeNull()
    await put(text('log: { level: error }'), { 'if-match': '*' }, '?confirm=90s')
    expect((await local('/api/v1/config/rollback', { method: 'POST' })).json.etag).toBe(stage.store.etag)
    expect(stage.gateway.config.log.level).toBe('warn')
    expect((await local('/api/v1/config/confirm', { method: 'POST' })).json.code).toBe('NOTHING_PENDING')
  })

  it.each(['60', '0s', '2d', '', 'soon'])('refuses confirm=%s', async (confirm) => {
    const answer = await put(text(''), { 'if-match': '*' }, `?confirm=${confirm}`)
    expect([answer.status, answer.json.code]).toEqual([400, 'REQUEST_INVALID'])
    expect(answer.json.faults[0].path).toBe('/querystring/confirm')
  })

  it('refuses a misspelt query parameter, which would change it for good', async () => {
    expect((await put(text(''), { 'if-match': '*' }, '?confrim=60s')).json.code).toBe('REQUEST_INVALID')
    expect(stage.gateway.applied).toEqual([])
  })
})

describe('static bindings', () => {
  const binding = { protocol: 'udp', inside: '[2001:0DB8:1::6]:53', outside: '198.51.100.65:2053' }
  const canonical = { ...binding, inside: '[2001:db8:1::6]:53' }

  it('are added to the configuration and its file, comments kept', async () => {
    const answer = await local('/api/v1/nat64/static', { method: 'POST', body: binding })
    expect([answer.status, answer.json.static[1]]).toEqual([201, canonical])
    expect(stage.gateway.config.nat64?.static).toHaveLength(2)
    const file = readFileSync(join(stage.directory, 'sixgate.yaml'), 'utf8')
    expect(file).toContain('# documentation addresses')
    expect(file).toContain('198.51.100.65:2053')
  })

  it('are removed by protocol and outside endpoint', async () => {
    const path = '/api/v1/nat64/static/tcp/198.51.100.64:2000'
    expect((await local(path, { method: 'DELETE' })).json).toEqual({ static: [] })
    expect((await local(path, { method: 'DELETE' })).json.code).toBe('NOT_FOUND')
    await local('/api/v1/nat64/static', { method: 'POST', body: binding })
    expect((await local('/api/v1/nat64/static')).json.static).toEqual([canonical])
  })

  it('are refused as the configuration would be, and with a stale tag', async () => {
    const wrong = await local('/api/v1/nat64/static', {
      method: 'POST',
      body: { ...binding, outside: '203.0.113.1:53' },
    })
    expect([wrong.status, wrong.json.faults[0].path]).toEqual([422, '/nat64/static/1/outside'])
    const shape = await local('/api/v1/nat64/static', { method: 'POST', body: { ...binding, colour: 'blue' } })
    expect(shape.json.code).toBe('REQUEST_INVALID')
    const stale = await local('/api/v1/nat64/static', { method: 'POST', headers: { 'if-match': '"x"' }, body: binding })
    expect(stale.json.code).toBe('CONFLICT_ETAG')
    expect(stage.gateway.applied).toEqual([])
  })

  it('survive an anchor in the file', async () => {
    await put(
      text('')
        .replace(/static:\n.*\n/, 'static: &none []\n')
        .replace('dns64:', 'advertise: *none\ndns64:'),
    )
    const answer = await local('/api/v1/nat64/static', { method: 'POST', body: binding })
    expect([answer.status, stage.gateway.config.advertise]).toEqual([201, []])
  })
})

describe('what is shown', () => {
  it('asks for sessions by every spelling of an address', async () => {
    const answer = await local('/api/v1/sessions?address=2001:0DB8:1:0::5&protocol=tcp&limit=5')
    expect(answer.json).toEqual({ sessions: [SESSION] })
    await local('/api/v1/bindings?address=::ffff:198.51.100.64')
    await local('/api/v1/sessions?address=2001:db8:1::/48')
    expect(stage.gateway.filters).toEqual([
      { protocol: 'tcp', address: '2001:db8:1::5', limit: 5 },
      { address: '198.51.100.64', limit: 1000 },
      { address: '2001:db8:1::/48', limit: 1000 },
    ])
  })

  it.each(['limit=0', 'limit=1e9', 'limit=x', 'protocol=sctp', 'adress=::1', 'limit=1&limit=2'])(
    'refuses sessions?%s',
    async (query) => {
      const answer = await local(`/api/v1/sessions?${query}`)
      expect([answer.status, answer.json.code]).toEqual([400, 'REQUEST_INVALID'])
    },
  )

  it('refuses what is no address, and names it', async () => {
    const answer = await local('/api/v1/sessions?address=1.2.3')
    expect(answer.json.code).toBe('ADDRESS_INVALID')
    expect(answer.json.detail).toContain('"1.2.3"')
  })

  it('follows packets for an admin until the client goes, a few at a time', async () => {
    const { gateway, socket } = stage
    expect((await ask(base, '/api/v1/trace', { token: VIEWER })).status).toBe(403)
    const { promise, resolve } = Promise.withResolvers<IncomingMessage>()
    const call = request({ socketPath: socket, path: '/api/v1/trace?to=::ffff:192.0.2.33' }, resolve).end()
    const response = await promise
    expect(response.headers['content-type']).toBe('application/x-ndjson')
    await once(response, 'data')
    expect(gateway.traceFilters.at(-1)).toEqual({ to: '192.0.2.33' })
    expect((await local('/api/v1/trace')).json.code).toBe('TRACE_BUSY')
    response.on('error', () => {})
    call.destroy()
    await vi.waitFor(() => expect(gateway.openTraces).toBe(0))
  })

  it('shows status, drops, clients and dns64', async () => {
    expect((await local('/api/v1/status')).json).toMatchObject({
      version: '0.0.1',
      config: { etag: stage.store.etag, pending: null, origin: 'file' },
      nat64: { device: 'sixgate0' },
    })
    expect((await local('/api/v1/drops')).json.drops[0]).toEqual(DROP)
    expect((await local('/api/v1/clients?top=1')).json.clients).toHaveLength(1)
    expect((await local('/api/v1/dns64')).json).toEqual(DNS64)
  })

  it('is unhealthy while a configured part does not run', async () => {
    stage.gateway.dns64 = undefined
    const answer = await ask(base, '/healthz')
    expect([answer.status, answer.json]).toEqual([503, { status: 'failing', reasons: ['dns64 does not run'] }])
    expect((await local('/api/v1/dns64')).status).toBe(404)
  })
})

describe('problem documents', () => {
  it.each(Object.keys(ERRORS) as ErrorCode[])('%s', async (code) => {
    stage.gateway.failure = new GatewayError(code, {
      detail: 'because',
      faults: [{ path: '/a/0', message: 'is wrong', remedy: 'Mend it.' }],
      cause: new Error('secret'),
    })
    const answer = await local('/api/v1/status')
    expect(answer.status).toBe(ERRORS[code].status)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.json).toMatchObject({ code, status: answer.status, detail: 'because', instance: '/api/v1/status' })
    expect(answer.json.faults).toEqual([{ path: '/a/0', message: 'is wrong', remedy: 'Mend it.' }])
    expect(answer.json.title).not.toContain('because')
    expect(answer.text).not.toContain('secret')
  })

  it('tell nothing of an error nobody foresaw', async () => {
    stage.gateway.failure = new TypeError('secret of /etc/shadow')
    const answer = await local('/api/v1/status')
    expect([answer.status, answer.json.code]).toEqual([500, 'INTERNAL'])
    expect(answer.text).not.toMatch(/secret|shadow|\.ts/)
  })

  it('answer what is no route, no JSON, too large or of another type', async () => {
    const post = (headers: Record<string, string>, body: string) =>
      local('/api/v1/config/check', { method: 'POST', headers, body })
    const json = { 'content-type': 'application/json' }
    const codes = [
      await local('/api/v1/nowhere'),
      await local('/api/v1/config', { method: 'PATCH' }),
      await post(json, '{"version": 1,'),
      await post(json, '{"__proto__": {}, "version": 1}'),
      await post(json, ''),
      await post({ 'content-type': 'text/plain' }, 'version: 1'),
      await post(json, `"${'x'.repeat(1024 * 1024)}"`),
      await local('/api/v1/%zz'),
    ].map((answer) => answer.json.code)
    expect(codes).toEqual([
      'NOT_FOUND',
      'METHOD_NOT_ALLOWED',
      'REQUEST_INVALID',
      'REQUEST_INVALID',
      'REQUEST_INVALID',
      'BODY_TYPE',
      'BODY_TOO_LARGE',
      'REQUEST_INVALID',
    ])
  })
})

describe('a wrong method', () => {
  it.each([
    ['PATCH', '/api/v1/config', 'GET, HEAD, PUT'],
    ['POST', '/api/v1/status?x=1', 'GET, HEAD'],
    ['GET', '/api/v1/config/confirm', 'POST'],
    ['PUT', '/api/v1/nat64/static/tcp/198.51.100.64:2000', 'DELETE'],
  ])('%s %s is told the right ones (RFC 9110 section 15.5.6)', async (method, path, allow) => {
    const answer = await local(path, { method })
    expect([answer.status, answer.headers.allow]).toEqual([405, allow])
    expect(answer.json).toMatchObject({ code: 'METHOD_NOT_ALLOWED', remedy: `Use ${allow}.` })
  })

  it('of what does not exist is not found', async () => {
    for (const path of ['/api/v1/nat64/static//', '/api/v1/nat64/static/tcp', '/api/v1', '/api/v1/config/'])
      expect((await local(path, { method: 'PATCH' })).status).toBe(404)
  })
})

describe('the end', () => {
  it('does not wait for a client that holds an idle connection', async () => {
    const idle = connect(port, '::1')
    await new Promise((resolve) => idle.once('connect', resolve))
    const ended = new Promise((resolve) => idle.once('close', resolve))
    idle.on('error', () => {})
    await stage.api.close()
    await ended
  })

  it('refuses a second API on the same socket', async () => {
    const { store, socket } = stage
    const other = `[::1]:${await freePort()}`
    const gateway = new FakeGateway(validateConfig({ version: 1, api: { listen: [other] } }))
    const second = startApi({ gateway, store, log: silentLog, version: '0', socket })
    await expect(second).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    await expect(ask(`http://${other}`, '/healthz')).rejects.toThrow('ECONNREFUSED')
    expect((await local('/healthz')).status).toBe(200)
  })
})
