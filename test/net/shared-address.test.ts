// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ═════ 1400 ═════ server
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.1           192.0.2.80
 *                    pool 192.0.2.1, ports 10000-59999: the gateway's own address
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const BYTES = 8 << 20

story('A pool address that is the host’s own', ['ping', 'nft'], () => {
  let rulesBefore = ''
  const scene = useScene('shared', {
    config: {
      nat64: {
        pools: [{ addresses: ['192.0.2.1'], ports: '10000-59999' }],
        static: [{ protocol: 'tcp', inside: '[2001:db8:1::10]:2000', outside: '192.0.2.1:20000' }],
      },
    },
    async extend({ router }) {
      rulesBefore = await router.ip('-json', 'rule')
    },
  })
  let client: Host
  let router: Host
  let server: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    router = await Host.start(scene.now.router)
    server = await Host.start(scene.now.server)
    await server.do('echo', { host: '192.0.2.80', port: 7 })
    await server.do('sink', { host: '192.0.2.80', port: 9 })
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'down', bytes: BYTES })
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
    await router.do('echo', { host: '192.0.2.1', port: 7 })
    await router.do('udpEcho', { host: '192.0.2.1', port: 7 })
    await router.do('source', { host: '192.0.2.1', port: 19, seed: 'own', bytes: BYTES })
    await scene.now.router.ip('route', 'add', '192.0.2.80/32', 'dev', 'wan0', 'mtu', '1400')
    await client.do('echo', { host: '2001:db8:1::10', port: 2000 })
  })

  it('carries TCP both ways, from a port of the pool', async () => {
    const { seen } = await client.do('greet', { host: SERVER, port: 7, text: 'x' })
    const [address, port] = seen.split(':')
    expect(address).toBe('192.0.2.1')
    expect(Number(port)).toBeGreaterThanOrEqual(10_000)
    expect(Number(port)).toBeLessThan(60_000)
    const handle = await client.do('download', { host: SERVER, port: 19 })
    expect(await client.do('finish', { handle })).toMatchObject({ sha256: streamHash('down', BYTES) })
  })

  it('brings the kernel’s "too big" about its own packets back to the client', async () => {
    const { sha256 } = await client.do('upload', { host: SERVER, port: 9, seed: 'up', bytes: BYTES })
    expect(sha256).toBe(streamHash('up', BYTES))
    expect(await scene.now.client.ip('-6', 'route', 'get', SERVER)).toMatch(/mtu 1420/)
  })

  it('carries datagrams larger than a packet in both directions', async () => {
    expect((await client.do('udpAsk', { host: SERVER, port: 7, sizes: [10, 4000] })).sizes).toEqual([10, 4000])
    expect((await router.do('udpAsk', { host: '192.0.2.80', port: 7, sizes: [4000] })).sizes).toEqual([4000])
  })

  it('lets client, server and gateway ping one another', async () => {
    const ping = (from: 'client' | 'router' | 'server', to: string, ...more: string[]) =>
      scene.now[from].run('ping', ['-n', '-c', '2', '-i', '0.2', '-W', '2', ...more, to])
    expect(await ping('client', SERVER)).toContain('2 received')
    expect(await ping('router', '192.0.2.80', '-e', '30000')).toContain('2 received')
    expect(await ping('server', '192.0.2.1')).toContain('2 received')
  })

  it('leaves the host its services and its own connections', async () => {
    expect((await server.do('greet', { host: '192.0.2.1', port: 7, text: 'to the host' })).text).toBe('to the host')
    for (let round = 0; round < 8; round++) {
      const { seen } = await router.do('greet', { host: '192.0.2.80', port: 7, text: 'x' })
      const port = Number(seen.split(':')[1])
      expect(port < 10_000 || port > 59_999, seen).toBe(true)
    }
  })

  it('lets a client reach them through the prefix', async () => {
    const host = '64:ff9b::192.0.2.1'
    const { text, seen } = await client.do('greet', { host, port: 7, text: 'from inside' })
    expect(text).toBe('from inside')
    expect(seen).toMatch(/^192\.0\.2\.1:[1-5]\d{4}$/)
    expect((await client.do('udpAsk', { host, port: 7, sizes: [10, 1200, 4000] })).sizes).toEqual([10, 1200, 4000])
    expect(await scene.now.client.run('ping', ['-n', '-c', '1', '-W', '2', host])).toContain('1 received')
    await expect(client.do('greet', { host, port: 8, text: 'x' })).rejects.toThrow('ECONNREFUSED')
  })

  it('cuts what the host sends to a client, for it has no path MTU to itself', async () => {
    const { router: namespace } = scene.now
    const host = '64:ff9b::192.0.2.1'
    const way = ['-6', 'route', 'replace', '2001:db8:1::10/128', 'dev', 'lan0', 'mtu', '1400']
    await namespace.ip(...way)
    await until('the gateway knows the route', async () => {
      const { body } = await scene.now.gateway.api('/api/v1/status')
      return body.mtus.some((one: { example: string; mtu: number }) => one.example === way[3] && one.mtu === 1400)
    })
    expect((await client.do('udpAsk', { host, port: 7, sizes: [1400, 4000] })).sizes).toEqual([1400, 4000])
    const handle = await client.do('download', { host, port: 19 })
    expect(await client.do('finish', { handle })).toMatchObject({ sha256: streamHash('own', BYTES) })
    await namespace.ip('-6', 'route', 'del', '2001:db8:1::10/128')
  })

  it('turns what a client sends to a port of the pool', async () => {
    const greeting = { host: '64:ff9b::192.0.2.1', port: 20_000, text: 'to a client' }
    expect((await client.do('greet', greeting)).text).toBe('to a client')
  })

  it('opens a static binding to the outside', async () => {
    expect((await server.do('greet', { host: '192.0.2.1', port: 20_000, text: 'in' })).text).toBe('in')
  })

  it('is the host’s alone again when the gateway has gone', async () => {
    const { gateway, router: namespace } = scene.now
    await gateway.stop('SIGKILL')
    expect((await server.do('greet', { host: '192.0.2.1', port: 7, text: 'still' })).text).toBe('still')
    await gateway.start()
    await gateway.stop()
    await until('the rules are as before', async () => (await namespace.ip('-json', 'rule')) === rulesBefore)
    expect(await namespace.run('nft', ['list', 'ruleset'])).toBe('')
  })
})
