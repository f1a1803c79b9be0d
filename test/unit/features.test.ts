// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { canSendPref64, renderRadvd } from '../../src/advertise.ts'
import { loadConfig } from '../../src/config/load.ts'
import { parseLease } from '../../src/dhcp4.ts'
import { type Host, namesOf } from '../../src/feature.ts'
import { interfaces } from '../../src/interfaces.ts'
import { addressesOf, dataplaneConfig, dataplaneOptions, nat64 } from '../../src/nat64.ts'
import { parsePortList, printPortList } from '../../src/nat64-shared.ts'
import { siit } from '../../src/siit.ts'
import { keyOf, type LinkInfo, type Resource } from '../../src/system/system.ts'

const link = (name: string, ...addresses: string[]): LinkInfo => ({
  name,
  index: 1,
  up: true,
  carrier: true,
  mtu: 1500,
  type: 'veth',
  addresses: addresses.map((text) => ({
    address: text.split('/')[0] ?? '',
    length: Number(text.split('/')[1]),
    tentative: false,
  })),
})

const SYSCTLS = {
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.ip_local_reserved_ports': '',
  'net.ipv4.ip_local_port_range': '32768\t60999',
}
const host: Host = { links: [link('lo'), link('lan0'), link('wan0', '192.0.2.2/24')], sysctls: SYSCTLS }
const names = namesOf()

const config = (text: string) => loadConfig(`version: 1\n${text}`)
const gateway = (pool: string, rest = '') =>
  config(`
interfaces:
  - { name: lan0, role: inside, addresses: ["2001:db8:1::1/64"] }
  - { name: wan0, role: outside }
nat64: { allowNonGlobal: true, pools: [${pool}] }
${rest}`)

const keys = (resources: readonly Resource[]) => resources.map(keyOf)
const sysctls = (resources: readonly Resource[]) =>
  Object.fromEntries(resources.flatMap((one) => (one.kind === 'sysctl' ? [[one.name, one.value]] : [])))
const rules = (resources: readonly Resource[]) =>
  resources.flatMap((one) => (one.kind === 'nft' ? [one.rules] : []))[0] ?? ''

describe('interfaces', () => {
  it('that only have a role are left alone', () => {
    expect(interfaces.plan(config('interfaces: [{ name: lan0, role: inside }]'), host, names).present).toEqual([])
  })

  it('are given their MTU and sysctls before they go up, and addresses before routes', () => {
    const text =
      'interfaces: [{ name: wan0, role: outside, mtu: 1400, acceptRa: true, addresses: ["192.0.2.2/24"], routes: ["0.0.0.0/0 via 192.0.2.1", "2001:db8:f::/48"] }]'
    const { present } = interfaces.plan(config(text), host, names)
    expect(keys(present)).toEqual([
      'link wan0 mtu',
      'sysctl net.ipv6.conf.wan0.accept_ra',
      'sysctl net.ipv4.conf.wan0.promote_secondaries',
      'link wan0 up',
      'address wan0 192.0.2.2/24',
      'route 4 254 0.0.0.0/0 0',
      'route 6 254 2001:db8:f::/48 1024',
    ])
    expect(sysctls(present)).toEqual({
      'net.ipv6.conf.wan0.accept_ra': '2',
      'net.ipv4.conf.wan0.promote_secondaries': '1',
    })
    expect(present.at(-1)).not.toHaveProperty('via')
  })

  it('with a VLAN come after the link that carries it, whatever their order', () => {
    const text = `interfaces:
  - { name: vlan10, role: inside, vlan: 10, parent: lan0, addresses: ["2001:db8:10::1/64"] }
  - { name: lan0, role: inside, mtu: 1600 }`
    const { present } = interfaces.plan(config(text), host, names)
    expect(keys(present)).toEqual([
      'link lan0 mtu',
      'link lan0 up',
      'vlan vlan10',
      'link vlan10 up',
      'address vlan10 2001:db8:10::1/64',
    ])
  })

  it('write a device name with dots so that sysctl knows it', () => {
    const dotted: Host = { ...host, links: [link('lan0.10')] }
    const { present } = interfaces.plan(
      config('interfaces: [{ name: lan0.10, role: inside, acceptRa: true }]'),
      dotted,
      names,
    )
    expect(sysctls(present)).toEqual({ 'net.ipv6.conf.lan0/10.accept_ra': '2' })
  })
})

