// SPDX-License-Identifier: Apache-2.0
/*
 *   client ────── lan0 gateway wan0 ────── r4 ────── far
 *   2001:db8:1::10   ::1    192.0.2.1   .9   203.0.113.1  203.0.113.80
 *                    pool 198.51.100.64/28, static udp 198.51.100.70:33434 → [2001:db8:1::10]:33434
 */
import { expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { story, useScene } from './story.ts'

story('Traceroute through the gateway', ['traceroute'], () => {
  let far: Namespace
  const scene = useScene('trace', {
    config: {
      interfaces: [
        { name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
        { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'], routes: ['203.0.113.0/24 via 192.0.2.80'] },
      ],
      nat64: { static: [{ protocol: 'udp', inside: '[2001:db8:1::10]:33434', outside: '198.51.100.70:33434' }] },
    },
    async extend({ topology, server }) {
      far = await topology.namespace('far')
      await topology.veth(
        { namespace: server, name: 'eth1', addresses: ['203.0.113.1/24'] },
        { namespace: far, name: 'eth0', addresses: ['203.0.113.80/24'] },
      )
      await far.ip('route', 'add', 'default', 'via', '203.0.113.1')
      await server.sysctl({ 'net.ipv4.ip_forward': 1 })
    },
  })
  // one probe at a time: hosts limit the rate of their errors (RFC 4443 section 2.4)
  const hops = (text: string) => [...text.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1])
  const way = ['2001:db8:1::1', '64:ff9b::c000:250', '64:ff9b::cb00:7150']

  it('shows each hop once from the client, by UDP', async () => {
    const text = await scene.now.client.run('traceroute', [
      '-6',
      '-n',
      '-q',
      '1',
      '-N',
      '1',
      '-w',
      '3',
      '64:ff9b::203.0.113.80',
    ])
    expect(hops(text)).toEqual(way)
  })

  it('shows each hop once from the client, by ICMP', async () => {
    const args = ['-6', '-I', '-n', '-q', '1', '-N', '1', '-w', '3', '64:ff9b::203.0.113.80']
    expect(hops(await scene.now.client.run('traceroute', args))).toEqual(way)
  })

  it('shows each hop once from outside, through a static binding', async () => {
    const args = ['-4', '-U', '-p', '33434', '-n', '-q', '1', '-N', '1', '-w', '3', '198.51.100.70']
    expect(hops(await far.run('traceroute', args))).toEqual(['203.0.113.1', '192.0.2.1', '198.51.100.70'])
  })
})
