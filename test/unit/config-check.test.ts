// SPDX-License-Identifier: Apache-2.0
/** What cannot work between keys: each rule with the least configuration that breaks it, and its neighbour that works. */
import { describe, expect, it } from 'vitest'
import { checkPoolsAgainstHost } from '../../src/config/check.ts'
import { validateConfig } from '../../src/config/load.ts'
import type { GatewayError } from '../../src/errors.ts'

const POOL = { addresses: ['198.51.100.64/28'] }
const WAN = { name: 'wan0', role: 'outside' }
const LAN = { name: 'lan0', role: 'inside' }
const UPSTREAMS = ['[2001:db8::53]:53']

/** `PATH: MESSAGE` of each fault; every fault must have a remedy. */
function faults(config: object): string[] {
  try {
    validateConfig({ version: 1, ...config })
    return []
  } catch (error) {
    const { faults } = error as GatewayError
    for (const { remedy } of faults) expect(remedy).toMatch(/^\S.*\.$/)
    return faults.map(({ path, message }) => `${path}: ${message}`)
  }
}

function nat64(keys: object, others: object = {}): string[] {
  return faults({ ...others, nat64: { allowNonGlobal: true, pools: [POOL], ...keys } })
}

/** Exactly one fault, at this path, that says this. */
function expectOne(found: string[], path: string, words: string): void {
  expect(found).toHaveLength(1)
  expect(found[0]).toContain(`${path}: `)
  expect(found[0]).toContain(words)
}

describe('translation prefixes', () => {
  it('do not overlap', () => {
    const overlap = nat64({ prefixes: ['2001:db8:64::/48', '2001:db8:64::/96'] })
    expectOne(overlap, '/nat64/prefixes/1', '2001:db8:64::/96 overlaps 2001:db8:64::/48 at /nat64/prefixes/0')
    expect(nat64({ prefixes: ['64:ff9b::/96', '64:FF9B:0::/96'] })).toHaveLength(1)
    expect(nat64({ prefixes: ['64:ff9b::/96', '2001:db8:64::/96'] })).toEqual([])
  })

  it('are routable, and the well-known one has its own length', () => {
    expectOne(nat64({ prefixes: ['fe80::/64'] }), '/nat64/prefixes/0', 'cannot be routed')
    expectOne(nat64({ prefixes: ['::ffff:0:0/96'] }), '/nat64/prefixes/0', 'cannot be routed')
    expectOne(nat64({ prefixes: ['64:ff9b::/64'] }), '/nat64/prefixes/0', 'contains the well-known prefix')
    expect(nat64({ prefixes: ['64:ff9b:1::/48'] })).toEqual([])
  })

  it('are on no link and behind no route', () => {
    const prefixes = ['2001:db8:64::/96']
    const at = (link: object) => nat64({ prefixes }, { interfaces: [{ ...LAN, ...link }] })
    expectOne(at({ addresses: ['2001:db8:64::1/64'] }), '/interfaces/0/addresses/0', 'overlaps the translation prefix')
    expectOne(
      at({ routes: ['2001:db8:64::/96 via fe80::1'] }),
      '/interfaces/0/routes/0',
      'leads away from the translator',
    )
    expect(
      at({ addresses: ['2001:db8:65::1/64'], routes: ['::/0 via fe80::1', '2001:db8:64::/48 via fe80::1'] }),
    ).toEqual([])
  })
})

describe('the well-known prefix', () => {
  it('carries no address that is not global (RFC 6052 section 3.1)', () => {
    for (const addresses of [['192.168.1.64/28'], ['198.51.100.1'], ['100.64.0.0/24']])
      expectOne(nat64({ allowNonGlobal: false, pools: [{ addresses }] }), '/nat64/pools/0/addresses/0', 'is not global')
  })

  it('carries them with allowNonGlobal, and another prefix always does', () => {
    expect(nat64({ allowNonGlobal: true })).toEqual([])
    expect(nat64({ allowNonGlobal: false, prefixes: ['2001:db8:64::/96'] })).toEqual([])
    expect(nat64({ allowNonGlobal: false, prefixes: ['64:ff9b::/96', '2001:db8:64::/96'] })).toEqual([])
    expect(nat64({ allowNonGlobal: false, pools: [{ addresses: ['1.1.1.0/28'] }] })).toEqual([])
  })
})