describe('nat64', () => {
  it('wants nothing of the kernel when it is not configured', () => {
    expect(nat64.plan(config('interfaces: []'), host, names)).toEqual({ present: [], absent: [] })
    expect(dataplaneOptions(config('interfaces: []'), host, names)).toBeUndefined()
  })

  it('routes its prefixes and pools to the device', () => {
    const { present, absent } = nat64.plan(gateway('{ addresses: ["198.51.100.64/28"] }'), host, names)
    expect(keys(present.filter(({ kind }) => kind === 'route'))).toEqual([
      'route 6 254 64:ff9b::/96 1024',
      'route 4 254 198.51.100.64/28 0',
    ])
    expect(present.every((one) => !('dev' in one) || one.dev === 'sixgate0')).toBe(true)
    expect(absent).toEqual([])
  })

  it('softens the reverse path filter of the device where the host is strict', () => {
    const strict: Host = { ...host, sysctls: { ...SYSCTLS, 'net.ipv4.conf.all.rp_filter': '1' } }
    const of = (where: Host) =>
      sysctls(nat64.plan(gateway('{ addresses: ["198.51.100.64/28"] }'), where, names).present)
    expect(of(host)['net.ipv4.conf.sixgate0.rp_filter']).toBe('0')
    expect(of(strict)['net.ipv4.conf.sixgate0.rp_filter']).toBe('2')
  })

  it('loses what was translated once and comes to the device again', () => {
    const text = rules(nat64.plan(gateway('{ addresses: ["198.51.100.64/28"] }'), host, names).present)
    expect(text).toContain('iifname "sixgate0" oifname "sixgate0" counter drop')
    expect(text).not.toContain('tproxy')
  })

  it('hands nftables no intervals that overlap', () => {
    const pools =
      '{ addresses: ["198.51.100.0/24"], ports: "1024-32767" }, { addresses: ["198.51.100.64/28"], ports: "32768-65535" }'
    const text = rules(nat64.plan(gateway(pools), host, names).present)
    expect(text).toContain('ip daddr { 198.51.100.0/24 }')
  })

  it('answers ARP for an announced pool on the outside links, but not for the host', () => {
    const { present } = nat64.plan(
      gateway('{ addresses: ["192.0.2.0/30"], ports: "10000-59999", announce: true }'),
      host,
      names,
    )
    const proxies = present.flatMap((one) => (one.kind === 'proxy' ? [`${one.dev} ${one.address}`] : []))
    expect(proxies).toEqual(['wan0 192.0.2.0', 'wan0 192.0.2.1', 'wan0 192.0.2.3'])
    expect(sysctls(present)['net.ipv4.neigh.wan0.proxy_delay']).toBe('0')
  })

  it('refuses to answer ARP for a pool that ought to be routed', () => {
    const faults = nat64.check(gateway('{ addresses: ["198.51.96.0/21"], announce: true }'), host)
    expect(faults).toMatchObject([{ path: '/nat64/pools/0/announce', message: expect.stringContaining('1024') }])
  })

  it('lists the addresses of a pool across an octet', () => {
    expect(addressesOf('192.0.2.254/31')).toEqual(['192.0.2.254', '192.0.2.255'])
    expect(addressesOf('198.51.100.0/23').slice(255, 257)).toEqual(['198.51.100.255', '198.51.101.0'])
  })
})

