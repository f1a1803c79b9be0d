// SPDX-License-Identifier: Apache-2.0
/** What is allowed and hardly meant: each warning with the least configuration that has it, and its neighbour without. */
import { describe, expect, it } from 'vitest'
import { readConfig, renderConfig, validateConfig } from '../../src/config/load.ts'

/** `PATH: MESSAGE` of each warning; every warning must have a remedy and a line. */
function warnings(config: object): string[] {
  const { warnings } = readConfig(renderConfig(validateConfig({ version: 1, ...config })))
  for (const { remedy, line } of warnings) {
    expect(remedy).toMatch(/^\S.*\.$/)
    expect(line).toBeGreaterThan(0)
  }
  return warnings.map(({ path, message }) => `${path}: ${message}`)
}

/** Exactly one, at this path, that says this. */
function expectOne(config: object, path: string, words: string): void {
  expect(warnings(config)).toEqual([expect.stringContaining(words)])
  expect(warnings(config)[0]).toContain(`${path}: `)
}

const mapped = (...pairs: [ipv6: string, ipv4: string][]) => ({
  siit: { map: pairs.map(([ipv6, ipv4]) => ({ ipv6, ipv4 })) },
})
const NAT64 = { allowNonGlobal: true, pools: [{ addresses: ['198.51.100.64/28'] }] }
const DNS64 = { upstreams: ['[2001:db8::53]:53'] }

describe('a warning about explicit address mappings', () => {
  it('names both of two that overlap, in either family (RFC 7757 section 5, figure 2)', () => {
    expectOne(
      mapped(['2001:db8::abcd', '198.51.100.64'], ['2001:db8:ff00::/64', '198.51.100.0/24']),
      '/siit/map/1/ipv4',
      '198.51.100.0/24 contains 198.51.100.64/32 at /siit/map/0/ipv4; the longer prefix wins',
    )
    expectOne(
      mapped(['2001:db8:1::/64', '192.0.2.0/24'], ['2001:db8:1::/80', '203.0.113.0/24']),
      '/siit/map/0/ipv6',
      '2001:db8:1::/64 contains 2001:db8:1::/80 at /siit/map/1/ipv6',
    )
    expect(warnings(mapped(['2001:db8:1::/120', '192.0.2.0/24'], ['2001:db8:2::/120', '192.0.3.0/24']))).toEqual([])
  })

  it('tells of the nearest around, once for all that lie in it', () => {
    const inner = (n: number): [string, string] => [`2001:db8:2::${n}`, `198.51.100.${n}`]
    const found = warnings(
      mapped(['2001:db8:1::/64', '198.51.0.0/16'], ['2001:db8:3::/64', '198.51.100.0/24'], ...[1, 2, 3].map(inner)),
    )
    expect(found).toEqual([
      expect.stringContaining('/siit/map/0/ipv4: 198.51.0.0/16 contains 198.51.100.0/24 at /siit/map/1/ipv4;'),
      expect.stringContaining(
        '/siit/map/1/ipv4: 198.51.100.0/24 contains 198.51.100.1/32 at /siit/map/2/ipv4 and 2 more;',
      ),
    ])
  })

  it('does not fill the screen', () => {
    const pairs = Array.from({ length: 200 }, (_, n): [string, string][] => [
      [`2001:db8:${n + 1}::/64`, `198.51.${n}.0/24`],
      [`2001:db8:ffff::${n + 1}`, `198.51.${n}.7`],
    ])
    const found = warnings(mapped(...pairs.flat()))
    expect(found).toHaveLength(10)
    expect(found[9]).toContain('(and 190 more like this)')
  })
})