describe('pools', () => {
  it('do not share ports of an address', () => {
    const pools = [POOL, { addresses: ['198.51.100.70'], ports: '60000-65535' }]
    expectOne(
      nat64({ pools }),
      '/nat64/pools/1/addresses/0',
      'shares the ports 60000-65535 with 198.51.100.64/28 at /nat64/pools/0/addresses/0',
    )
    expect(nat64({ pools: [...pools].reverse() })[0]).toContain('/nat64/pools/1/addresses/0: 198.51.100.64/28 shares')
  })

  it('do not share a single port', () => {
    const pools = [
      { ...POOL, ports: '1024-2047' },
      { ...POOL, ports: '2047-4095' },
    ]
    for (const order of [pools, pools.toReversed()])
      expectOne(nat64({ pools: order }), '/nat64/pools/1/addresses/0', 'shares the ports 2047-2047')
  })

  it('are compared although one has an unknown key', () => {
    const found = nat64({ pools: [{ ...POOL, colour: 'red' }, POOL] })
    expect(found).toEqual([
      '/nat64/pools/0/colour: is not a key that is known here',
      expect.stringContaining('/nat64/pools/1/addresses/0: 198.51.100.64/28 shares'),
    ])
  })

  it('are not compared where one is at fault itself', () => {
    expectOne(nat64({ pools: [{ addresses: ['x'] }, POOL, POOL] }), '/nat64/pools/0/addresses/0', '"x" is no address')
  })

  it('may split the ports of an address, and have the same clients', () => {
    const split = [{ ...POOL, ports: '1024-2047' }, { ...POOL, ports: '2048-4095' }, { addresses: ['203.0.113.0/24'] }]
    expect(nat64({ pools: split })).toEqual([])
  })

  it('name no address twice', () => {
    expectOne(
      nat64({ pools: [{ addresses: ['198.51.100.64/28', '198.51.100.65'] }] }),
      '/nat64/pools/0/addresses/1',
      'shares',
    )
  })

  it('are many without many comparisons', () => {
    const addresses = Array.from({ length: 4000 }, (_, index) => `198.18.${index >> 8}.${index & 255}`)
    expect(nat64({ pools: [{ addresses }, { addresses: ['198.18.15.159'] }] })).toHaveLength(1)
  })

  it.each(['127.0.0.1', '224.0.0.0/24', '240.0.0.0/8', '169.254.0.0/16', '0.0.0.0/0', '255.255.255.255'])(
    'hold no %s',
    (address) => {
      expectOne(
        nat64({ pools: [{ addresses: [address] }] }),
        '/nat64/pools/0/addresses/0',
        'cannot be the source of a packet',
      )
    },
  )

  it('hold no next hop and no broadcast address', () => {
    const interfaces = [{ ...WAN, addresses: ['192.0.2.2/24'], routes: ['0.0.0.0/0 via 192.0.2.65'] }]
    expectOne(
      nat64({ pools: [{ addresses: ['192.0.2.64/28'] }] }, { interfaces }),
      '/nat64/pools/0/addresses/0',
      'the next hop of a route',
    )
    expectOne(
      nat64({ pools: [{ addresses: ['192.0.2.128/25'] }] }, { interfaces }),
      '/nat64/pools/0/addresses/0',
      'the broadcast address of a link',
    )
  })

  it('are announced on an outside link', () => {
    const pools = [{ ...POOL, announce: true }]
    expectOne(nat64({ pools }, { interfaces: [LAN] }), '/nat64/pools/0/announce', 'no interface has the role outside')
    expect(nat64({ pools }, { interfaces: [WAN] })).toEqual([])
  })
})

