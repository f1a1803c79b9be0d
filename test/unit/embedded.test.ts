// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { parseAddress, parsePrefix } from '../../src/net/address.ts'
import {
  compatible,
  compatibleHost,
  delegatedPrefix,
  isatapAddress,
  isatapHost,
  isatapLinkLocal,
  SIX_TO_FOUR_DOMAIN,
  siteOf,
  tunnelLinkLocal,
} from '../../src/net/embedded.ts'

const text = (value: unknown) => value && String(value)

describe('6to4', () => {
  it('gives a site the prefix 2002:V4ADDR::/48 (RFC 3056 section 2)', () => {
    const of = (ipv4: string) => text(delegatedPrefix(SIX_TO_FOUR_DOMAIN, parseAddress(ipv4)))
    expect(of('192.0.2.4')).toBe('2002:c000:204::/48')
    expect(of('255.255.255.255')).toBe('2002:ffff:ffff::/48')
    expect(of('0.0.0.1')).toBe('2002:0:1::/48')
  })

  it('finds the site of an address, and none elsewhere', () => {
    const of = (ipv6: string) => text(siteOf(SIX_TO_FOUR_DOMAIN, parseAddress(ipv6)))
    expect(of('2002:c000:204:7::1')).toBe('192.0.2.4')
    expect(of('2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff')).toBe('255.255.255.255')
    expect(of('2001:db8::1')).toBeUndefined()
    expect(of('2003:c000:204::1')).toBeUndefined()
  })
})

describe('6rd', () => {
  const domain = (prefix: string, ipv4Prefix: string) => ({
    prefix: parsePrefix(prefix),
    ipv4Prefix: parsePrefix(ipv4Prefix),
  })

  it.each([
    ['2001:db8::/32', '10.0.0.0/8', '10.100.100.1', '2001:db8:6464:100::/56'],
    ['2001:db8::/32', '0.0.0.0/0', '10.100.100.1', '2001:db8:a64:6401::/64'],
    ['2001:db8::/36', '192.0.2.0/24', '192.0.2.129', '2001:db8:810::/44'],
    ['2001:db8:4::/48', '198.51.100.7/32', '198.51.100.7', '2001:db8:4::/48'],
  ])('under %s with %s gives %s the prefix %s', (prefix, ipv4Prefix, ipv4, site) => {
    const one = domain(prefix, ipv4Prefix)
    const delegated = delegatedPrefix(one, parseAddress(ipv4))
    expect(text(delegated)).toBe(site)
    expect(text(siteOf(one, delegated.address))).toBe(ipv4)
    expect(text(siteOf(one, delegated.last))).toBe(ipv4)
  })

  it('has no prefix for an address outside of the domain', () => {
    const one = domain('2001:db8::/32', '10.0.0.0/8')
    expect(() => delegatedPrefix(one, parseAddress('11.0.0.1'))).toThrow('not of the domain')
    expect(siteOf(one, parseAddress('2001:db9::1'))).toBeUndefined()
  })
})

describe('ISATAP', () => {
  it('sets the u bit for a globally unique address alone (RFC 5214 section 6.1)', () => {
    const of = (ipv4: string) => text(isatapAddress(parsePrefix('2001:db8:a::/64'), parseAddress(ipv4)))
    expect(of('8.8.8.8')).toBe('2001:db8:a:0:200:5efe:808:808')
    for (const [ipv4, tail] of [
      ['10.1.2.3', 'a01:203'],
      ['192.168.1.1', 'c0a8:101'],
      ['192.0.2.3', 'c000:203'],
    ] as const)
      expect(of(ipv4)).toBe(`2001:db8:a::5efe:${tail}`)
  })

  it('is known by either value of the u bit, and by nothing else', () => {
    const of = (ipv6: string) => text(isatapHost(parseAddress(ipv6)))
    expect(of('fe80::5efe:c000:203')).toBe('192.0.2.3')
    expect(of('2001:db8::200:5efe:c000:203')).toBe('192.0.2.3')
    for (const other of ['2001:db8::100:5efe:c000:203', '2001:db8::5eff:c000:203']) expect(of(other)).toBeUndefined()
  })
})

describe('link-local addresses', () => {
  it('end in the IPv4 address (RFC 4213 section 3.7)', () => {
    expect(text(tunnelLinkLocal(parseAddress('192.0.2.1')))).toBe('fe80::c000:201')
    expect(text(isatapLinkLocal(parseAddress('192.0.2.1')))).toBe('fe80::5efe:c000:201')
  })
})

describe('a next hop ::a.b.c.d', () => {
  it('names an IPv4 router, but :: and ::1 name nobody', () => {
    const hop = compatible(parseAddress('192.0.2.9'))
    expect(text(compatibleHost(hop))).toBe('192.0.2.9')
    for (const other of ['::', '::1', '2001:db8::1']) expect(compatibleHost(parseAddress(other))).toBeUndefined()
  })
})
