// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.1    192.0.2.80
 *                    pool 198.51.100.64/28, static udp 198.51.100.70:5000 → [2001:db8:1::10]:5000
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { capture, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

for (const datapath of ['tun', 'tc'] as const)
  story(`UDP through the gateway by ${datapath}`, ['tcpdump', 'tshark', '/usr/bin/python3'], () => {
    const scene = useScene(`udp-${datapath}`, {
      config: {
        datapath,
        nat64: { static: [{ protocol: 'udp', inside: '[2001:db8:1::10]:5000', outside: '198.51.100.70:5000' }] },
      },
    })
    let client: Host
    let server: Host

    beforeAll(async () => {
      client = await Host.start(scene.now.client)
      server = await Host.start(scene.now.server)
      await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
      await client.do('udpEcho', { host: '::', port: 5000 })
    })

    it('carries datagrams of every size that fits, empty ones too', async () => {
      const sizes = [0, 1, 2, 64, 511, 1231, 1400, 1452]
      expect((await client.do('udpAsk', { host: SERVER, port: 7, sizes })).sizes).toEqual(sizes)
    })

    it('carries fragments both ways when the client asks', async () => {
      const sizes = [1453, 3000, 9000, 60_000]
      expect((await client.do('udpAsk', { host: SERVER, port: 7, sizes })).sizes).toEqual(sizes)
    })

    it('carries fragments both ways when the server asks', async () => {
      const sizes = [64, 3000, 9000]
      expect((await server.do('udpAsk', { host: '198.51.100.70', port: 5000, sizes })).sizes).toEqual(sizes)
    })

    it('gives one binding to one socket, whoever it talks to', async () => {
      await server.do('udpEcho', { host: '192.0.2.80', port: 8 })
      const listener = await server.do('udpListen', { host: '192.0.2.80', port: 9 })
      await client.do('udpAsk', { host: SERVER, port: 7, sizes: [10], localPort: 4444 })
      await client.do('udpAsk', { host: SERVER, port: 8, sizes: [10], localPort: 4444 })
      const { body } = await scene.now.gateway.api('/api/v1/bindings?protocol=udp&address=2001:db8:1::10')
      const mine = body.bindings.filter((binding: { inside: string }) => binding.inside === '[2001:db8:1::10]:4444')
      expect(mine).toEqual([expect.objectContaining({ static: false, sessions: 2 })])
      expect(await server.do('udpHeard', { handle: listener })).toEqual([])
    })

    it('computes a checksum for what came without one', async () => {
      const seen = await capture(scene.now.client, 'eth0', 'udp port 5000 and dst 2001:db8:1::10')
      const send = [
        'from scapy.all import *',
        'send(IP(src="192.0.2.80",dst="198.51.100.70")/UDP(sport=5001,dport=5000,chksum=0)/b"no checksum", verbose=0)',
      ].join('\n')
      await scene.now.server.run('/usr/bin/python3', ['-c', send])
      const packets = await arrived(seen)
      expect(packets[0]?.[0]).toBe('1')
    })
  })

async function arrived(seen: Awaited<ReturnType<typeof capture>>): Promise<string[][]> {
  return until('the packet is in the capture', async () => {
    const packets = await seen.packets(['udp.checksum.status'], { stop: false })
    return packets.length > 0 && packets
  })
}