describe('a pool that is an address of the host', () => {
  const interfaces = [{ ...WAN, addresses: ['192.0.2.2/24'] }]
  const sharing = (ports: string) => nat64({ pools: [{ addresses: ['192.0.2.2'], ports }] }, { interfaces })

  it('leaves the host ports of its own', () => {
    expectOne(
      sharing('1024-65535'),
      '/nat64/pools/0/addresses/0',
      '192.0.2.2/32 contains 192.0.2.2, an address of this host',
    )
    expectOne(sharing('1-65535'), '/nat64/pools/0/addresses/0', 'leave the host 0 of its own')
    expectOne(sharing('1024-64512'), '/nat64/pools/0/addresses/0', 'leave the host 1023 of its own')
    expect(sharing('1024-64511')).toEqual([])
    expect(sharing('10000-59999')).toEqual([])
    expect(sharing('80')).toEqual([])
  })

  it('counts the ports of all pools on it', () => {
    const pools = [
      { addresses: ['192.0.2.2'], ports: '1024-40000' },
      { addresses: ['192.0.2.2'], ports: '40001-65535' },
    ]
    expect(nat64({ pools }, { interfaces })).toHaveLength(1)
  })

  it('is found with the addresses that the host really has', () => {
    const config = validateConfig({ version: 1, nat64: { allowNonGlobal: true, pools: [POOL] } })
    expect(checkPoolsAgainstHost(config, ['192.0.2.1', '::1', 'fe80::1%eth0'])).toEqual([])
    expect(checkPoolsAgainstHost(config, ['198.51.100.65'])).toMatchObject([
      { path: '/nat64/pools/0/addresses/0', remedy: expect.stringContaining('ports: "10000-59999"') },
    ])
  })
})

describe('blocks of ports', () => {
  const pool = (keys: object, limits: object = {}) => nat64({ limits, pools: [{ ...POOL, ...keys }] })
  const one = { addresses: ['198.51.100.64'], ports: '2000-2999' }

  it('have 64 ports or more, and no more than the pool', () => {
    expect(pool({ blockSize: 0 })).toEqual([])
    expectOne(pool({ blockSize: 63 }), '/nat64/pools/0/blockSize', 'is 63, less than 64')
    expect(pool({ blockSize: 64, blocksPerClient: 4 })).toEqual([])
    expect(pool({ ...one, blockSize: 1000 })).toEqual([])
    expectOne(
      pool({ ...one, blockSize: 1001 }),
      '/nat64/pools/0/blockSize',
      'is 1001, and the pool has the 1000 ports 2000-2999',
    )
  })

  it('are there when a key is about them', () => {
    expectOne(pool({ blocksPerClient: 2 }), '/nat64/pools/0/blocksPerClient', 'bounds the blocks, and there are none')
    expectOne(pool({ deterministic: true }), '/nat64/pools/0/deterministic', 'and there are none')
  })

  it('are as many as the clients of a deterministic pool', () => {
    const keys = { ...one, blockSize: 250, deterministic: true, clients: ['2001:db8:1::/62'] }
    expect(pool(keys)).toEqual([])
    expectOne(pool({ ...keys, blockSize: 251 }), '/nat64/pools/0/deterministic', 'has 4 clients of /64, and the pool 3')
    expectOne(
      pool({ ...keys, clients: ['2001:db8:1::/62', '2001:db8:2::/64'] }),
      '/nat64/pools/0/deterministic',
      '2001:db8:1::/62, 2001:db8:2::/64 has 5 clients',
    )
    expectOne(pool({ ...keys, clients: ['::/0'] }), '/nat64/pools/0/deterministic', 'far more than 2^32 clients')
    expectOne(pool(keys, { clientPrefixLength: 65 }), '/nat64/pools/0/deterministic', 'has 8 clients of /65')
    expectOne(pool(keys, { clientPrefixLength: 61 }), '/nat64/pools/0/clients/0', 'is longer than a client')
    expectOne(
      pool({ ...keys, clients: ['2001:db8:1::/63', '2001:db8:1:1::/64'] }),
      '/nat64/pools/0/clients/1',
      '2001:db8:1:1::/64 overlaps 2001:db8:1::/63',
    )
    expectOne(pool({ ...keys, blocksPerClient: 2 }), '/nat64/pools/0/blocksPerClient', 'is of no use')
  })
})

