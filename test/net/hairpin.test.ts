// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ── server
 *   2001:db8:1::10        │ lan1
 *   other ────────────────┘
 *   2001:db8:2::20   static tcp, udp 198.51.100.70:2000 → [2001:db8:2::20]:2000
 */
import { beforeAll, expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const OUTSIDE = '64:ff9b::198.51.100.70'

story('Two clients behind one gateway', ['ping', 'traceroute'], () => {
  let other: Namespace
  const scene = useScene('hairpin', {
    config: {
      interfaces: [
        { name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
        { name: 'lan1', role: 'inside', addresses: ['2001:db8:2::1/64'] },
        { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'] },
      ],
      nat64: {
        static: ['tcp', 'udp'].map((protocol) => ({
          ...{ protocol, inside: '[2001:db8:2::20]:2000', outside: '198.51.100.70:2000' },
        })),
      },
    },
    async extend({ topology, router }) {
      other = await topology.namespace('other')
      await topology.veth(
        { namespace: other, name: 'eth0', addresses: ['2001:db8:2::20/64'] },
        { namespace: router, name: 'lan1' },
      )
      await other.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:2::1')
    },
  })
  let first: Host
  let second: Host

  beforeAll(async () => {
    first = await Host.start(scene.now.client)
    second = await Host.start(other)
    await second.do('sink', { host: '::', port: 2000 })
    await second.do('udpEcho', { host: '::', port: 2000 })
  })

  it('meet by the outside address over TCP, each seen as a pool address', async () => {
    const bytes = 16 << 20
    const got = await first.do('upload', { host: OUTSIDE, port: 2000, seed: 'pin', bytes })
    expect(got).toMatchObject({ bytes, sha256: streamHash('pin', bytes) })
    expect(got.remote).toMatch(/^\[64:ff9b::c633:64/)
  })

  it('meet over UDP, fragments too', async () => {
    const sizes = [10, 1400, 5000]
    expect((await first.do('udpAsk', { host: OUTSIDE, port: 2000, sizes })).sizes).toEqual(sizes)
  })

  it('reach themselves by their own outside address', async () => {
    const got = await second.do('upload', { host: OUTSIDE, port: 2000, seed: 'self', bytes: 1000 })
    expect(got.sha256).toBe(streamHash('self', 1000))
  })

  it('cost one hop', async () => {
    // hop limit 2 passes the router and arrives, 1 does not
    const probe = (limit: string) => `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ${limit})
s.settimeout(3)
s.sendto(b"hop", ("${OUTSIDE}", 2000))
print(s.recvfrom(100)[0].decode())`
    expect(await scene.now.client.run('/usr/bin/python3', ['-c', probe('2')])).toBe('hop\n')
    expect((await scene.now.client.attempt('/usr/bin/python3', ['-c', probe('1')])).code).not.toBe(0)
  })

  it('lose nothing to a second translation', async () => {
    expect((await drops(scene.now.gateway)).HAIRPIN_LOOP ?? 0).toBe(0)
  })
})