describe('a pool address that is also the host’s', () => {
  const shared = gateway('{ addresses: ["192.0.2.2"], ports: "10000-59999" }')

  it('is told apart by mark and rule, ahead of the local table', () => {
    const { present, absent } = nat64.plan(shared, host, names)
    expect(present.filter(({ kind }) => kind === 'rule')).toEqual([
      { kind: 'rule', family: 4, priority: 1, table: '6464', mark: '0x1000/0x1000' },
      { kind: 'rule', family: 4, priority: 2, table: '255' },
    ])
    expect(absent).toEqual([{ kind: 'rule', family: 4, priority: 0, table: '255' }])
    const routes = present.flatMap((one) => (one.kind === 'route' ? [`${one.prefix} ${one.table}`] : []))
    expect(routes).toEqual(['64:ff9b::/96 254', '192.0.2.2/32 6464'])
  })

  it('gives the translator its ports, the answers to pings not sent by the host, and errors about its packets', () => {
    const text = rules(nat64.plan(shared, host, names).present)
    expect(text).toContain('ip daddr 192.0.2.2 meta l4proto { tcp, udp } th dport 10000-59999 goto claim')
    expect(text).toContain('icmp type echo-reply icmp id 10000-59999 ip saddr . icmp id != @pings goto claim')
    expect(text).toContain('@th,136,8 { 6, 17 } @th,224,16 10000-59999 goto claim')
  })

  it('is recognised when the configuration itself gives the host the address', () => {
    const own = gateway('{ addresses: ["203.0.113.9"], ports: "10000-59999" }').interfaces
    const text = `interfaces: [{ name: wan0, role: outside, addresses: ["203.0.113.9/24"] }]
nat64: { allowNonGlobal: true, pools: [{ addresses: ["203.0.113.9"], ports: "10000-59999" }] }`
    expect(own).toHaveLength(2)
    expect(nat64.plan(config(text), host, names).absent).toHaveLength(1)
  })

  it('keeps the ports that were reserved before', () => {
    const busy: Host = { ...host, sysctls: { ...SYSCTLS, 'net.ipv4.ip_local_reserved_ports': '8080,59990-60010' } }
    expect(sysctls(nat64.plan(shared, busy, names).present)['net.ipv4.ip_local_reserved_ports']).toBe(
      '8080,10000-60010',
    )
  })

  it('leaves the host a range to choose its own ports from', () => {
    const of = (ports: string) =>
      sysctls(nat64.plan(gateway(`{ addresses: ["192.0.2.2"], ports: "${ports}" }`), host, names).present)
    expect(of('10000-59999')['net.ipv4.ip_local_port_range']).toBeUndefined()
    expect(of('30000-61000')['net.ipv4.ip_local_port_range']).toBe('1024\t65535')
  })

  it('without ports for the host is refused', () => {
    expect(nat64.check(gateway('{ addresses: ["192.0.2.2"] }'), host)).toMatchObject([
      { path: '/nat64/pools/0/addresses/0', message: expect.stringContaining('192.0.2.2') },
    ])
    expect(nat64.check(shared, host)).toEqual([])
  })

  it('reads and writes lists of ports as the kernel does', () => {
    expect(printPortList(parsePortList('9000-9010,8080,9011,9005-9020'))).toBe('8080,9000-9020')
    expect(parsePortList('')).toEqual([])
  })
})

describe('the configuration of the translator', () => {
  it('has numbers where the file has units', () => {
    const plane = dataplaneConfig(gateway('{ addresses: ["198.51.100.64/28"], ports: "2000-2999" }'), host)
    expect(plane).toMatchObject({
      prefixes: ['64:ff9b::/96'],
      pools: [{ addresses: ['198.51.100.64/28'], firstPort: 2000, lastPort: 2999, clients: ['::/0'] }],
      timeouts: { tcpEstablished: 7440, tcpTransitory: 240, tcpIncomingSyn: 6, udp: 300, icmp: 60, fragment: 2 },
      limits: { clientPrefixLength: 64, bindings: 0, sessions: 0, newSessionsPerSecond: 0 },
      logged: 'nothing',
      fragmentMemory: 4 * 1024 * 1024,
    })
  })

  it('takes the sources of its errors from the links when none are given', () => {
    const from = (rest: string) => {
      const { icmpSourceV4, icmpSourceV6 } =
        dataplaneConfig(gateway('{ addresses: ["198.51.100.64/28"] }', rest), host) ?? {}
      return { icmpSourceV4, icmpSourceV6 }
    }
    expect(from('')).toEqual({ icmpSourceV4: ['192.0.2.2'], icmpSourceV6: ['2001:db8:1::1'] })
    expect(from('translation: { icmpSourceV4: ["192.0.2.99"] }').icmpSourceV4).toEqual(['192.0.2.99'])
  })

  it('clamps the segment size to what is written, or leaves it to the routes', () => {
    const mss = (clamp: string) =>
      dataplaneConfig(gateway('{ addresses: ["198.51.100.64/28"] }', `translation: { mssClamp: ${clamp} }`), host)
        ?.mssClamp
    expect([mss('off'), mss('1360B'), mss('auto')]).toEqual([0, 1360, 'auto'])
  })

  it('does not offer a link-local address as a source', () => {
    const local: Host = { ...host, links: [link('lan0', 'fe80::1/64'), link('wan0')] }
    const text =
      'interfaces: [{ name: lan0, role: inside }]\nnat64: { allowNonGlobal: true, pools: [{ addresses: ["198.51.100.64"] }] }'
    expect(dataplaneConfig(config(text), local)?.icmpSourceV6).toEqual([])
  })
})