describe('static bindings', () => {
  const binding = { protocol: 'tcp', inside: '[2001:db8:1::5]:2000', outside: '198.51.100.64:2000' }
  const bind = (...bindings: object[]) => nat64({ static: bindings.map((one) => ({ ...binding, ...one })) })

  it('have an outside address in a pool, and a port of it', () => {
    expect(bind({})).toEqual([])
    expectOne(bind({ outside: '198.51.100.80:2000' }), '/nat64/static/0/outside', '198.51.100.80 is in no pool')
    expectOne(
      bind({ outside: '198.51.100.64:80' }),
      '/nat64/static/0/outside',
      'port 80 is not among the ports of its pool, 1024-65535',
    )
  })

  it('bind each transport address once for a protocol', () => {
    expect(bind({}, { protocol: 'udp' })).toEqual([])
    expectOne(
      bind({}, { inside: '[2001:db8:1::6]:2000' }),
      '/nat64/static/1/outside',
      'is bound already at /nat64/static/0/outside',
    )
    expectOne(
      bind({}, { outside: '198.51.100.64:2001' }),
      '/nat64/static/1/inside',
      'is bound already at /nat64/static/0/inside',
    )
  })

  it('lead to a host', () => {
    for (const address of ['::1', 'ff02::1', 'fe80::1', '::', '::ffff:192.0.2.1'])
      expectOne(bind({ inside: `[${address}]:2000` }), '/nat64/static/0/inside', 'cannot be a client')
    expectOne(bind({ inside: '[64:ff9b::1.1.1.1]:80' }), '/nat64/static/0/inside', 'is under a translation prefix')
  })
})

describe('timers', () => {
  it('the transitory one is the shorter', () => {
    expectOne(
      nat64({ timeouts: { tcpEstablished: '1m' } }),
      '/nat64/timeouts/tcpTransitory',
      'is 4m, longer than tcpEstablished, 1m',
    )
    expect(nat64({ timeouts: { tcpEstablished: '2s', tcpTransitory: '1s' } })).toEqual([])
  })

  it('UDP is at least two minutes (RFC 4787 REQ-5)', () => {
    expectOne(nat64({ timeouts: { udp: '1m' } }), '/nat64/timeouts/udp', 'less than 2m')
  })
})

describe('sources of ICMP errors', () => {
  it('are unicast', () => {
    expectOne(faults({ translation: { icmpSourceV4: ['224.0.0.1'] } }), '/translation/icmpSourceV4/0', 'multicast')
    expectOne(faults({ translation: { icmpSourceV6: ['::1'] } }), '/translation/icmpSourceV6/0', 'loopback')
    expect(faults({ translation: { icmpSourceV4: ['10.0.0.1'], icmpSourceV6: ['2001:db8::1'] } })).toEqual([])
  })
})

