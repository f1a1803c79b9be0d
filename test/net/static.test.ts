// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   static 198.51.100.70:2000   192.0.2.80
 *                    pool announced by proxy ARP: 192.0.2.64/28
 */
import { beforeAll, expect, it } from 'vitest'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const BYTES = 16 << 20

story('Static bindings and announced pools', ['ping'], () => {
  const scene = useScene('static', {
    config: {
      nat64: {
        pools: [{ addresses: ['198.51.100.64/28'] }, { addresses: ['192.0.2.64/28'], announce: true }],
        static: [
          { protocol: 'tcp', inside: '[2001:db8:1::10]:2000', outside: '198.51.100.70:2000' },
          { protocol: 'tcp', inside: '[2001:db8:1::10]:2001', outside: '192.0.2.70:2001' },
        ],
      },
    },
  })
  let client: Host
  let server: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    server = await Host.start(scene.now.server)
    for (const port of [2000, 2001]) await client.do('sink', { host: '::', port })
  })

  it('let a stranger from outside in', async () => {
    const got = await server.do('upload', { host: '198.51.100.70', port: 2000, seed: 'in', bytes: BYTES })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash('in', BYTES) })
    expect(got.remote).toMatch(/^\[64:ff9b::c000:250\]:/)
  })

  it('are reached by ARP when the pool is announced', async () => {
    const got = await server.do('upload', { host: '192.0.2.70', port: 2001, seed: 'arp', bytes: 1000 })
    expect(got.sha256).toBe(streamHash('arp', 1000))
  })

  it('tell a stranger that nobody is there', async () => {
    const { stdout } = await scene.now.server.attempt('ping', ['-c', '1', '-W', '3', '198.51.100.71'])
    expect(stdout).toMatch(/Unreachable/)
    expect((await drops(scene.now.gateway)).NO_BINDING).toBeGreaterThan(0)
  })

  it('are listed', async () => {
    const { body } = await scene.now.gateway.api('/api/v1/bindings?protocol=tcp')
    expect(body.bindings).toContainEqual(
      expect.objectContaining({ inside: '[2001:db8:1::10]:2000', outside: '198.51.100.70:2000', static: true }),
    )
  })

  it('come and go through the API while connections live', async () => {
    const { gateway } = scene.now
    await client.do('sink', { host: '::', port: 2002 })
    const binding = { protocol: 'tcp', inside: '[2001:db8:1::10]:2002', outside: '198.51.100.70:2002' }
    const { headers } = await gateway.api('/api/v1/nat64/static')
    const added = await gateway.api('/api/v1/nat64/static', {
      ...{ method: 'POST', body: binding, headers: { 'if-match': String(headers.etag) } },
    })
    expect(added.status).toBe(201)
    const got = await server.do('upload', { host: '198.51.100.70', port: 2002, seed: 'new', bytes: 1000 })
    expect(got.sha256).toBe(streamHash('new', 1000))
  })
})