describe('radvd.conf', () => {
  const advertise = (text: string) =>
    config(`interfaces: [{ name: lan0, role: inside, addresses: ["2001:db8:1::1/64"] }]
nat64: { allowNonGlobal: true, pools: [{ addresses: ["198.51.100.64"] }] }
advertise: [{ interface: lan0, ${text} }]`).advertise

  it('has prefixes, resolvers and the NAT64 prefix', () => {
    const text = renderRadvd(
      advertise(
        'prefixes: ["2001:db8:1::/64"], rdnss: ["2001:db8:1::1"], pref64: "64:ff9b::/96", interval: 100s, lifetime: 5m',
      ),
    )
    expect(text).toBe(`interface lan0 {
  AdvSendAdvert on;
  IgnoreIfMissing on;
  MaxRtrAdvInterval 100;
  AdvDefaultLifetime 300;
  prefix 2001:db8:1::/64 {
    AdvOnLink on;
    AdvAutonomous on;
  };
  RDNSS 2001:db8:1::1 {
    AdvRDNSSLifetime 300;
  };
  nat64prefix 64:ff9b::/96 {
    AdvValidLifetime 304;
  };
};
`)
  })

  it('tells resolvers for three intervals although the router is no default router', () => {
    const text = renderRadvd(advertise('rdnss: ["2001:db8:1::1"], interval: 100s, lifetime: 0s'))
    expect(text).toContain('AdvDefaultLifetime 0;')
    expect(text).toContain('AdvRDNSSLifetime 300;')
  })

  it('has the NAT64 prefix from radvd 2.20 on', () => {
    expect(['2.19', '2.20', '2.20-2~bpo12+1', '2.8', '3.0'].map(canSendPref64)).toEqual([
      false,
      true,
      true,
      false,
      true,
    ])
  })
})

describe('a line of the DHCP client', () => {
  it('gives the address and the router', () => {
    expect(parseLease('lease\tbound\t192.0.2.7\t24\t192.0.2.1 192.0.2.2\t')).toEqual({
      event: 'bound',
      lease: { address: '192.0.2.7/24', routes: [{ prefix: '0.0.0.0/0', via: '192.0.2.1' }] },
    })
  })

  it('with classless routes leaves the router out (RFC 3442)', () => {
    const line = 'lease\trenew\t192.0.2.7\t32\t192.0.2.9\t192.0.2.1/32 0.0.0.0 0.0.0.0/0 192.0.2.1'
    expect(parseLease(line)?.lease?.routes).toEqual([
      { prefix: '192.0.2.1/32' },
      { prefix: '0.0.0.0/0', via: '192.0.2.1' },
    ])
  })

  it('that is none is passed over, and one with nonsense refused', () => {
    expect(parseLease('udhcpc: started, v1.35.0')).toBeUndefined()
    expect(parseLease('lease\tleasefail\t\t\t\t')).toEqual({ event: 'leasefail' })
    expect(() => parseLease('lease\tbound\t192.0.2.7\t33\t\t')).toThrow('is no length')
    expect(() => parseLease('lease\tbound\t2001:db8::7\t24\t\t')).toThrow('is not IPv4')
    expect(() => parseLease('lease\tbound\t192.0.2.7\t24\t$(reboot)\t')).toThrow()
  })
})