describe('interfaces', () => {
  const links = (...interfaces: object[]) => faults({ interfaces: interfaces.map((one) => ({ ...LAN, ...one })) })

  it('are written once, and are not the gateway’s own', () => {
    expectOne(links({}, {}), '/interfaces/1/name', 'lan0 stands already at /interfaces/0')
    expectOne(links({ name: 'sixgate0' }), '/interfaces/0/name', 'is not a link to configure')
    expectOne(links({ name: 'lo' }), '/interfaces/0/name', 'is not a link to configure')
  })

  it('have each address once, and no IPv4 address beside DHCP', () => {
    expectOne(
      links({ addresses: ['192.0.2.1/24'] }, { name: 'b', addresses: ['192.0.2.1/25'] }),
      '/interfaces/1/addresses/0',
      'stands already at',
    )
    expectOne(links({ dhcp4: true, addresses: ['192.0.2.1/24'] }), '/interfaces/0/addresses/0', 'beside dhcp4')
    expect(links({ dhcp4: true, addresses: ['2001:db8::1/64'] })).toEqual([])
  })

  it('are a VLAN with identifier and parent', () => {
    expectOne(links({ vlan: 5 }), '/interfaces/0/vlan', 'has no link to run on')
    expectOne(links({ parent: 'eth0' }), '/interfaces/0/parent', 'is only for a VLAN')
    expectOne(links({ vlan: 5, parent: 'lan0' }), '/interfaces/0/parent', 'is the link itself')
    expectOne(
      links({ name: 'a', vlan: 5, parent: 'e' }, { name: 'b', vlan: 5, parent: 'e' }),
      '/interfaces/1/vlan',
      'VLAN 5 on e',
    )
    expectOne(
      links({ name: 'e', mtu: 1500 }, { name: 'b', vlan: 5, parent: 'e', mtu: 9000 }),
      '/interfaces/1/mtu',
      'carries 1500',
    )
    expect(links({ name: 'a', vlan: 5, parent: 'e' }, { name: 'b', vlan: 6, parent: 'e' })).toEqual([])
  })

  it('have routes with a next hop on the link', () => {
    const route = (via: string, keys: object = { addresses: ['192.0.2.2/24', '2001:db8::2/64'] }) =>
      links({ routes: [`${via.includes(':') ? '::/0' : '0.0.0.0/0'} via ${via}`], ...keys })
    expect([...route('192.0.2.1'), ...route('2001:db8::1'), ...route('fe80::1')]).toEqual([])
    expectOne(route('198.51.100.1'), '/interfaces/0/routes/0', 'is on none of the networks of lan0')
    expectOne(route('2001:db8:1::1'), '/interfaces/0/routes/0', 'is on none of the networks of lan0')
    expectOne(route('192.0.2.2'), '/interfaces/0/routes/0', 'is an address of the gateway itself')
    expectOne(route('224.0.0.1'), '/interfaces/0/routes/0', 'cannot be a next hop')
    expect(route('198.51.100.1', { dhcp4: true })).toEqual([])
    expect(route('198.51.100.1', {})).toEqual([])
    expect(route('2001:db8:1::1', { acceptRa: true, addresses: ['2001:db8::2/64'] })).toEqual([])
  })

  it('have one route for a prefix', () => {
    expectOne(
      links({ routes: ['::/0 via fe80::1', '::/0 via fe80::2'] }),
      '/interfaces/0/routes/1',
      '::/0 has a route already',
    )
  })
})

describe('router advertisements', () => {
  const advertise = (...all: object[]) => faults({ advertise: all.map((one) => ({ interface: 'lan0', ...one })) })

  it('are one for each link, with /64 prefixes, each on one link', () => {
    expectOne(advertise({}, {}), '/advertise/1/interface', 'lan0 stands already')
    expectOne(advertise({ prefixes: ['2001:db8::/48'] }), '/advertise/0/prefixes/0', 'is no /64')
    expectOne(advertise({ prefixes: ['2001:db8:0:1::1'] }), '/advertise/0/prefixes/0', '2001:db8:0:1::1/128 is no /64')
    expectOne(advertise({ prefixes: ['fe80::/64'] }), '/advertise/0/prefixes/0', 'cannot be routed')
    expectOne(
      advertise({ prefixes: ['2001:db8::/64'] }, { interface: 'b', prefixes: ['2001:db8::/64'] }),
      '/advertise/1/prefixes/0',
      'stands already',
    )
  })

  it('give clients no addresses under a translation prefix', () => {
    const found = nat64(
      { prefixes: ['2001:db8:64::/48'] },
      { advertise: [{ interface: 'lan0', prefixes: ['2001:db8:64:1::/64'] }] },
    )
    expectOne(found, '/advertise/0/prefixes/0', 'overlaps the translation prefix')
    const siit = { prefix: '2001:db8:64::/48' }
    const stateless = faults({ siit, advertise: [{ interface: 'lan0', prefixes: ['2001:db8:64:1::/64'] }] })
    expectOne(stateless, '/advertise/0/prefixes/0', 'overlaps the translation prefix')
  })

  it('live as long as their interval (RFC 4861 section 6.2.1)', () => {
    expectOne(advertise({ lifetime: '5m' }), '/advertise/0/lifetime', 'is 5m, shorter than the interval, 10m')
    expect(advertise({ lifetime: '0s' })).toEqual([])
    expect(advertise({ lifetime: '4s', interval: '4s' })).toEqual([])
    expectOne(advertise({ interval: '3s' }), '/advertise/0/interval', 'less than 4s')
    expectOne(advertise({ interval: '4s500ms' }), '/advertise/0/interval', 'whole seconds')
    expectOne(advertise({ lifetime: '3h' }), '/advertise/0/lifetime', 'more than 2h30m')
  })

  it('name resolvers that clients reach', () => {
    expectOne(advertise({ rdnss: ['::1'] }), '/advertise/0/rdnss/0', 'loopback')
    expect(advertise({ rdnss: ['fe80::1', 'fd00::1', '2001:db8::1'] })).toEqual([])
  })
})

