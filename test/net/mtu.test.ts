// SPDX-License-Identifier: Apache-2.0
/*
 *   client ═════════ lan0 gateway wan0 ═════════ server
 *      1280 to 9000                 1400 to 9000
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.1    192.0.2.80
 *   static udp 198.51.100.70:2019 → [2001:db8:1::10]:2019
 */
import { beforeAll, expect, it } from 'vitest'
import type { RouteGroup } from '../../src/system/dataplane.ts'
import type { Namespace } from '../lab/netns.ts'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { capture, story, useScene } from './story.ts'

const FAR = '64:ff9b::192.0.2.80'
const NEAR = '198.51.100.70'
const BYTES = 4 << 20
const LINK = 9000

/** How Linux treats DF: set, and clear whatever the path is known to carry. */
const DO = 2
const INTERFACE = 4

/** Sends a datagram of so many bytes and prints the path MTU once it came back or was refused. */
const PROBE = `
import socket, sys
host = sys.argv[1]
port, size, df = map(int, sys.argv[2:])
six = ":" in host
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
level, discover, mtu = (socket.IPPROTO_IPV6, 23, 24) if six else (socket.IPPROTO_IP, 10, 14)
s.setsockopt(level, discover, df)
s.connect((host, port))
s.settimeout(10)
s.send(b"x" * (size - (48 if six else 28)))
try:
    s.recv(65536)
except OSError as error:
    if isinstance(error, TimeoutError) or df != 2: raise
print(s.getsockopt(level, mtu))
`

story('The links of both sides', ['/usr/bin/python3', 'tcpdump', 'tshark'], () => {
  const scene = useScene('mtu', {
    config: { nat64: { static: [{ protocol: 'udp', inside: '[2001:db8:1::10]:2019', outside: `${NEAR}:2019` }] } },
    mtu: { lan: LINK, wan: LINK },
  })
  let client: Host
  let server: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    server = await Host.start(scene.now.server)
    await client.do('udpEcho', { host: '2001:db8:1::10', port: 2019 })
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
    await server.do('sink', { host: '192.0.2.80', port: 9 })
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'down', bytes: BYTES })
    await server.do('source', { host: '192.0.2.80', port: 20, seed: 'slow', bytes: BYTES, pace: 20 })
  })

  /** Nobody remembers the paths of the links as they were, and the gateway knows them as they are. */
  async function links(lan: number, wan: number): Promise<void> {
    const { client, router, server, gateway } = scene.now
    for (const [namespace, device, mtu] of [
      [client, 'eth0', lan],
      [router, 'lan0', lan],
      [router, 'wan0', wan],
      [server, 'eth0', wan],
    ] as const)
      await namespace.ip('link', 'set', device, 'mtu', String(mtu))
    await client.ip('-6', 'route', 'flush', 'cache')
    await server.ip('route', 'flush', 'cache')
    await until('the gateway knows its links', async () => {
      const { body } = await gateway.api('/api/v1/status')
      const carries = (device: string, side: string) =>
        (body.mtus as RouteGroup[]).filter((one) => one.device === device && one.side === side).map(({ mtu }) => mtu)
      return String([carries('lan0', 'ipv6'), carries('wan0', 'ipv4')]) === String([lan, wan])
    })
  }
  const probe = async (from: Namespace, host: string, port: number, size: number, df = DO) =>
    Number(await from.run('/usr/bin/python3', ['-c', PROBE, host, ...[port, size, df].map(String)]))

  it.each([
    [1280, 1400, 1280, 1260],
    [1280, 1500, 1280, 1260],
    [1280, 9000, 1280, 1260],
    [1500, 1400, 1420, 1400],
    [1500, 1500, 1500, 1480],
    [1500, 9000, 1500, 1480],
    [9000, 1400, 1420, 1400],
    [9000, 1500, 1520, 1500],
    [9000, 9000, 9000, 8980],
  ])('of %i and %i: the client learns %i, the server %i, and all gets through', async (lan, wan, told6, told4) => {
    await links(lan, wan)
    expect(await probe(scene.now.client, FAR, 7, lan)).toBe(told6)
    expect(await probe(scene.now.server, NEAR, 2019, wan)).toBe(told4)
    // as large as the link with DF clear: the gateway cuts it
    await probe(scene.now.server, NEAR, 2019, wan, INTERFACE)
    // larger than either path: sent in fragments
    const sizes = [1252, 4000, 20_000]
    expect((await client.do('udpAsk', { host: FAR, port: 7, sizes })).sizes).toEqual(sizes)
    expect((await server.do('udpAsk', { host: NEAR, port: 2019, sizes })).sizes).toEqual(sizes)
    const handle = await client.do('download', { host: FAR, port: 19 })
    expect(await client.do('finish', { handle })).toMatchObject({ sha256: streamHash('down', BYTES) })
    expect(await client.do('upload', { host: FAR, port: 9, seed: 'up', bytes: BYTES })).toMatchObject({
      sha256: streamHash('up', BYTES),
    })
  })

  it('that become narrower while a download runs are told to the server with the right number', async () => {
    await links(9000, 9000)
    const seen = await capture(scene.now.server, 'eth0', 'icmp[icmptype] == icmp-unreach')
    const handle = await client.do('download', { host: FAR, port: 20 })
    await until('the download runs', async () => (await client.do('progress', { handle })) > BYTES / 8)
    // the gateway's end alone: what the client's would take is no longer known to the server's segment size
    await scene.now.router.ip('link', 'set', 'lan0', 'mtu', '1500')
    expect(await client.do('finish', { handle })).toMatchObject({ sha256: streamHash('slow', BYTES) })
    const told = await seen.packets(['ip.src', 'icmp.type', 'icmp.code', 'icmp.mtu'])
    expect(told[0]?.map((field) => field.split(',')[0])).toEqual(['192.0.2.1', '3', '4', '1480'])
  })

  it('and a narrower route to one server', async () => {
    await links(9000, 9000)
    await scene.now.router.ip('route', 'add', '192.0.2.80/32', 'dev', 'wan0', 'mtu', '1450')
    await until('the gateway knows the route', async () => {
      const { body } = await scene.now.gateway.api('/api/v1/status')
      return (body.mtus as RouteGroup[]).some(({ example, mtu }) => example === '192.0.2.80/32' && mtu === 1450)
    })
    expect(await probe(scene.now.client, FAR, 7, 9000)).toBe(1470)
    await scene.now.router.ip('route', 'del', '192.0.2.80/32')
  })
})
