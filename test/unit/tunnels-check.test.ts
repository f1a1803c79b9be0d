// SPDX-License-Identifier: Apache-2.0
/** What no tunnel can be: each rule with the least configuration that breaks it, and its neighbour that works. */
import { describe, expect, it } from 'vitest'
import { validateConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import type { GatewayError } from '../../src/errors.ts'
import type { Host } from '../../src/feature.ts'
import { choose, tunnels as feature } from '../../src/tunnels.ts'

const SIX = { name: 't0', mode: '6in4', local: '192.0.2.1', remote: '198.51.100.1' }
const TO4 = { name: 't1', mode: '6to4', local: '192.0.2.1' }
const ISATAP = { name: 't2', mode: 'isatap', local: '192.0.2.1', prefix: '2001:db8:a::/64' }
const RD = { name: 't3', mode: '6rd', local: '192.0.2.1', prefix: '2001:db8::/32', relay: '198.51.100.9' }

/** `PATH: MESSAGE` of each fault; every fault must have a remedy. */
function faults(tunnels: object[], others: object = {}): string[] {
  try {
    validateConfig({ version: 1, tunnels, ...others })
    return []
  } catch (error) {
    const { faults } = error as GatewayError
    for (const { remedy } of faults) expect(remedy).toMatch(/^\S.*\.$|…$/)
    return faults.map(({ path, message }) => `${path}: ${message}`)
  }
}

function expectOne(found: string[], path: string, words: string): void {
  expect(found).toHaveLength(1)
  expect(found[0]).toContain(`${path}: `)
  expect(found[0]).toContain(words)
}

describe('a tunnel', () => {
  it('of each mode is taken, and all of them on one address', () => {
    for (const one of [SIX, TO4, ISATAP, RD]) expect(faults([one])).toEqual([])
    expect(faults([SIX, TO4, ISATAP, RD])).toEqual([])
  })

  it('has the keys of its mode and no others', () => {
    expectOne(faults([{ ...SIX, remote: undefined }].map(({ remote, ...rest }) => rest)), '/tunnels/0', 'no remote')
    expectOne(faults([{ ...TO4, remote: '198.51.100.1' }]), '/tunnels/0/remote', 'not for 6to4')
    expectOne(faults([{ ...SIX, relay: '198.51.100.9' }]), '/tunnels/0/relay', 'not for 6in4')
    expectOne(faults([{ ...TO4, routers: ['198.51.100.9'] }]), '/tunnels/0/routers', 'not for 6to4')
    const { prefix, ...without } = RD
    expectOne(faults([without]), '/tunnels/0', '6rd has no prefix')
  })

  it('carries at least 1280 bytes', () => {
    expectOne(faults([{ ...SIX, mtu: 1279 }]), '/tunnels/0/mtu', 'out of range')
    expect(faults([{ ...SIX, mtu: 1280 }])).toEqual([])
  })

  it('is not one to oneself', () => {
    expectOne(faults([{ ...SIX, remote: SIX.local }]), '/tunnels/0/remote', 'this end')
    expectOne(faults([{ ...RD, relay: RD.local }]), '/tunnels/0/relay', 'this end')
    expectOne(faults([{ ...ISATAP, routers: [ISATAP.local] }]), '/tunnels/0/routers/0', 'this end')
  })

  it('ends at addresses of hosts', () => {
    for (const local of ['0.0.0.1', '127.0.0.1', '224.0.0.1', '255.255.255.255', '169.254.1.1'])
      expectOne(faults([{ ...SIX, local }]), '/tunnels/0/local', 'cannot be an end')
    expect(faults([{ ...SIX, local: '10.0.0.1' }])).toEqual([])
  })

  it('of 6to4 has a unique address (RFC 3056 section 2)', () => {
    for (const local of ['10.0.0.1', '100.64.0.1', '172.31.255.1', '192.168.1.1'])
      expectOne(faults([{ ...TO4, local }]), '/tunnels/0/local', 'cannot be an end of 6to4')
    expect(faults([{ ...TO4, local: '203.0.113.1' }])).toEqual([])
  })

  it('of 6rd leaves each site a /64, and is on an address of the domain', () => {
    const long = { ...RD, prefix: '2001:db8::/40', relay: '192.0.2.9' }
    expectOne(faults([long]), '/tunnels/0/prefix', 'would have a /72')
    expect(faults([{ ...long, ipv4Prefix: '192.0.2.0/24' }])).toEqual([])
    expectOne(faults([{ ...RD, ipv4Prefix: '10.0.0.0/8' }]), '/tunnels/0/local', 'not within 10.0.0.0/8')
  })

  it('of ISATAP has a /64', () => {
    expectOne(faults([{ ...ISATAP, prefix: '2001:db8:a::/56' }]), '/tunnels/0/prefix', 'no /64')
  })

  it('has a name of its own', () => {
    expectOne(faults([SIX, { ...TO4, name: 't0' }]), '/tunnels/1/name', 'stands already at /tunnels/0')
    const interfaces = [{ name: 't0', role: 'inside' }]
    expectOne(faults([SIX], { interfaces }), '/tunnels/0/name', 'stands already at /interfaces/0')
    for (const name of ['lo', 'sit0', 'sixgate0'])
      expectOne(faults([{ ...SIX, name }]), '/tunnels/0/name', 'name of another link')
  })

  it('stands there once', () => {
    expectOne(faults([SIX, { ...SIX, name: 'other' }]), '/tunnels/1/local', 'stands already')
    expectOne(faults([TO4, { ...TO4, name: 'other' }]), '/tunnels/1/local', 'stands already')
    expect(faults([SIX, { ...SIX, name: 'other', remote: '198.51.100.2' }])).toEqual([])
    const two = [RD, { ...RD, name: 'other', prefix: '2001:db8:8000::/33', ipv4Prefix: '192.0.0.0/8' }]
    expectOne(faults(two), '/tunnels/1/local', 'stands already')
  })

  it('of the kernel is the only one without a remote on its address', () => {
    const kernel = { backend: 'kernel' }
    expectOne(
      faults([
        { ...TO4, ...kernel },
        { ...ISATAP, ...kernel },
      ]),
      '/tunnels/1/local',
      'the kernel cannot tell it',
    )
    expect(
      faults([
        { ...TO4, ...kernel },
        { ...ISATAP, ...kernel, local: '192.0.2.2' },
      ]),
    ).toEqual([])
    expect(
      faults([
        { ...TO4, ...kernel },
        { ...SIX, ...kernel },
      ]),
    ).toEqual([])
    const mixed = [
      { ...TO4, ...kernel },
      { ...ISATAP, backend: 'sixgate' },
    ]
    expectOne(faults(mixed), '/tunnels/1/backend', 'the same address')
  })
})

describe('a route into a tunnel', () => {
  const route = (tunnel: object, ...routes: string[]) => faults([{ ...tunnel, routes }])

  it('leads somewhere', () => {
    expect(route(SIX, '2001:db8:e::/48', '::/0')).toEqual([])
    expectOne(route(SIX, '2001:db8:e::/48 via fe80::1'), '/tunnels/0/routes/0', 'needs no next hop')
    expectOne(route(TO4, '::/0'), '/tunnels/0/routes/0', 'leads to no router')
    expect(route({ ...TO4, relay: '203.0.113.9' }, '::/0')).toEqual([])
    expect(
      route(TO4, '2002:c633:6401::/48', '2001:db8:e::/48 via 2002:c633:6401::1', '::/0 via ::203.0.113.9'),
    ).toEqual([])
    expectOne(route(TO4, '::/0 via 2001:db8::1'), '/tunnels/0/routes/0', 'does not name an IPv4 address')
    expectOne(route(TO4, '::/0 via ::10.0.0.1'), '/tunnels/0/routes/0', 'cannot be an end of 6to4')
    expectOne(route(TO4, '::/0 via 2002:c000:201::1'), '/tunnels/0/routes/0', 'this end')
    expectOne(route(ISATAP, '::/0'), '/tunnels/0/routes/0', 'leads to no router')
    expect(route(ISATAP, '::/0 via fe80::5efe:c633:6401')).toEqual([])
    expect(route({ ...ISATAP, routers: ['198.51.100.1'] }, '::/0')).toEqual([])
    expect(route(RD, '::/0')).toEqual([])
  })

  it('is of IPv6, and the only one to its prefix', () => {
    expectOne(route(SIX, '192.0.2.0/24'), '/tunnels/0/routes/0', 'is IPv4')
    expectOne(route(SIX, '2001:db8:e::/48', '2001:db8:e::/48'), '/tunnels/0/routes/1', 'has a route already')
  })
})

describe('an address on a tunnel', () => {
  it('is of IPv6, and nowhere else', () => {
    expectOne(faults([{ ...SIX, addresses: ['192.0.2.9/24'] }]), '/tunnels/0/addresses/0', 'is IPv4')
    const interfaces = [{ name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] }]
    const twice = faults([{ ...SIX, addresses: ['2001:db8:1::1/64'] }], { interfaces })
    expectOne(twice, '/tunnels/0/addresses/0', 'stands already at /interfaces/0/addresses/0')
  })

  it('is not where a translator has its prefix', () => {
    const siit = { prefix: '2001:db8:100::/40' }
    expectOne(faults([{ ...ISATAP, prefix: '2001:db8:100::/64' }], { siit }), '/tunnels/0/prefix', 'overlaps')
    const map = { siit: { map: [{ ipv6: '2001:db8:3::/120', ipv4: '192.0.2.0/24' }] } }
    expectOne(faults([SIX], map), '/tunnels/0/local', 'is mapped')
  })
})