describe('DNS64', () => {
  const dns64 = (keys: object, others: object = {}) =>
    faults({ ...others, dns64: { upstreams: UPSTREAMS, prefixes: ['2001:db8:64::/96'], ...keys } })

  it('has a prefix, its own or NAT64’s', () => {
    expectOne(faults({ dns64: { upstreams: UPSTREAMS } }), '/dns64/prefixes', 'is missing, and there is no nat64')
    expect(nat64({}, { dns64: { upstreams: UPSTREAMS } })).toEqual([])
    expect(dns64({})).toEqual([])
    expectOne(dns64({ prefixes: ['64:ff9b::/96', '64:ff9b:0::/96'] }), '/dns64/prefixes/1', 'stands already')
  })

  it('does not ask itself', () => {
    expectOne(dns64({ listen: ['[::1]:53'], upstreams: ['[::1]:53'] }), '/dns64/upstreams/0', 'is this DNS64 itself')
    expectOne(dns64({ upstreams: ['127.0.0.1:53'] }), '/dns64/upstreams/0', 'is this DNS64 itself')
    const interfaces = [{ ...LAN, addresses: ['2001:db8:1::1/64'] }]
    expectOne(
      dns64({ upstreams: ['[2001:db8:1::1]:53'] }, { interfaces }),
      '/dns64/upstreams/0',
      'is this DNS64 itself',
    )
    expect(dns64({ upstreams: ['127.0.0.1:5353'] })).toEqual([])
    expect(dns64({ listen: ['[2001:db8:1::1]:53'], upstreams: ['127.0.0.1:53'] })).toEqual([])
  })

  it('asks unicast addresses, each once, link-local ones by their link', () => {
    expectOne(dns64({ upstreams: ['[ff02::1]:53'] }), '/dns64/upstreams/0', 'cannot be asked')
    expectOne(dns64({ upstreams: ['192.0.2.1:53', '192.0.2.1:53'] }), '/dns64/upstreams/1', 'stands already')
    expectOne(dns64({ upstreams: ['[fe80::1]:53'] }), '/dns64/upstreams/0', 'does not tell its link')
    expect(dns64({ upstreams: ['[fe80::1%wan0]:53'] })).toEqual([])
  })

  it('puts no private address under the well-known prefix (RFC 6052 section 3.1)', () => {
    const prefixes = ['64:ff9b::/96']
    expectOne(
      dns64({ prefixes, synthesizePrivate: true }),
      '/dns64/synthesizePrivate',
      'must not carry private addresses',
    )
    expect(dns64({ synthesizePrivate: true })).toEqual([])
    expect(nat64({}, { dns64: { upstreams: UPSTREAMS, synthesizePrivate: true } })).toEqual([])
    const rule = (ipv4: string) => dns64({ rules: [{ prefix: '64:ff9b::/96', ipv4: [ipv4] }] })
    expectOne(rule('10.1.0.0/16'), '/dns64/rules/0/ipv4/0', '10.1.0.0/16 is not global')
    expect([...rule('0.0.0.0/0'), ...rule('1.1.1.0/24'), ...rule('192.0.0.0/24')]).toEqual([])
  })
})