describe('a warning about prefixes', () => {
  it('says when PREF64 is not translated here', () => {
    const one = (pref64: string, others: object) => ({ ...others, advertise: [{ interface: 'lan0', pref64 }] })
    const other = '2001:db8:64::/96'
    expectOne(one(other, { nat64: NAT64 }), '/advertise/0/pref64', 'is not a translation prefix of this gateway')
    expect(warnings(one('64:ff9b::/96', { nat64: NAT64 }))).toEqual([])
    expect(warnings(one(other, { siit: { prefix: other } }))).toEqual([])
    expect(warnings(one(other, { dns64: { ...DNS64, prefixes: [other] } }))).toEqual([])
    // a router that only advertises
    expect(warnings(one(other, {}))).toEqual([])
  })

  it('says when DNS64 synthesises what is not translated here', () => {
    const dns64 = { ...DNS64, prefixes: ['2001:db8:64::/96'] }
    expectOne({ nat64: NAT64, dns64 }, '/dns64/prefixes/0', 'is synthesised here, but not translated')
    expect(warnings({ siit: { prefix: '2001:db8:64::/96' }, dns64 })).toEqual([])
    expect(warnings({ dns64 })).toEqual([])
    const rules = [{ prefix: '2001:db8:65::/96' }]
    expectOne({ nat64: NAT64, dns64: { ...DNS64, rules } }, '/dns64/rules/0/prefix', 'not translated')
  })
})

describe('a warning', () => {
  it('says when a session is forgotten earlier than the RFCs allow', () => {
    const timed = (timeouts: object) => ({ nat64: { ...NAT64, timeouts } })
    expectOne(timed({ tcpEstablished: '1h' }), '/nat64/timeouts/tcpEstablished', 'less than the 2h4m of RFC 5382 REQ-5')
    expectOne(timed({ tcpTransitory: '239s' }), '/nat64/timeouts/tcpTransitory', 'RFC 5382 REQ-5')
    expectOne(timed({ icmp: '59s' }), '/nat64/timeouts/icmp', 'RFC 5508 REQ-2')
    expect(warnings(timed({ tcpEstablished: '2h4m', tcpTransitory: '4m', icmp: '60s' }))).toEqual([])
  })

  it('says when ICMP errors come from a private address (RFC 6791 section 3.1)', () => {
    const from = (...icmpSourceV4: string[]) => ({ translation: { icmpSourceV4 } })
    expectOne(from('192.0.2.1', '10.0.0.1'), '/translation/icmpSourceV4/1', '10.0.0.1 (private) may be filtered')
    expectOne(from('100.64.0.1'), '/translation/icmpSourceV4/0', 'RFC 6791')
    expect(warnings(from('192.0.2.1'))).toEqual([])
  })

  it('says when checksums are to be computed and nothing would lack them', () => {
    const translation = { amendUdpChecksumZero: true }
    expectOne({ nat64: NAT64, translation }, '/translation/amendUdpChecksumZero', 'there is no siit')
    expect(warnings({ siit: { prefix: '2001:db8:64::/96' }, translation })).toEqual([])
  })

  it('says when anyone may ask DNS64', () => {
    const open = (clients: string[]) => ({ dns64: { ...DNS64, prefixes: ['64:ff9b::/96'], clients } })
    expectOne(open(['2001:db8:1::/48', '::/0']), '/dns64/clients/1', '::/0 lets anyone ask')
    expect(warnings(open(['2001:db8:1::/48', '10.0.0.0/8']))).toEqual([])
  })

  it('says when the API is reached from other hosts and nobody has a token', () => {
    const listen = ['[::]:8064']
    const tokens = [{ name: 'ops', sha256: '0'.repeat(64), role: 'viewer' }]
    expectOne({ api: { listen } }, '/api/listen/0', 'there is no token')
    expect(warnings({ api: { listen, tokens } })).toEqual([])
    expect(warnings({ api: { listen: ['[::1]:8064', '127.0.0.1:8064'] } })).toEqual([])
  })
})

describe('a warning about the log of bindings', () => {
  const logging = (events: string, pool: object) => ({
    nat64: { ...NAT64, pools: [{ addresses: ['198.51.100.64/28'], ...pool }] },
    log: { bindings: { events, files: ['/var/log/bindings.jsonl'] } },
  })

  it('says that a pool without blocks has none to log', () => {
    expectOne(logging('blocks', {}), '/log/bindings/events', '/nat64/pools/0 lends single ports')
    expect(warnings(logging('blocks', { blockSize: 64 }))).toEqual([])
    expect(warnings(logging('bindings', {}))).toEqual([])
  })
})
