// SPDX-License-Identifier: Apache-2.0
/*
 *   a ──── gwa ══ 6to4, 6rd, isatap ══ gwb ──── b      three tunnels on each IPv4 address, see tunnel-sites.ts
 *          192.0.2.1         198.51.100.1
 *   2002:c000:201:1::/64     2002:c633:6401:1::/64     6to4
 *   3fff:1c0:2:101::/64      3fff:1c6:3364:101::/64    6rd 3fff:100::/24, where gwb relays for gwa to 2001:db8:b::/64
 *   2001:db8:5::5efe:c000:201   …:5efe:c633:6401       isatap 2001:db8:5::/64, where gwa routes for gwb to 2001:db8:a::/64
 */
import { describe, expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { capture, story } from './story.ts'
import { forge, LOCAL, lost, type Site, useSites } from './tunnel-sites.ts'

const TO4 = { a: '2002:c000:201:1', b: '2002:c633:6401:1' }
const RD = { a: '3fff:1c0:2:101', b: '3fff:1c6:3364:101' }
const NATIVE = { a: '2001:db8:a', b: '2001:db8:b' }
const HOSTS = { a: '2001:db8:5::5efe:c000:201', b: '2001:db8:5::5efe:c633:6401' }
const STRANGER = '203.0.113.66'

story('Tunnels that find the other end in the address', ['ping', 'tcpdump', 'tshark', '/usr/bin/python3'], () => {
  const rd = { name: 'rd0', mode: '6rd', prefix: '3fff:100::/24', backend: 'sixgate' }
  const isatap = { name: 'isatap0', mode: 'isatap', prefix: '2001:db8:5::/64', backend: 'sixgate' }
  const to4 = { name: 'to4', mode: '6to4', backend: 'sixgate' }
  const sites = useSites('tunm', {
    a: {
      prefix: NATIVE.a,
      more: [TO4.a, RD.a],
      tunnels: [
        { ...to4, local: LOCAL.a },
        { ...rd, local: LOCAL.a, relay: LOCAL.b, routes: [`${NATIVE.b}::/64`] },
        { ...isatap, local: LOCAL.a },
      ],
    },
    b: {
      prefix: NATIVE.b,
      more: [TO4.b, RD.b],
      tunnels: [
        { ...to4, local: LOCAL.b },
        { ...rd, local: LOCAL.b },
        { ...isatap, local: LOCAL.b, routers: [LOCAL.a], routes: [`${NATIVE.a}::/64`] },
      ],
    },
  })
  const ping = async (from: Namespace, source: string, to: string) => {
    const { stdout } = await from.attempt('ping', ['-6', '-n', '-c', '1', '-W', '1', '-I', source, to])
    return stdout
  }
  /** The packets that the act makes one tunnel lose, by reason. */
  const loses = async (site: Site, name: string, reason: string, act: () => Promise<unknown>) => {
    const before = (await lost(site, name))[reason] ?? 0
    await act()
    await until(`${name} counts ${reason}`, async () => ((await lost(site, name))[reason] ?? 0) === before + 1)
  }

  describe('6to4', () => {
    it('joins sites by nothing but their addresses', async () => {
      const { mid, a, b } = sites.now
      const seen = await capture(mid, 'to-a', 'ip proto 41')
      expect(await ping(a.host, `${TO4.a}::10`, `${TO4.b}::10`)).toMatch(/1 received/)
      const packets = await until('both packets are captured', async () => {
        const rows = await seen.packets(['ip.src', 'ip.dst', 'ipv6.dst'], { stop: false })
        return rows.length >= 2 && rows
      })
      await seen.process.stop('SIGINT')
      expect(packets.slice(0, 2)).toEqual([
        [LOCAL.a, LOCAL.b, `${TO4.b}::10`],
        [LOCAL.b, LOCAL.a, `${TO4.a}::10`],
      ])
      const [server, client] = [await Host.start(b.host), await Host.start(a.host)]
      await server.do('sink', { host: '::', port: 80 })
      const got = await client.do('upload', { host: `${TO4.b}::10`, port: 80, seed: 'to4', bytes: 1 << 20 })
      expect(got).toMatchObject({ sha256: streamHash('to4', 1 << 20) })
    })

    it('refuses what comes from another IPv4 address than the IPv6 source names (RFC 3964)', async () => {
      const { mid, a } = sites.now
      const inside: [string, string] = [`${TO4.b}::10`, `${TO4.a}::10`]
      await loses(a, 'to4', 'TUNNEL_SPOOFED', () => forge(mid, [STRANGER, LOCAL.a], inside))
      const native: [string, string] = ['2001:db8:66::1', `${TO4.a}::10`]
      await loses(a, 'to4', 'TUNNEL_SPOOFED', () => forge(mid, [STRANGER, LOCAL.a], native))
    })

    it('refuses private addresses, coming and going', async () => {
      const { mid, a } = sites.now
      const inside: [string, string] = ['2002:a00:1::1', `${TO4.a}::10`]
      await loses(a, 'to4', 'TUNNEL_OUTER_SOURCE', () => forge(mid, ['10.0.0.1', LOCAL.a], inside))
      for (const to of ['2002:a00:1::1', '2002:e000:1::1', '2002:7f00:1::1'])
        await loses(a, 'to4', 'TUNNEL_OUTER_DESTINATION', () => ping(a.host, `${TO4.a}::10`, to))
    })

    it('relays for nobody, and does not send to itself (RFC 6324)', async () => {
      const { mid, a } = sites.now
      const onward: [string, string] = [`${TO4.b}::10`, '2002:cb00:7109::1']
      await loses(a, 'to4', 'TUNNEL_LOOP', () => forge(mid, [LOCAL.b, LOCAL.a], onward))
      await loses(a, 'to4', 'TUNNEL_LOOP', () => ping(a.host, `${TO4.a}::10`, '2002:c000:201:ffff::1'))
      // what pretends to be of another site
      await loses(a, 'to4', 'TUNNEL_LOOP', async () => {
        await a.host.ip('address', 'add', '2002:cb00:7109::10/128', 'dev', 'eth0', 'nodad')
        await ping(a.host, '2002:cb00:7109::10', `${TO4.b}::10`)
      })
    })
  })

  describe('6rd', () => {
    it('joins sites of a domain whose prefix ends amid a word', async () => {
      const { a } = sites.now
      expect(await ping(a.host, `${RD.a}::10`, `${RD.b}::10`)).toMatch(/1 received/)
    })

    it('reaches the rest by the border relay', async () => {
      const { a } = sites.now
      expect(await ping(a.host, `${RD.a}::10`, `${NATIVE.b}::10`)).toMatch(/1 received/)
    })

    it('takes foreign sources from the relay alone, and for its own site alone (RFC 5969 section 9.2)', async () => {
      const { mid, a, b } = sites.now
      const inside: [string, string] = ['2001:db8:66::1', `${RD.a}::10`]
      await loses(a, 'rd0', 'TUNNEL_SPOOFED', () => forge(mid, [STRANGER, LOCAL.a], inside))
      const elsewhere: [string, string] = [`${RD.b}::10`, '2001:db8:66::1']
      await loses(a, 'rd0', 'TUNNEL_DESTINATION', () => forge(mid, [LOCAL.b, LOCAL.a], elsewhere))
      // a source of this site with an address that is none of the domain's
      await loses(b, 'rd0', 'TUNNEL_SPOOFED', () => ping(a.host, `${NATIVE.a}::10`, `${RD.b}::10`))
    })
  })

  describe('ISATAP', () => {
    it('joins hosts of a site, and a router joins them to the rest', async () => {
      const { b } = sites.now
      expect(await ping(b.router, HOSTS.b, HOSTS.a)).toMatch(/1 received/)
      expect(await ping(b.router, HOSTS.b, `${NATIVE.a}::10`)).toMatch(/1 received/)
    })

    it('believes the IPv4 source that the interface identifier names, and routers (RFC 5214 section 7.3)', async () => {
      const { mid, a, b } = sites.now
      await loses(a, 'isatap0', 'TUNNEL_SPOOFED', () => forge(mid, [STRANGER, LOCAL.a], [HOSTS.b, HOSTS.a]))
      await loses(b, 'isatap0', 'TUNNEL_SPOOFED', () => forge(mid, [STRANGER, LOCAL.b], ['2001:db8:66::1', HOSTS.b]))
      const seen = await capture(b.router, 'isatap0', 'icmp6 and src 2001:db8:66::1')
      await forge(mid, [LOCAL.a, LOCAL.b], ['2001:db8:66::1', HOSTS.b])
      const packets = await until('it came', async () => {
        const rows = await seen.packets(['ipv6.dst'], { stop: false })
        return rows.length > 0 && rows
      })
      await seen.process.stop('SIGINT')
      expect(packets).toEqual([[HOSTS.b]])
    })

    it('passes nothing on to another host of its link (RFC 6324 section 3.1)', async () => {
      const { mid, a } = sites.now
      const onward: [string, string] = [HOSTS.b, '2001:db8:5::5efe:cb00:7109']
      await loses(a, 'isatap0', 'TUNNEL_LOOP', () => forge(mid, [LOCAL.b, LOCAL.a], onward))
    })
  })
})