describe('on a host', () => {
  const link = (name: string, address = '192.0.2.1') => ({
    ...{ name, index: 1, up: true, carrier: true, mtu: 1500, type: 'veth' },
    addresses: [{ address, length: 24, tentative: false }],
  })
  const host: Host = { links: [link('wan0')], sysctls: {}, made: new Set() }
  const check = (tunnels: object[], where: Partial<Host> = {}) =>
    feature
      .check(validateConfig({ version: 1, tunnels }) as Config, { ...host, ...where })
      .map(({ path, message }) => `${path}: ${message}`)

  it('the local address is there, and the other end is not', () => {
    expect(check([SIX])).toEqual([])
    expectOne(check([{ ...SIX, local: '192.0.2.7' }]), '/tunnels/0/local', 'no address of this host')
    const two = { links: [link('wan0'), link('wan1', '198.51.100.1')] }
    expectOne(check([SIX], two), '/tunnels/0/remote', 'an address of this host, too')
  })

  it('the name is not that of a link of somebody else', () => {
    const links = [link('wan0'), link('t0', '203.0.113.1')]
    expectOne(check([SIX], { links }), '/tunnels/0/name', 'somebody else')
    expect(check([SIX], { links, made: new Set(['t0']) })).toEqual([])
  })

  it('a kernel without sit runs none', () => {
    expectOne(check([{ ...SIX, backend: 'kernel' }], { sit: false }), '/tunnels/0/backend', 'no sit')
    expect(check([{ ...SIX, backend: 'kernel' }], { sit: true })).toEqual([])
  })

  it('the backend follows from the kernel and from the neighbours on the address', () => {
    const of = (tunnels: object[], sit: boolean) => {
      const config = validateConfig({ version: 1, tunnels }) as Config
      return config.tunnels.map((tunnel) => choose(config, tunnel, { sit }).backend)
    }
    expect(of([SIX], false)).toEqual(['sixgate'])
    expect(of([SIX, TO4], true)).toEqual(['kernel', 'kernel'])
    expect(of([TO4, ISATAP], true)).toEqual(['sixgate', 'sixgate'])
    expect(of([SIX, { ...TO4, backend: 'sixgate' }], true)).toEqual(['sixgate', 'sixgate'])
  })
})
