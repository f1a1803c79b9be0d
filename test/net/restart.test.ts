// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10        ✗ killed, started again 192.0.2.80
 */
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const BYTES = 48 << 20

interface Session {
  readonly client6: string
  readonly pool4: string
}

story('A daemon that is killed in mid-connection', [], () => {
  const scene = useScene('restart')

  it('leaves the device and its routes, and its successor goes on with the sessions', async () => {
    const { gateway, router } = scene.now
    const client = await Host.start(scene.now.client)
    const server = await Host.start(scene.now.server)
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'long', bytes: BYTES, pace: 20 })
    const handle = await client.do('download', { host: SERVER, port: 19 })
    const beyond = (bytes: number) =>
      until(`${bytes} bytes have come`, async () => (await client.do('progress', { handle })) > bytes, 60)
    const sessions = async (): Promise<Session[]> => (await gateway.api('/api/v1/sessions?protocol=tcp')).body.sessions

    await beyond(4 << 20)
    const before = await sessions()
    expect(before).toHaveLength(1)
    await gateway.stop('SIGKILL')
    expect(await router.ip('-6', 'route', 'get', SERVER)).toContain(`dev ${gateway.device} `)

    await gateway.start()
    const { body } = await gateway.api('/api/v1/status')
    expect(body.nat64.adopted).toBe(1)
    const after = await sessions()
    expect(after.map(({ client6, pool4 }) => ({ client6, pool4 }))).toEqual(
      before.map(({ client6, pool4 }) => ({ client6, pool4 })),
    )
    expect(await client.do('progress', { handle })).toBeLessThan(BYTES)
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('long', BYTES) })
  })

  it('lets the server begin the conversation after the restart', async () => {
    const { gateway } = scene.now
    const client = await Host.start(scene.now.client)
    const server = await Host.start(scene.now.server)
    const listener = await client.do('udpListen', { host: '::', port: 4500 })
    const echo = await server.do('udpListen', { host: '192.0.2.80', port: 4501 })
    await client.do('udpAsk', { host: SERVER, port: 4501, sizes: [8], localPort: 4499 }).catch(() => {})
    await until('the server heard the client', async () => (await server.do('udpHeard', { handle: echo })).length > 0)
    expect(await client.do('udpHeard', { handle: listener })).toEqual([])
    await gateway.stop('SIGKILL')
    await gateway.start()
    const { body } = await gateway.api('/api/v1/bindings?protocol=udp')
    expect(body.bindings).toContainEqual(expect.objectContaining({ inside: '[2001:db8:1::10]:4499' }))
  })
})
