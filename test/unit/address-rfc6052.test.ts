// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { parseAddress, parsePrefix } from '../../src/net/address.ts'
import { isIllegal, kindOf } from '../../src/net/kind.ts'
import { PrefixMap } from '../../src/net/prefix-map.ts'
import {
  embed,
  extract,
  forbidsUnder,
  isNonGlobal,
  parseNat64Prefix,
  WELL_KNOWN_PREFIX,
} from '../../src/net/rfc6052.ts'

describe('RFC 6052 section 2.4', () => {
  // The table of the RFC, 192.0.2.33 under 2001:db8::/32 and longer.
  const TABLE = [
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100::'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::192.0.2.33'],
    ['64:ff9b::/96', '64:ff9b::192.0.2.33'],
  ] as const

  it.each(TABLE)('192.0.2.33 under %s is %s', (prefix, text) => {
    const ipv6 = embed(parseNat64Prefix(prefix), parseAddress('192.0.2.33'))
    expect(String(ipv6)).toBe(String(parseAddress(text)))
    expect(String(extract(parseNat64Prefix(prefix), ipv6))).toBe('192.0.2.33')
  })

  it('a u octet other than zero holds no IPv4 address', () => {
    // 2001:db8:122:344:c0:2:2100:: with bit 71 set.
    expect(
      extract(parseNat64Prefix('2001:db8:122:344::/64'), parseAddress('2001:db8:122:344:1c0:2:2100::')),
    ).toBeUndefined()
    expect(extract(parseNat64Prefix('2001:db8::/32'), parseAddress('2001:db8:c000:221:8000::'))).toBeUndefined()
  })

  it('a suffix is ignored (section 2.2 reserves it)', () => {
    expect(String(extract(parseNat64Prefix('2001:db8::/32'), parseAddress('2001:db8:c000:221:0:1::')))).toBe(
      '192.0.2.33',
    )
  })

  it('an address outside the prefix holds none', () => {
    expect(extract(WELL_KNOWN_PREFIX, parseAddress('2001:db8::1'))).toBeUndefined()
    expect(extract(WELL_KNOWN_PREFIX, parseAddress('64:ff9b:1::1'))).toBeUndefined()
    expect(extract(WELL_KNOWN_PREFIX, parseAddress('192.0.2.1'))).toBeUndefined()
  })

  it('only an IPv4 address can be embedded, and only under the six lengths', () => {
    expect(() => embed(WELL_KNOWN_PREFIX, parseAddress('2001:db8::1'))).toThrow(TypeError)
    expect(() => embed(parsePrefix('2001:db8::/72'), parseAddress('192.0.2.1'))).toThrow(RangeError)
    expect(() => extract(parsePrefix('2001:db8::/72'), parseAddress('2001:db8::1'))).toThrow(RangeError)
  })
})

describe('a translation prefix', () => {
  it.each(['2001:db8::/33', '::/0', '64:ff9b::/97', '2001:db8::/128', '2001:db8::/72'])('is not %s', (text) => {
    expect(() => parseNat64Prefix(text)).toThrow(/32, 40, 48, 56, 64 or 96/)
  })

  it('is not IPv4', () => {
    expect(() => parseNat64Prefix('192.0.2.0/24')).toThrow('"192.0.2.0/24" is an IPv4 prefix')
  })

  it('has bits 64 to 71 zero', () => {
    expect(() => parseNat64Prefix('2001:db8:0:0:100::/96')).toThrow('bits 64 to 71')
    expect(() => parseNat64Prefix('2001:db8:0:0:8000::/96')).toThrow('bits 64 to 71')
    expect(String(parseNat64Prefix('2001:db8:0:0:ff::/96'))).toBe('2001:db8:0:0:ff::/96')
  })
})

describe('RFC 6052 section 3.1', () => {
  it.each([
    '0.0.0.0',
    '10.255.255.255',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '169.254.1.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.168.0.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
  ])('%s is not global', (text) => {
    expect(isNonGlobal(parseAddress(text))).toBe(true)
  })

  it.each([
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.88.99.1',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
  ])('%s is global', (text) => {
    expect(isNonGlobal(parseAddress(text))).toBe(false)
  })

  it('the addresses of ipv4only.arpa may always be synthesised (RFC 7050)', () => {
    expect(isNonGlobal(parseAddress('192.0.0.170'))).toBe(false)
    expect(isNonGlobal(parseAddress('192.0.0.171'))).toBe(false)
    expect(isNonGlobal(parseAddress('192.0.0.169'))).toBe(true)
    expect(isNonGlobal(parseAddress('192.0.0.172'))).toBe(true)
  })

  it('holds for the well-known prefix alone, unless it is switched off', () => {
    const home = parseAddress('192.168.1.1')
    expect(forbidsUnder(WELL_KNOWN_PREFIX, home, false)).toBe(true)
    expect(forbidsUnder(WELL_KNOWN_PREFIX, home, true)).toBe(false)
    expect(forbidsUnder(parsePrefix('2001:db8:64::/96'), home, false)).toBe(false)
    expect(forbidsUnder(WELL_KNOWN_PREFIX, parseAddress('1.1.1.1'), false)).toBe(false)
  })

  it('a prefix is not global when any of it is not', () => {
    expect(isNonGlobal(parsePrefix('192.0.0.0/20'))).toBe(true)
    expect(isNonGlobal(parsePrefix('192.0.2.64/28'))).toBe(true)
    expect(isNonGlobal(parsePrefix('1.0.0.0/24'))).toBe(false)
  })
})

