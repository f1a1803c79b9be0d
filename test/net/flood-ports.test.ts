// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10 takes all the ports it gets   192.0.2.80
 *   2001:db8:1:1::10 goes on    1024 ports
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { Host } from './host.ts'
import { drops, type Overrides, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const OTHER = '2001:db8:1:1::10'
const PORTS = 1024
const POOL = { addresses: ['198.51.100.64/32'], ports: '20000-21023' }

/** A datagram from each of four times as many ports as there are, to as many services. */
const GRAB = `
import socket
for port in range(10000, 10000 + 4 * ${PORTS}):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("2001:db8:1::10", port))
    s.sendto(b"x", ("${SERVER}", port))
    s.close()
`

function tell(title: string, name: string, nat64: Overrides, check: (then: Then) => Promise<void>): void {
  describe(title, () => {
    const scene = useScene(name, {
      config: { nat64 },
      extend: async ({ client, router }) => {
        await client.ip('address', 'add', `${OTHER}/64`, 'dev', 'eth0', 'nodad')
        await router.ip('-6', 'route', 'add', '2001:db8:1:1::/64', 'dev', 'lan0')
      },
    })
    let client: Host

    beforeAll(async () => {
      client = await Host.start(scene.now.client)
      const server = await Host.start(scene.now.server)
      await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
      await server.do('echo', { host: '192.0.2.80', port: 7 })
    })

    it('costs the bindings of others nothing', async () => {
      const { gateway, client: namespace } = scene.now
      const ask = (localPort: number) =>
        client.do('udpAsk', { host: SERVER, port: 7, sizes: [64, 1200], local: OTHER, localPort })
      const before = await ask(4444)
      await namespace.run('/usr/bin/python3', ['-c', GRAB])
      expect(await ask(4444)).toEqual(before)
      // TCP has ports of its own
      expect((await client.do('greet', { host: SERVER, port: 7, text: 'hello' })).text).toBe('hello')
      const bindings = async (address: string) =>
        (await gateway.api(`/api/v1/bindings?protocol=udp&address=${address}&limit=5000`)).body.bindings.length
      const lost = await drops(gateway)
      await check({ lost, taken: await bindings('2001:db8:1::10'), ask })
    })
  })
}

interface Then {
  readonly lost: Record<string, number>
  /** Bindings of the one that takes. */
  readonly taken: number
  readonly ask: (localPort: number) => Promise<{ sizes: number[] }>
}

story('A client that takes every port', ['/usr/bin/python3'], () => {
  tell('of a gateway without limits, which runs out of them,', 'portgrab', { pools: [POOL] }, async (then) => {
    expect(then.taken).toBe(PORTS - 1)
    expect(then.lost['NO_PORT']).toBe(4 * PORTS - then.taken)
  })

  const limited = { pools: [POOL], limits: { bindings: 100 } }
  tell('of a gateway with limits.bindings', 'portlimit', limited, async (then) => {
    expect(then.taken).toBe(100)
    expect(then.lost['CLIENT_LIMIT']).toBe(4 * PORTS - 100)
    expect((await then.ask(4445)).sizes).toEqual([64, 1200])
  })

  const blocks = { pools: [{ ...POOL, blockSize: 64, blocksPerClient: 2 }] }
  tell('of a gateway with blocksPerClient', 'portblocks', blocks, async (then) => {
    expect(then.taken).toBe(128)
    expect(then.lost['CLIENT_BLOCKS']).toBe(4 * PORTS - 128)
    expect((await then.ask(4445)).sizes).toEqual([64, 1200])
  })
})
