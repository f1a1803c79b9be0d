// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { FORMATS, parsePortRange, parseRoute } from '../../src/config/formats.ts'
import { nearest } from '../../src/config/nearest.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.ts'
import { GatewayError } from '../../src/errors.ts'

describe('durations', () => {
  it.each([
    ['0s', 0, '0s'],
    ['90s', 90, '1m30s'],
    ['5m', 300, '5m'],
    ['2h4m', 7440, '2h4m'],
    ['1d', 86400, '1d'],
    ['24h', 86400, '1d'],
    ['500ms', 0.5, '500ms'],
    ['1s500ms', 1.5, '1s500ms'],
    ['1d2h3m4s5ms', 93784.005, '1d2h3m4s5ms'],
    ['120m', 7200, '2h'],
  ])('%s is %d seconds, canonically %s', (text, seconds, canonical) => {
    expect(parseDuration(text)).toBe(seconds)
    expect(formatDuration(seconds)).toBe(canonical)
    expect(parseDuration(canonical)).toBe(seconds)
  })

  it.each([
    ['90', 'has no unit'],
    ['1.5', 'has no unit'],
    ['', 'is no duration'],
    ['1.5h', 'is no duration'],
    ['-1s', 'is no duration'],
    ['4m2h', 'is no duration'],
    ['1s1s', 'is no duration'],
    ['1 s', 'is no duration'],
    ['s', 'is no duration'],
    ['1S', 'is no duration'],
    ['1w', 'is no duration'],
    ['367d', 'longer than 366 days'],
    ['9'.repeat(50), 'characters long'],
  ])('%j %s', (text, why) => {
    expect(() => parseDuration(text)).toThrow(why)
  })
})

describe('sizes', () => {
  it.each([
    ['0B', 0, '0B'],
    ['1500B', 1500, '1500B'],
    ['4KiB', 4096, '4KiB'],
    ['64MiB', 67108864, '64MiB'],
    ['1GiB', 2 ** 30, '1GiB'],
    ['1024KiB', 2 ** 20, '1MiB'],
    ['1536KiB', 1536 * 1024, '1536KiB'],
  ])('%s is %d bytes, canonically %s', (text, bytes, canonical) => {
    expect(parseSize(text)).toBe(bytes)
    expect(formatSize(bytes)).toBe(canonical)
  })

  it.each([
    ['64', 'has no unit'],
    ['64MB', 'is no size'],
    ['64M', 'is no size'],
    ['1.5GiB', 'is no size'],
    ['-1B', 'is no size'],
    ['', 'is no size'],
    ['64 MiB', 'is no size'],
    ['2048GiB', 'larger than 1024GiB'],
  ])('%j %s', (text, why) => {
    expect(() => parseSize(text)).toThrow(why)
  })
})

describe('ports and routes', () => {
  it('a range has an end that is not before its begin', () => {
    expect(parsePortRange('1024-65535')).toEqual({ first: 1024, last: 65535 })
    expect(parsePortRange('80')).toEqual({ first: 80, last: 80 })
    expect(() => parsePortRange('2000-1000')).toThrow('ends before it begins')
    for (const text of ['0-10', '1-65536', '1-99999']) expect(() => parsePortRange(text)).toThrow('out of range')
    for (const text of ['', '-', '1-', '-1', '1 - 2', '1-2-3', 'a-b', '1024–2048'])
      expect(() => parsePortRange(text)).toThrow('no range')
    expect(() => parsePortRange('01-2')).toThrow('leading zero')
  })

  it('a route has a prefix and perhaps a next hop of its family', () => {
    const { prefix, via } = parseRoute('2001:db8::/32 via fe80::1')
    expect([String(prefix), String(via)]).toEqual(['2001:db8::/32', 'fe80::1'])
    expect(parseRoute('192.0.2.0/24').via).toBeUndefined()
    expect(() => parseRoute('0.0.0.0/0 via fe80::1')).toThrow('mixes IPv4 and IPv6')
    expect(() => parseRoute('default via 192.0.2.1')).toThrow('does not tell IPv4 from IPv6')
    expect(() => parseRoute('::/0 via fe80::1%eth0')).toThrow('zone')
    for (const text of ['', ' ::/0', '::/0 via', '::/0 dev eth0', '::/0 via fe80::1 dev eth0', '::/0\nvia fe80::1'])
      expect(() => parseRoute(text)).toThrow('is no route')
    expect(() => parseRoute('192.0.2.1/24 via 192.0.2.2')).toThrow('the prefix is 192.0.2.0/24')
  })
})