describe('listeners', () => {
  const listen = (dns: string[], api: string[]) =>
    faults({ dns64: { upstreams: UPSTREAMS, prefixes: ['64:ff9b::/96'], listen: dns }, api: { listen: api } })

  it('do not take the same port of an address', () => {
    expectOne(listen(['[::1]:53'], ['[::1]:53']), '/api/listen/0', 'cannot both be listened on')
    expectOne(listen(['[::]:53'], ['[2001:db8::1]:53']), '/api/listen/0', '[::]:53 at /dns64/listen/0')
    expectOne(listen(['[::]:53'], ['192.0.2.1:53']), '/api/listen/0', 'cannot both')
    expectOne(listen(['192.0.2.1:53'], ['0.0.0.0:53']), '/api/listen/0', 'cannot both')
    expectOne(listen(['192.0.2.1:53'], ['[::ffff:192.0.2.1]:53']), '/api/listen/0', 'cannot both')
    expectOne(listen(['[::]:53', '0.0.0.0:53'], []), '/dns64/listen/1', 'cannot both')
    expect(listen(['0.0.0.0:53'], ['[::1]:53'])).toEqual([])
    expect(listen(['[::1]:53', '127.0.0.1:53'], ['[::]:8064'])).toEqual([])
  })

  it('are on unicast addresses, link-local ones by their link', () => {
    expectOne(listen(['[ff02::1]:53'], []), '/dns64/listen/0', 'cannot be listened on')
    expectOne(listen(['[fe80::1]:53'], []), '/dns64/listen/0', 'does not tell its link')
  })

  it('take no port of a pool', () => {
    const pools = [{ addresses: ['192.0.2.2'], ports: '10000-20000' }]
    expectOne(
      nat64({ pools }, { api: { listen: ['192.0.2.2:10000'] } }),
      '/api/listen/0',
      'belongs to the pool at /nat64/pools/0',
    )
    expect(nat64({ pools }, { api: { listen: ['192.0.2.2:8064', '[::]:10000'] } })).toEqual([])
  })
})

describe('API tokens', () => {
  it('have a name and a value of their own', () => {
    const token = { name: 'a', role: 'admin', sha256: '0'.repeat(64) }
    expectOne(
      faults({ api: { tokens: [token, { ...token, sha256: '1'.repeat(64) }] } }),
      '/api/tokens/1/name',
      'is the same as at',
    )
    expectOne(
      faults({ api: { tokens: [token, { ...token, name: 'b' }] } }),
      '/api/tokens/1/sha256',
      'is the same as at',
    )
  })
})

