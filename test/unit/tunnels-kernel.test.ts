// SPDX-License-Identifier: Apache-2.0
/** Tunnels of the kernel, planned and made, with a kernel in memory. */
import { describe, expect, it } from 'vitest'
import { validateConfig } from '../../src/config/load.ts'
import { type Host, namesOf } from '../../src/feature.ts'
import { ipLines, toSit } from '../../src/system/ip.ts'
import { parseCounters } from '../../src/system/link-counters.ts'
import { keyOf, type Resource } from '../../src/system/system.ts'
import { tunnels as feature } from '../../src/tunnels.ts'
import { World } from './daemon-fake.ts'

const SIX = { name: 't0', mode: '6in4', local: '192.0.2.2', remote: '198.51.100.1' }
const INTERFACES = [{ name: 'wan0', role: 'outside', addresses: ['192.0.2.2/24'] }]
const host: Host = { links: [], sysctls: {}, sit: true }

const config = (...tunnels: object[]) => validateConfig({ version: 1, interfaces: INTERFACES, tunnels })
const planned = (tunnel: object): readonly Resource[] => feature.plan(config(tunnel), host, namesOf()).present
const lines = (tunnel: object) =>
  planned(tunnel)
    .filter(({ kind }) => kind !== 'sysctl')
    .flatMap((after) => ipLines({ after }))

describe('a tunnel of the kernel', () => {
  it('is made with its ends, its TTL and its TOS, then gets its MTU, addresses and routes', () => {
    const tunnel = { ...SIX, ttl: 9, tos: 16, addresses: ['2001:db8:f::1/64'], routes: ['2001:db8:e::/48'] }
    expect(lines(tunnel)).toEqual([
      'link add name t0 type sit local 192.0.2.2 remote 198.51.100.1 ttl 9 tos 0x10 pmtudisc',
      'link set dev t0 mtu 1480',
      'link set dev t0 up',
      'address replace 2001:db8:f::1/64 dev t0',
      'route replace 2001:db8:e::/48 dev t0 table 254 metric 1024 proto 64',
    ])
  })

  it('of 6to4 names its relay as the next hop', () => {
    const found = lines({ name: 't1', mode: '6to4', local: '192.0.2.2', relay: '203.0.113.9', routes: ['2000::/3'] })
    expect(found).toContain('address replace 2002:c000:202::1/16 dev t1')
    expect(found.at(-1)).toBe('route replace 2000::/3 via ::cb00:7109 dev t1 table 254 metric 1024 proto 64')
  })

  it('of 6rd is told its domain, and of ISATAP its routers', () => {
    const rd = { name: 't2', mode: '6rd', local: '192.0.2.2', prefix: '3fff:100::/24', ipv4Prefix: '192.0.0.0/8' }
    expect(lines(rd)[0]).toMatch(/ 6rd-prefix 3fff:100::\/24 6rd-relay_prefix 192\.0\.0\.0\/8$/)
    const isatap = {
      name: 't3',
      mode: 'isatap',
      local: '192.0.2.2',
      routers: ['203.0.113.9'],
      routes: ['::/0'],
      pathMtu: false,
    }
    expect(lines(isatap)).toEqual([
      'link add name t3 type sit local 192.0.2.2 remote any ttl 64 tos 0x0 nopmtudisc isatap',
      'tunnel prl dev t3 prl-default 203.0.113.9',
      'link set dev t3 alias "sixgate prl 203.0.113.9"',
      'link set dev t3 mtu 1280',
      'link set dev t3 up',
      'route replace ::/0 via fe80::5efe:cb00:7109 dev t3 table 254 metric 1024 proto 64',
    ])
  })

  it('does not answer for the tunnels of the gateway itself beside it', () => {
    const tables = (sit: boolean) =>
      feature
        .plan(config({ ...SIX, backend: 'sixgate' }), { ...host, sit }, namesOf())
        .present.filter(({ kind }) => kind === 'nft')
    expect(tables(true)).toMatchObject([{ name: 'sixgate_tunnels', rules: expect.stringContaining('{ 192.0.2.2 }') }])
    expect(tables(false)).toEqual([])
    expect(planned(SIX).filter(({ kind }) => kind === 'nft')).toEqual([])
  })

  it('is read as it was made', () => {
    const data = {
      local: '192.0.2.2',
      remote: '198.51.100.1',
      ttl: 9,
      tos: '0x10',
      pmtudisc: true,
      prefix: '2002::',
      prefixlen: 16,
    }
    const link = { ifname: 't0', ifindex: 1, flags: [], mtu: 1480, linkinfo: { info_kind: 'sit', info_data: data } }
    expect(toSit(link)).toEqual(planned({ ...SIX, ttl: 9, tos: 16 }).find(({ kind }) => kind === 'sit'))
    expect(toSit({ ...link, linkinfo: { info_kind: 'tun' } })).toBeUndefined()
  })
})

describe('the daemon', () => {
  const keys = (world: World) => [...world.system.resources.values()].map(keyOf)

  it('takes the tunnels of the kernel where it has them, and takes them back', async () => {
    const world = new World()
    world.system.types.add('sit')
    const before = world.system.dump()
    const daemon = await world.start(config({ ...SIX, routes: ['2001:db8:e::/48'] }))
    expect(keys(world)).toEqual(expect.arrayContaining(['sit t0', 'route 6 254 2001:db8:e::/48 1024']))
    expect(daemon.tunnels.report()?.tunnels).toMatchObject([{ name: 't0', backend: 'kernel', state: 'up' }])
    await daemon.close()
    expect(world.system.dump()).toBe(before)
  })

  it('makes a tunnel anew when its ends change, with all that stands on it', async () => {
    const world = new World()
    world.system.types.add('sit')
    const routes = ['2001:db8:e::/48']
    const daemon = await world.start(config({ ...SIX, routes }))
    world.system.changes.length = 0
    await daemon.apply(config({ ...SIX, routes, remote: '198.51.100.2' }))
    const changed = world.system.changes.map(({ before, after }) => keyOf((after ?? before) as Resource))
    expect(changed).toEqual(['sit t0', 'link t0 mtu', 'link t0 up', 'route 6 254 2001:db8:e::/48 1024'])
    world.system.changes.length = 0
    await daemon.review()
    expect(world.system.changes).toEqual([])
  })

  it('puts a tunnel back that somebody deleted', async () => {
    const world = new World()
    world.system.types.add('sit')
    const daemon = await world.start(config(SIX))
    world.system.removeLink('t0')
    await daemon.review()
    expect(keys(world)).toEqual(expect.arrayContaining(['sit t0', 'link t0 up']))
  })
})

describe('the counters of links', () => {
  it('are read from /proc/net/dev', () => {
    const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    t0:     100       2    3    0    0     0          0         0      400       5    6    0    0     0       0          0
`
    expect([...parseCounters(text)]).toEqual([
      ['t0', { bytesIn: 100, packetsIn: 2, bytesOut: 400, packetsOut: 5, errors: 9 }],
    ])
  })
})