describe('forms of text', () => {
  const canonical = (format: string, text: string) => FORMATS[format]?.canonical(text)

  it.each(Object.entries(FORMATS).filter(([name]) => name !== 'sha256'))(
    'the example of %s is right, and its canonical text stays',
    (_, format) => {
      const text = format.canonical(format.example)
      expect(format.canonical(text)).toBe(text)
    },
  )

  it.each([
    ['interface-name', 'eth0'],
    ['interface-name', 'br-lan.10'],
    ['interface-name', 'veth0@if2'],
    ['domain', 'xn--mller-kva.example'],
    ['domain', '_sip.example.net'],
  ])('%s takes %s', (format, text) => {
    expect(canonical(format, text)).toBe(text)
  })

  it.each([
    ['interface-name', ''],
    ['interface-name', '.'],
    ['interface-name', '..'],
    ['interface-name', 'a/b'],
    ['interface-name', 'a b'],
    ['interface-name', 'a:b'],
    ['interface-name', '-x'],
    ['interface-name', 'eth0\n'],
    ['interface-name', 'eth0;'],
    ['interface-name', 'abcdefghijklmnop'],
    ['interface-name', 'é'],
    ['interface-address', '192.0.2.0/24'],
    ['interface-address', '192.0.2.255/24'],
    ['interface-address', '2001:db8::/64'],
    ['interface-address', '192.0.2.1'],
    ['interface-address', 'ff02::1/64'],
    ['interface-address', '224.0.0.1/24'],
    ['interface-address', '::/128'],
    ['domain', ''],
    ['domain', '.'],
    ['domain', '*.example.net'],
    ['domain', 'a..b'],
    ['domain', '-a.b'],
    ['domain', 'a b'],
    ['domain', 'müller.example'],
    ['domain', `${'a'.repeat(64)}.b`],
    ['domain', `${'a.'.repeat(127)}bc`],
    ['sha256', ''],
    ['sha256', 'g'.repeat(64)],
    ['sha256', 'a'.repeat(63)],
    ['sha256', `${'a'.repeat(64)}\n`],
    ['prefix4', '2001:db8::/32'],
    ['prefix6', '192.0.2.0/24'],
    ['endpoint4', '[::1]:53'],
    ['endpoint6', '192.0.2.1:53'],
    ['prefix', 'fe80::1%eth0'],
    ['ipv6', '192.0.2.1'],
  ])('%s refuses %j with a remedy', (format, text) => {
    let error: unknown
    try {
      canonical(format, text)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(GatewayError)
    expect((error as GatewayError).faults[0]?.remedy).toMatch(/\.$/)
  })

  it('point-to-point addresses are hosts (RFC 3021, RFC 6164)', () => {
    for (const text of ['192.0.2.0/31', '192.0.2.1/31', '192.0.2.0/32', '2001:db8::/127', '2001:db8::/128'])
      expect(canonical('interface-address', text)).toBe(text)
  })
})

describe('did you mean', () => {
  it.each([
    ['pols', 'pools'],
    ['POOLS', 'pools'],
    ['prefxies', 'prefixes'],
    ['prefix', 'prefixes'],
    ['statics', 'static'],
    ['colour', undefined],
    ['', undefined],
    ['x'.repeat(1000), undefined],
  ])('%s: %s', (word, meant) => {
    expect(nearest(word, ['pools', 'prefixes', 'static', 'timeouts'])).toBe(meant)
  })
})
