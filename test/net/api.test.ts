// SPDX-License-Identifier: Apache-2.0
/*
 *   client ── lan0 gateway wan0 ── server
 *             [2001:db8:1::1]:8064, tokens of an admin and a viewer
 */
import { createHash } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import type { Reply } from '../lab/gateway.ts'
import { until } from '../lab/process.ts'
import { configuration, story, useScene } from './story.ts'

const sha256 = (token: string) => createHash('sha256').update(token).digest('hex')
const api = {
  listen: ['[::]:8064'],
  tokens: [
    { name: 'a', sha256: sha256('admin-token'), role: 'admin' },
    { name: 'v', sha256: sha256('viewer-token'), role: 'viewer' },
  ],
}

story('The REST API', ['curl'], () => {
  const scene = useScene('api', { config: { api } })
  const base = 'http://[2001:db8:1::1]:8064'
  const curl = async (path: string, ...args: string[]) => {
    const text = await scene.now.client.run('curl', ['-s', '-w', '\n%{http_code}', ...args, `${base}${path}`])
    const cut = text.lastIndexOf('\n')
    return { status: Number(text.slice(cut + 1)), text: text.slice(0, cut) }
  }
  const as = (token: string) => ['-H', `Authorization: Bearer ${token}`]

  beforeAll(async () => {
    expect((await scene.now.gateway.api('/healthz')).status).toBe(200)
  })

  it('demands a token, except for health', async () => {
    expect((await curl('/healthz')).status).toBe(200)
    const { status, text } = await curl('/api/v1/status')
    expect(status).toBe(401)
    expect(JSON.parse(text)).toMatchObject({ code: 'UNAUTHENTICATED', status: 401 })
    expect((await curl('/api/v1/status', ...as('wrong'))).status).toBe(401)
    expect((await curl('/api/v1/status', ...as('viewer-token'))).status).toBe(200)
  })

  it('lets a viewer read and not write', async () => {
    expect((await curl('/api/v1/config/rollback', '-X', 'POST', ...as('viewer-token'))).status).toBe(403)
  })

  it('answers IPv4 and IPv6 clients alike', async () => {
    const { stdout } = await scene.now.server.attempt('curl', ['-s', 'http://192.0.2.1:8064/healthz'])
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok' })
  })

  it('describes itself', async () => {
    const { body } = await scene.now.gateway.api('/openapi.json')
    expect(body.openapi).toMatch(/^3\./)
    expect(Object.keys(body.paths)).toEqual(expect.arrayContaining(['/api/v1/config', '/api/v1/sessions', '/metrics']))
  })

  it('changes the configuration only for who has read it', async () => {
    const { gateway } = scene.now
    const { headers, body } = await gateway.api('/api/v1/config')
    const change = (etag: string, config: unknown) =>
      gateway.api('/api/v1/config', { method: 'PUT', body: config, headers: { 'if-match': etag } })
    expect((await change('"old"', body)).status).toBe(412)
    const changed = structuredClone(body)
    changed.nat64.timeouts.udp = '6m'
    expect((await change(String(headers.etag), changed)).status).toBe(200)
    expect((await gateway.api('/api/v1/config')).body.nat64.timeouts.udp).toBe('6m')
    expect((await change(String(headers.etag), body)).status).toBe(412)
  })

  it('undoes an unconfirmed change by itself', async () => {
    const { gateway, router } = scene.now
    const { headers, body } = await gateway.api('/api/v1/config')
    const changed = structuredClone(body)
    changed.nat64.prefixes = ['2001:db8:64::/96']
    const put = await gateway.api('/api/v1/config?confirm=2s', {
      ...{ method: 'PUT', body: changed, headers: { 'if-match': String(headers.etag) } },
    })
    expect(put.status).toBe(200)
    const dev = `dev ${gateway.device} `
    expect(await router.ip('-6', 'route', 'get', '2001:db8:64::1')).toContain(dev)
    const again = await gateway.api('/api/v1/config', {
      ...{ method: 'PUT', body, headers: { 'if-match': String(put.headers.etag) } },
    })
    expect(again.status).toBe(409)
    await until('the old configuration is back', async () => {
      const gone = await router.attempt('ip', ['-6', 'route', 'get', '2001:db8:64::1'])
      return !gone.stdout.includes(dev) && (await gateway.api('/api/v1/config')).headers.etag === headers.etag
    })
    expect(await router.ip('-6', 'route', 'get', '64:ff9b::1')).toContain(dev)
  })

  it('rolls an unconfirmed change back after a restart', async () => {
    const { gateway } = scene.now
    const { headers, body } = await gateway.api('/api/v1/config')
    const changed = structuredClone(body)
    changed.nat64.timeouts.icmp = '2m'
    await gateway.api('/api/v1/config?confirm=1h', {
      ...{ method: 'PUT', body: changed, headers: { 'if-match': String(headers.etag) } },
    })
    await gateway.stop('SIGKILL')
    await gateway.start()
    expect((await gateway.api('/api/v1/config')).headers.etag).toBe(headers.etag)
  })

  it('listens on an address that the same change brings, and on none that nobody brings', async () => {
    const { gateway, client } = scene.now
    const put = async (edit: (config: Reply['body']) => void) => {
      const { headers, body } = await gateway.api('/api/v1/config')
      const changed = structuredClone(body)
      edit(changed)
      return gateway.api('/api/v1/config', {
        ...{ method: 'PUT', body: changed, headers: { 'if-match': String(headers.etag) } },
      })
    }
    const { etag } = (await gateway.api('/api/v1/config')).headers
    const nowhere = await put((config) => config.api.listen.push('[2001:db8:1::8]:8065'))
    expect(nowhere.body).toMatchObject({ code: 'LISTEN_FAILED' })
    expect((await gateway.api('/api/v1/config')).headers.etag).toBe(etag)
    const both = await put((config) => {
      config.interfaces.find(({ role }: { role: string }) => role === 'inside').addresses.push('2001:db8:1::8/64')
      config.api.listen.push('[2001:db8:1::8]:8065')
    })
    expect(both.status).toBe(200)
    expect(await client.run('curl', ['-s', 'http://[2001:db8:1::8]:8065/healthz'])).toContain('ok')
  })

  it('names every fault of a bad configuration and keeps what runs', async () => {
    const { gateway } = scene.now
    const { headers } = await gateway.api('/api/v1/config')
    const bad = JSON.parse(configuration({ api, nonsense: 1, nat64: { prefixes: ['64:ff9b::/97', 'x'] } }))
    const { status, body } = await gateway.api('/api/v1/config', {
      ...{ method: 'PUT', body: bad, headers: { 'if-match': String(headers.etag) } },
    })
    expect(status).toBe(422)
    const text = JSON.stringify(body)
    for (const path of ['/nonsense', '/nat64/prefixes/0', '/nat64/prefixes/1']) expect(text).toContain(path)
    expect((await gateway.api('/api/v1/config')).headers.etag).toBe(headers.etag)
  })
})
