// SPDX-License-Identifier: Apache-2.0
/*
 *   client ══ r6 ────── lan0 gateway wan0 ────── server ══ far
 *          1400                                        1300
 *   2001:db8:2::10 ══ 2001:db8:2::1, 2001:db8:1::10 ── 2001:db8:1::1
 *   192.0.2.1 ── 192.0.2.80, 203.0.113.1 ══ 203.0.113.80
 *   static tcp 198.51.100.70:2019 → [2001:db8:2::10]:2019
 */
import { beforeAll, expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { Host, streamHash } from './host.ts'
import { capture, story, useScene } from './story.ts'

const FAR = '64:ff9b::203.0.113.80'
const BYTES = 8 << 20

story('Path MTU discovery', ['tcpdump', 'tshark', 'ping'], () => {
  let leaf: Namespace
  let far: Namespace
  let client: Host
  let server: Host
  useScene('pmtu', {
    config: {
      interfaces: [
        {
          ...{ name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
          routes: ['2001:db8:2::/64 via 2001:db8:1::10'],
        },
        { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'], routes: ['203.0.113.0/24 via 192.0.2.80'] },
      ],
      nat64: { static: [{ protocol: 'tcp', inside: '[2001:db8:2::10]:2019', outside: '198.51.100.70:2019' }] },
    },
    // the scene's client and server are the routers of this story
    async extend({ topology, client: r6, server: r4 }) {
      leaf = await topology.namespace('leaf')
      far = await topology.namespace('far')
      await topology.veth(
        { namespace: leaf, name: 'eth0', addresses: ['2001:db8:2::10/64'] },
        { namespace: r6, name: 'eth1', addresses: ['2001:db8:2::1/64'] },
      )
      await topology.veth(
        { namespace: far, name: 'eth0', addresses: ['203.0.113.80/24'] },
        { namespace: r4, name: 'eth1', addresses: ['203.0.113.1/24'] },
      )
      // a veth loses what its peer's MTU does not hold, so the routers' routes are narrow and not their links
      await r6.ip('-6', 'route', 'add', '2001:db8:2::10/128', 'dev', 'eth1', 'mtu', 'lock', '1400')
      await r4.ip('route', 'add', '203.0.113.80/32', 'dev', 'eth1', 'mtu', 'lock', '1300')
      await leaf.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:2::1')
      await far.ip('route', 'add', 'default', 'via', '203.0.113.1')
      await r6.sysctl({ 'net.ipv6.conf.all.forwarding': 1 })
      await r6.ip('-6', 'route', 'replace', 'default', 'via', '2001:db8:1::1', 'dev', 'eth0')
      await r4.sysctl({ 'net.ipv4.ip_forward': 1 })
    },
  })

  beforeAll(async () => {
    client = await Host.start(leaf)
    server = await Host.start(far)
    await server.do('sink', { host: '203.0.113.80', port: 9 })
    await server.do('source', { host: '203.0.113.80', port: 19, seed: 'down', bytes: BYTES })
    await client.do('source', { host: '::', port: 2019, seed: 'static', bytes: BYTES })
  })

  it('tells the server 20 bytes less than the IPv6 router says', async () => {
    const seen = await capture(far, 'eth0', 'icmp[icmptype] == icmp-unreach')
    const handle = await client.do('download', { host: FAR, port: 19 })
    const { sha256 } = await client.do('finish', { handle })
    expect(sha256).toBe(streamHash('down', BYTES))
    const packets = await seen.packets(['icmp.type', 'icmp.code', 'icmp.mtu'])
    expect(packets[0]).toEqual([expect.stringMatching(/^3/), expect.stringMatching(/^4/), '1380'])
  })

  it('tells the client 20 bytes more than the IPv4 router says', async () => {
    const seen = await capture(leaf, 'eth0', 'icmp6 and ip6[40] == 2')
    const { sha256 } = await client.do('upload', { host: FAR, port: 9, seed: 'up', bytes: BYTES })
    expect(sha256).toBe(streamHash('up', BYTES))
    const packets = await seen.packets(['ipv6.src', 'icmpv6.mtu'])
    // the far router is seen by its address in the translation prefix
    expect(packets[0]?.[0]?.split(',')[0]).toBe('64:ff9b::c000:250')
    expect(packets[0]?.[1]).toBe('1320')
    expect(await leaf.ip('-6', 'route', 'get', FAR)).toMatch(/mtu 1320/)
  })

  it('serves a download from an IPv6 server to an IPv4 client', async () => {
    const handle = await server.do('download', { host: '198.51.100.70', port: 2019 })
    expect(await server.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('static', BYTES) })
  })

  it('fragments what may be fragmented', async () => {
    await server.do('udpEcho', { host: '203.0.113.80', port: 7 })
    const sizes = [1300, 1400, 4000]
    expect((await client.do('udpAsk', { host: FAR, port: 7, sizes })).sizes).toEqual(sizes)
  })
})