describe('siit', () => {
  const SIIT = `siit:
  prefix: 2001:db8:100::/40
  map:
    - { ipv6: "2001:db8:3::/120", ipv4: 203.0.113.0/24 }
    - { ipv6: "2001:db8:4::5", ipv4: 203.0.113.5 }`

  it('wants nothing of the kernel when it is not configured', () => {
    expect(siit.plan(config('interfaces: []'), host, names)).toEqual({ present: [], absent: [] })
  })

  it('routes its prefix and the mapped IPv4 prefixes to the device, not the mapped hosts', () => {
    const { present } = siit.plan(config(SIIT), host, names)
    expect(keys(present.filter(({ kind }) => kind === 'route'))).toEqual([
      'route 6 254 2001:db8:100::/40 1024',
      'route 4 254 203.0.113.0/24 0',
    ])
    expect(present.every((one) => !('dev' in one) || one.dev === 'sixgate0')).toBe(true)
  })

  it('brings the device by itself, but not a second time beside NAT64', () => {
    const alone = siit.plan(config(SIIT), host, names).present
    expect(keys(alone)).toContain('tun sixgate0')
    expect(sysctls(alone)).toMatchObject({ 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' })
    expect(rules(alone)).toContain('ip6 daddr { 2001:db8:100::/40 } notrack')
    expect(rules(alone)).toContain('ip daddr { 203.0.113.0/24 } fib daddr type != local notrack')
    expect(rules(alone)).toContain('ip daddr { 203.0.113.0/24 } fib saddr type broadcast counter drop')
    // nftables takes neither an empty set nor one whose intervals overlap
    expect(rules(siit.plan(config('siit: { prefix: 2001:db8:100::/40 }'), host, names).present)).not.toMatch(/{\s*}/)
    const twice = gateway(
      '{ addresses: ["198.51.100.64/28"], ports: "10-20" }, { addresses: ["198.51.100.70"], ports: "1-9" }',
    )
    expect(rules(nat64.plan(twice, host, names).present)).not.toContain('198.51.100.70')
    const both = gateway('{ addresses: ["198.51.100.64/28"] }', SIIT)
    expect(siit.plan(both, host, names).present.every(({ kind }) => kind === 'route')).toBe(true)
    const beside = rules(nat64.plan(both, host, names).present)
    expect(beside).toContain('ip6 daddr { 64:ff9b::/96, 2001:db8:100::/40 } notrack')
    expect(beside).toContain('ip daddr { 198.51.100.64/28, 203.0.113.0/24 }')
  })

  it('tells the translator its map, with no prefix and no pool of NAT64', () => {
    expect(dataplaneConfig(config(`${SIIT}\ntranslation: { amendUdpChecksumZero: true }`), host)).toMatchObject({
      ...{ prefixes: [], pools: [], static: [], timeouts: { udp: 300 } },
      siit: {
        prefix: '2001:db8:100::/40',
        map: [
          { ipv6: '2001:db8:3::/120', ipv4: '203.0.113.0/24' },
          { ipv6: '2001:db8:4::5/128', ipv4: '203.0.113.5/32' },
        ],
        amendUdpChecksumZero: true,
      },
    })
    expect(dataplaneOptions(config(SIIT), host, names)?.maxSessions).toBe(1_048_576)
    expect(dataplaneConfig(gateway('{ addresses: ["198.51.100.64/28"] }'), host)).not.toHaveProperty('siit')
  })

  it('maps no address that the host has', () => {
    const found = siit.check(config('siit: { map: [{ ipv6: "2001:db8::/96", ipv4: 192.0.2.0/25 }] }'), host)
    expect(found).toMatchObject([{ path: '/siit/map/0/ipv4', message: expect.stringContaining('192.0.2.2') }])
  })
})
