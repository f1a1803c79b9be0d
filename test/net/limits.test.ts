// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10 floods                        192.0.2.80
 *   2001:db8:1:1::10 goes on                     40 bindings a /64
 */
import { beforeAll, expect, it } from 'vitest'
import { Host } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

/** Sends one datagram from each of 400 ports and prints how many ICMPv6 errors 1/3 came back. */
const GRAB = `
import socket, struct
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.settimeout(1)
for port in range(10000, 10400):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("2001:db8:1::10", port))
    s.sendto(b"x", ("${SERVER}", 9))
    s.close()
told = 0
try:
    while True:
        packet = raw.recv(2048)
        told += packet[0] == 1 and packet[1] == 3
except TimeoutError:
    print(told)
`

const DOWNLOAD = `
import socket
s = socket.create_connection(("${SERVER}", 19), 10, ("2001:db8:1:1::10", 0))
print(sum(len(piece) for piece in iter(lambda: s.recv(65536), b"")))
`

story('A client that grabs ports', ['/usr/bin/python3'], () => {
  const scene = useScene('limits', {
    config: { nat64: { limits: { bindings: 40 } } },
    extend: async ({ client, router }) => {
      await client.ip('address', 'add', '2001:db8:1:1::10/64', 'dev', 'eth0', 'nodad')
      await router.ip('-6', 'route', 'add', '2001:db8:1:1::/64', 'dev', 'lan0')
    },
  })

  beforeAll(async () => {
    const server = await Host.start(scene.now.server)
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'calm', bytes: 1 << 20, pace: 1 })
  })

  it('gets as many as it may and is told so, at a rate that leaves errors for others', async () => {
    const { gateway, client: namespace } = scene.now
    const told = Number(await namespace.run('/usr/bin/python3', ['-c', GRAB]))
    expect(told).toBeGreaterThan(0)
    const { body } = await gateway.api('/api/v1/status')
    expect(body.nat64.bindings).toBe(40)
    const counted = await drops(gateway)
    expect(counted.CLIENT_LIMIT).toBe(360)
    expect(told + (counted.RATE_LIMITED ?? 0)).toBe(360)
  })

  it('costs the clients of another prefix nothing', async () => {
    const { client } = scene.now
    expect(Number(await client.run('/usr/bin/python3', ['-c', DOWNLOAD]))).toBe(1 << 20)
  })
})