describe('the kind of an address', () => {
  it.each([
    ['2600::1', 'global unicast'],
    ['fd00::1', 'unique local'],
    ['fe80::1', 'link-local'],
    ['2001:db8::1', 'documentation'],
    ['3fff:fff::1', 'documentation'],
    ['3fff:1000::1', 'global unicast'],
    ['64:ff9b::1', 'NAT64 well-known prefix'],
    ['64:ff9b:1::1', 'NAT64 local-use prefix'],
    ['64:ff9b:2::1', 'reserved'],
    ['2002:c000:201::1', '6to4'],
    ['2001:0:1::1', 'Teredo'],
    ['2001:1::1', 'protocol assignment'],
    ['2001:200::1', 'global unicast'],
    ['::ffff:1.2.3.4', 'IPv4-mapped'],
    ['::ffff:0:1.2.3.4', 'IPv4-translated'],
    ['::1.2.3.4', 'IPv4-compatible'],
    ['ff02::1', 'multicast'],
    ['::1', 'loopback'],
    ['::', 'unspecified'],
    ['fec0::1', 'site-local'],
    ['100::1', 'discard'],
    ['8.8.8.8', 'global unicast'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'shared'],
    ['127.0.0.1', 'loopback'],
    ['169.254.0.1', 'link-local'],
    ['192.0.2.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['0.0.0.0', 'unspecified'],
    ['0.0.0.1', 'this network'],
    ['192.0.0.170', 'ipv4only.arpa'],
    ['192.88.99.1', '6to4 relay anycast'],
    ['198.18.0.1', 'benchmarking'],
  ])('%s is %s', (text, kind) => {
    expect(kindOf(parseAddress(text))).toBe(kind)
  })

  it('tells what no packet may carry', () => {
    for (const text of [
      '127.0.0.1',
      '224.0.0.1',
      '255.255.255.255',
      '0.0.0.0',
      '::',
      '::1',
      'fe80::1',
      'ff02::1',
      '::ffff:1.1.1.1',
    ])
      expect(isIllegal(parseAddress(text)), text).toBe(true)
    for (const text of ['10.0.0.1', '192.0.2.1', '2001:db8::1', 'fd00::1', '64:ff9b::1'])
      expect(isIllegal(parseAddress(text)), text).toBe(false)
    expect(isIllegal(parsePrefix('::/0'))).toBe(true)
    expect(isIllegal(parsePrefix('126.0.0.0/7'))).toBe(true)
  })
})

describe('longest-prefix lookup', () => {
  const map = new PrefixMap<string>([
    [parsePrefix('::/0'), 'any'],
    [parsePrefix('2001:db8::/32'), 'site'],
    [parsePrefix('2001:db8:1::/48'), 'lan'],
    [parsePrefix('2001:db8:1::1/128'), 'host'],
    [parsePrefix('192.0.2.0/24'), 'edge'],
  ])

  it('takes the longest that contains the address', () => {
    expect(map.get(parseAddress('2001:db8:1::1'))).toBe('host')
    expect(map.get(parseAddress('2001:db8:1::2'))).toBe('lan')
    expect(map.get(parseAddress('2001:db8:2::1'))).toBe('site')
    expect(map.get(parseAddress('2600::1'))).toBe('any')
    expect(map.get(parseAddress('192.0.2.9'))).toBe('edge')
    expect(map.get(parseAddress('192.0.3.9'))).toBeUndefined()
  })

  it('looks up prefixes, exact ones and all around one', () => {
    expect(map.lookup(parsePrefix('2001:db8:1::/64'))?.value).toBe('lan')
    expect(map.lookup(parsePrefix('2001:db8::/31'))?.value).toBe('any')
    expect(map.exact(parsePrefix('2001:db8:1::/64'))).toBeUndefined()
    expect(map.exact(parsePrefix('2001:db8:1::/48'))).toBe('lan')
    expect([...map.matches(parseAddress('2001:db8:1::1'))].map(({ value }) => value)).toEqual([
      'host',
      'lan',
      'site',
      'any',
    ])
  })

  it('replaces, deletes and counts', () => {
    const own = new PrefixMap<number>([[parsePrefix('::/0'), 1]])
    own.set(parsePrefix('::/0'), 2).set(parsePrefix('2001:db8::/32'), 3)
    expect([own.size, own.get(parseAddress('::1'))]).toEqual([2, 2])
    expect(own.delete(parsePrefix('2001:db8::/32'))).toBe(true)
    expect(own.delete(parsePrefix('2001:db8::/32'))).toBe(false)
    expect(own.delete(parsePrefix('2001:db8::/33'))).toBe(false)
    expect([own.size, own.get(parseAddress('2001:db8::1'))]).toEqual([1, 2])
    expect([...own].map(([prefix, value]) => `${prefix} ${value}`)).toEqual(['::/0 2'])
  })
})