describe('stateless translation', () => {
  const MAP = [{ ipv6: '2001:db8:3::/120', ipv4: '203.0.113.0/24' }]
  const siit = (keys: object, others: object = {}) => faults({ ...others, siit: keys })

  it('needs a prefix or a map', () => {
    expectOne(siit({}), '/siit', 'has neither a prefix nor a map')
    expect(siit({ prefix: '2001:db8:100::/40' })).toEqual([])
    expect(siit({ map: MAP })).toEqual([])
  })

  it('needs room for the IPv4 suffix in the IPv6 suffix (RFC 7757 section 3.1)', () => {
    const map = (ipv6: string, ipv4: string) => siit({ map: [{ ipv6, ipv4 }] })
    expectOne(map('2001:db8:3::/121', '203.0.113.0/24'), '/siit/map/0/ipv6', 'leaves 7 bits for the 8')
    expect(map('2001:db8:3::/120', '203.0.113.0/24')).toEqual([])
    expect(map('2001:db8:3::/64', '203.0.113.0/24')).toEqual([])
    expect(map('2001:db8::1', '203.0.113.1')).toEqual([])
  })

  it('maps a prefix once, but may map a longer one in it elsewhere', () => {
    const [first] = MAP
    expectOne(
      siit({ map: [first, { ipv6: '2001:db8:4::/120', ipv4: '203.0.113.0/24' }] }),
      '/siit/map/1/ipv4',
      '203.0.113.0/24 is mapped already at /siit/map/0/ipv4',
    )
    expectOne(
      siit({ map: [first, { ipv6: '2001:DB8:3::/120', ipv4: '198.51.100.0/24' }] }),
      '/siit/map/1/ipv6',
      '2001:db8:3::/120 is mapped already at /siit/map/0/ipv6',
    )
    expect(siit({ map: [first, { ipv6: '2001:db8:3::5', ipv4: '203.0.113.9' }] })).toEqual([])
  })

  it('shares no prefix with NAT64, a link or a route', () => {
    const prefix = '2001:db8:100::/40'
    expectOne(
      siit({ prefix }, { nat64: { allowNonGlobal: true, pools: [POOL], prefixes: ['2001:db8:164::/96'] } }),
      '/siit/prefix',
      'overlaps 2001:db8:164::/96 at /nat64/prefixes/0',
    )
    const at = (link: object) => siit({ prefix }, { interfaces: [{ ...LAN, ...link }] })
    expectOne(at({ addresses: ['2001:db8:101::1/64'] }), '/interfaces/0/addresses/0', 'overlaps the translation prefix')
    expectOne(at({ routes: ['2001:db8:101::/64 via fe80::1'] }), '/interfaces/0/routes/0', 'leads away')
    expect(at({ addresses: ['2001:db8:3::1/64'], routes: ['2001:db8::/32 via fe80::1'] })).toEqual([])
    expectOne(siit({ prefix: '64:ff9b::/64' }), '/siit/prefix', 'contains the well-known prefix')
    expectOne(siit({ prefix: 'fe80::/64' }), '/siit/prefix', 'cannot be routed')
  })

  it('maps no hosts under a translation prefix and no illegal addresses', () => {
    const map = (ipv6: string, ipv4: string) => siit({ prefix: '2001:db8:100::/40', map: [{ ipv6, ipv4 }] })
    expectOne(map('2001:db8:101::1', '203.0.113.1'), '/siit/map/0/ipv6', 'overlaps the translation prefix')
    expectOne(map('ff02::1', '203.0.113.1'), '/siit/map/0/ipv6', 'cannot be a host')
    expectOne(map('2001:db8::1', '224.0.0.1'), '/siit/map/0/ipv4', 'cannot be a host')
  })

  it('maps no pool, no address of the gateway, no router and no broadcast address', () => {
    const map = (ipv4: string, others: object) => siit({ map: [{ ipv6: '2001:db8:3::/64', ipv4 }] }, others)
    const pools = { nat64: { allowNonGlobal: true, pools: [POOL] } }
    expectOne(map('198.51.100.0/24', pools), '/siit/map/0/ipv4', 'overlaps the pool 198.51.100.64/28')
    expectOne(map('198.51.100.70', pools), '/siit/map/0/ipv4', 'overlaps the pool 198.51.100.64/28')
    expect(map('198.51.100.0/26', pools)).toEqual([])
    const wan = (ipv4: string) =>
      map(ipv4, { interfaces: [{ ...WAN, addresses: ['192.0.2.2/24'], routes: ['0.0.0.0/0 via 192.0.2.1'] }] })
    expectOne(wan('192.0.2.2'), '/siit/map/0/ipv4', '192.0.2.2, an address of this host')
    expectOne(wan('192.0.2.1'), '/siit/map/0/ipv4', '192.0.2.1, the next hop')
    expectOne(wan('192.0.2.255'), '/siit/map/0/ipv4', '192.0.2.255, the broadcast')
    expect(wan('192.0.2.128/26')).toEqual([])
  })
})
