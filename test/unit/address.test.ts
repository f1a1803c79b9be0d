// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/errors.ts'
import {
  Address,
  addressFromBytes,
  canonicalHost,
  parseAddress,
  parseEndpoint,
  parseInterfaceAddress,
  parsePrefix,
} from '../../src/net/address.ts'

/** The error of a call that must refuse: a GatewayError ADDRESS_INVALID. */
function refusal(action: () => unknown): GatewayError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    expect((error as GatewayError).code).toBe('ADDRESS_INVALID')
    return error as GatewayError
  }
  throw new Error('nothing was refused')
}

describe('many spellings, one value, one text', () => {
  it.each([
    ['2001:db8:4::41', '2001:db8:4::41'],
    ['2001:db8:4:0:0:0:0:41', '2001:db8:4::41'],
    ['2001:0DB8:4::41', '2001:db8:4::41'],
    ['2001:0db8:0004:0000:0000:0000:0000:0041', '2001:db8:4::41'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::192.0.2.1', '::c000:201'],
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
  ])('%s is %s', (text, canonical) => {
    expect(String(parseAddress(text))).toBe(canonical)
  })

  // RFC 5952 sections 4.2.1 to 4.2.3 and 4.3.
  it.each([
    ['the longest run of zeros is shortened', '2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['the first of two equal runs is shortened', '2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['a run is shortened whole', '2001:db8::0:1', '2001:db8::1'],
    ['a run at the start', '0:0:0:1:1:1:1:1', '::1:1:1:1:1'],
    ['a run at the end', '1:1:1:1:1:0:0:0', '1:1:1:1:1::'],
    ['leading zeros go', '2001:0db8:00aa:0a00:000a:1:1:1', '2001:db8:aa:a00:a:1:1:1'],
    ['digits are lower case', '2001:DB8::ABCD', '2001:db8::abcd'],
  ])('%s: %s', (_, text, canonical) => {
    expect(String(parseAddress(text))).toBe(canonical)
  })

  it('a value is compared, not a spelling', () => {
    expect(parseAddress('2001:DB8::1').equals(parseAddress('2001:db8:0::0:1'))).toBe(true)
    expect(parseAddress('::c000:201').equals(parseAddress('192.0.2.1'))).toBe(false)
    expect(parseAddress('2001:db8::1').value).toBe(0x20010db8000000000000000000000001n)
  })

  it('is immutable, and JSON shows its text', () => {
    const address = parseAddress('fe80::1%eth0')
    expect(Object.isFrozen(address)).toBe(true)
    expect(JSON.stringify({ address, prefix: parsePrefix('::/0'), at: parseEndpoint('[::1]:53') })).toBe(
      '{"address":"fe80::1%eth0","prefix":"::/0","at":"[::1]:53"}',
    )
  })

  it('goes to bytes in network order and back', () => {
    expect([...parseAddress('192.0.2.33').toBytes()]).toEqual([192, 0, 2, 33])
    const bytes = parseAddress('64:ff9b::192.0.2.33').toBytes()
    expect(Buffer.from(bytes).toString('hex')).toBe('0064ff9b0000000000000000c0000221')
    expect(String(addressFromBytes(bytes))).toBe('64:ff9b::c000:221')
    expect(String(addressFromBytes(Uint8Array.of(0, 0, 0, 1)))).toBe('0.0.0.1')
    expect(() => addressFromBytes(new Uint8Array(5))).toThrow('5 bytes')
  })

  it('refuses values beyond the family', () => {
    expect(() => new Address(4, 1n << 32n)).toThrow(RangeError)
    expect(() => new Address(6, -1n)).toThrow(RangeError)
  })
})

describe('what ip6addr 0.2.5 gets wrong', () => {
  it('does not shorten a single group of zeros (RFC 5952 section 4.2.2)', () => {
    expect(String(parseAddress('2001:db8:0:1:1:1:1:1'))).toBe('2001:db8:0:1:1:1:1:1')
    expect(String(parseAddress('0:1:0:1:0:1:0:1'))).toBe('0:1:0:1:0:1:0:1')
    expect(String(parseAddress('1:2:3:4::6:7:8'))).toBe('1:2:3:4:0:6:7:8')
  })

  it('reads an IPv4 tail behind any prefix', () => {
    expect(String(parseAddress('64:ff9b::192.0.2.33'))).toBe('64:ff9b::c000:221')
    expect(String(parseAddress('2001:db8:1:2:3:4:203.0.113.7'))).toBe('2001:db8:1:2:3:4:cb00:7107')
  })

  it('reads zones', () => {
    const address = parseAddress('fe80::1%eth0')
    expect(address.zone).toBe('eth0')
    expect(String(address)).toBe('fe80::1%eth0')
  })

  it('reads the 45-character form', () => {
    const text = '0000:0000:0000:0000:0000:ffff:255.255.255.255'
    expect(text).toHaveLength(45)
    expect(String(parseAddress(text))).toBe('::ffff:255.255.255.255')
  })

  it('refuses a :: that stands for nothing', () => {
    expect(refusal(() => parseAddress('1:2:3:4::5:6:7:8')).message).toContain('"1:2:3:4::5:6:7:8" has eight groups')
  })

  it('refuses leading zeros beyond four digits', () => {
    expect(refusal(() => parseAddress('00000::1')).message).toContain('"00000" of more than four digits')
  })

  it('refuses an IPv4 tail that looks octal', () => {
    expect(refusal(() => parseAddress('::ffff:192.0.02.1')).message).toContain('octet "02", which looks octal')
  })
})

describe('IPv4-mapped addresses', () => {
  it('are the IPv4 host when they name a client', () => {
    for (const text of ['::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'])
      expect(String(canonicalHost(text))).toBe('192.0.2.1')
  })

  it('stay themselves otherwise, in the mixed form of RFC 5952 section 5', () => {
    expect(String(parseAddress('::ffff:c000:201'))).toBe('::ffff:192.0.2.1')
    expect(parseAddress('::ffff:c000:201').family).toBe(6)
  })

  it('are not mistaken for IPv4-compatible or translated addresses', () => {
    expect(String(canonicalHost('::192.0.2.1'))).toBe('::c000:201')
    expect(String(canonicalHost('::ffff:0:192.0.2.1'))).toBe('::ffff:0:c000:201')
    expect(String(canonicalHost('1::ffff:192.0.2.1'))).toBe('1::ffff:c000:201')
  })
})

describe('zones (RFC 4007)', () => {
  it('are kept for link-local scope, unicast and multicast', () => {
    for (const text of ['fe80::1%eth0', 'febf::1%2', 'ff02::1%wan0.10', 'ff12::1%br-lan'])
      expect(String(parseAddress(text))).toBe(text)
  })

  it('tell addresses apart', () => {
    expect(parseAddress('fe80::1%eth0').equals(parseAddress('fe80::1%eth1'))).toBe(false)
  })

  it.each(['2001:db8::1%eth0', 'fec0::1%eth0', 'ff05::1%eth0', '::1%lo', '169.254.0.1%eth0'])(
    'are refused in %s',
    (text) => {
      expect(refusal(() => parseAddress(text)).message).toContain('is not link-local')
    },
  )

  it.each(['fe80::1%', 'fe80::1%a/b', 'fe80::1%eth0%eth1', 'fe80::1%aaaaaaaaaaaaaaaa', 'fe80::1%e;th'])(
    '%s has no usable zone',
    (text) => {
      expect(refusal(() => parseAddress(text)).message).toMatch(/zone/)
    },
  )
})

describe('a text that is no address', () => {
  it.each([
    ['', 'is empty'],
    [' ::1', 'stray space'],
    ['::1 ', 'stray space'],
    ['192.0.2. 1', 'stray space'],
    ['::1\n', 'stray space'],
    ['\u00a0::1', 'stray space'],
    ['1::2::3', ':: more than once'],
    ['::1::', ':: more than once'],
    [':::', 'three colons'],
    ['1:::2', 'three colons'],
    ['1:2:3:4:5:6:7', '7 groups instead of 8'],
    ['1:2:3:4:5:6:7:8:9', '9 groups instead of 8'],
    ['1:2:3:4:5:6:7::8:9', '9 groups and ::'],
    ['::1:2:3:4:5:6:7:8', 'stands for nothing'],
    ['1:2:3:4:5:6:7:8::', 'stands for nothing'],
    [':1:2:3:4:5:6:7', 'single colon'],
    ['1:2:3:4:5:6:7:', 'single colon'],
    ['::1:', 'single colon'],
    [':', 'single colon'],
    ['12345::', 'more than four digits'],
    ['::g', 'not hexadecimal'],
    ['::-1', 'not hexadecimal'],
    ['::0x1', 'not hexadecimal'],
    ['::１', 'not hexadecimal'],
    ['::1.2.3.4:5', 'before its end'],
    ['1.2.3.4::', 'before its end'],
    ['::1.2.3', '3 octets instead of 4'],
    ['1:2:3:4:5:6:7:1.2.3.4', '9 groups instead of 8'],
    ['1:2:3:4:5:6::1.2.3.4', 'stands for nothing'],
    ['192.0.2', '3 octets instead of 4'],
    ['192.0.2.1.1', '5 octets instead of 4'],
    ['192.0.2.', 'empty octet'],
    ['192.0.2.256', 'above 255'],
    ['192.0.2.1000', 'above 255'],
    ['192.0.2.01', 'looks octal'],
    ['00.0.2.1', 'looks octal'],
    ['192.0.2.0x1', 'no decimal number'],
    ['192.0.2.-1', 'no decimal number'],
    ['3221225985', '1 octet instead of 4'],
    ['example.net', '2 octets instead of 4'],
    ['localhost', 'is no address'],
    ['[::1]', 'not hexadecimal'],
    ['::1/64', 'not hexadecimal'],
    ['%eth0', 'has no address'],
    ['::\u0000', 'not hexadecimal'],
  ])('%j: %s', (text, why) => {
    const { message, faults } = refusal(() => parseAddress(text))
    expect(message).toContain(why)
    expect(message).toContain(JSON.stringify(text))
    expect(faults[0]?.remedy).toMatch(/\.$/)
  })

  it.each([undefined, null, 1, 1n, {}, ['::1'], Symbol('x')])('a value that is not text is refused: %s', (value) => {
    expect(refusal(() => parseAddress(value as string)).message).toContain('is not text')
  })

  it('an overlong text is refused unread, and shown short', () => {
    const { message } = refusal(() => parseAddress(':'.repeat(10_000_000)))
    expect(message).toContain('is 10000000 characters long')
    expect(message.length).toBeLessThan(250)
  })
})

describe('prefixes', () => {
  it.each([
    ['2001:DB8::/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::1/128', '::1/128'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.1/32', '192.0.2.1/32'],
    ['64:ff9b::0.0.0.0/96', '64:ff9b::/96'],
    ['::ffff:0.0.0.0/96', '::ffff:0:0/96'],
    ['::ffff:c000:200/120', '::ffff:192.0.2.0/120'],
  ])('%s is %s', (text, canonical) => {
    expect(String(parsePrefix(text))).toBe(canonical)
  })

  it('say what the prefix would be when host bits are set', () => {
    const { message, faults } = refusal(() => parsePrefix('2001:db8::1/64'))
    expect(message).toContain('the prefix is 2001:db8::/64')
    expect(faults[0]?.remedy).toBe('Write 2001:db8::/64.')
    expect(refusal(() => parsePrefix('192.0.2.1/24')).faults[0]?.remedy).toBe('Write 192.0.2.0/24.')
  })

  it.each([
    ['2001:db8::/064', 'leading zero'],
    ['192.0.2.0/00', 'leading zero'],
    ['2001:db8::/129', 'ends at 128'],
    ['192.0.2.0/33', 'ends at 32'],
    ['192.0.2.0/99999999999999999999', 'ends at 32'],
    ['2001:db8::', 'no prefix length'],
    ['2001:db8::/', 'is no number'],
    ['2001:db8::/-1', 'is no number'],
    ['2001:db8::/+64', 'is no number'],
    ['2001:db8::/6 4', 'stray space'],
    ['2001:db8::/64/64', 'is no number'],
    ['192.0.2.0/255.255.255.0', 'is no number'],
    ['fe80::%eth0/64', 'zone'],
    ['/64', 'has no address'],
    ['2001:db8::x/64', '"2001:db8::x/64" has the group "x"'],
  ])('%j: %s', (text, why) => {
    const { message } = refusal(() => parsePrefix(text))
    expect(message).toContain(why)
    expect(message).toContain(JSON.stringify(text))
  })

  it('contain addresses and longer prefixes of their family', () => {
    const prefix = parsePrefix('2001:db8::/33')
    expect(prefix.contains(parseAddress('2001:db8:7fff:ffff::1'))).toBe(true)
    expect(prefix.contains(parseAddress('2001:db8:8000::'))).toBe(false)
    expect(prefix.contains(parsePrefix('2001:db8::/33'))).toBe(true)
    expect(prefix.contains(parsePrefix('2001:db8::/32'))).toBe(false)
    expect(prefix.overlaps(parsePrefix('2001:db8::/32'))).toBe(true)
    expect(prefix.overlaps(parsePrefix('2001:db8:8000::/33'))).toBe(false)
    expect(parsePrefix('::/0').contains(parseAddress('192.0.2.1'))).toBe(false)
    expect(parsePrefix('0.0.0.0/0').contains(parseAddress('255.255.255.255'))).toBe(true)
  })

  it('know their last address', () => {
    expect(String(parsePrefix('192.0.2.0/24').last)).toBe('192.0.2.255')
    expect(String(parsePrefix('2001:db8::/127').last)).toBe('2001:db8::1')
    expect(String(parsePrefix('::/0').last)).toBe('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')
  })

  it('of an interface keep the host', () => {
    const { address, prefix } = parseInterfaceAddress('2001:DB8:1::1/64')
    expect([String(address), String(prefix)]).toEqual(['2001:db8:1::1', '2001:db8:1::/64'])
    expect(String(parseInterfaceAddress('192.0.2.2/24'))).toBe('192.0.2.2/24')
  })
})

describe('endpoints', () => {
  it.each([
    ['[2001:DB8::1]:53', '[2001:db8::1]:53'],
    ['192.0.2.1:53', '192.0.2.1:53'],
    ['[fe80::1%eth0]:53', '[fe80::1%eth0]:53'],
    ['[::ffff:192.0.2.1]:1', '[::ffff:192.0.2.1]:1'],
    ['[::]:65535', '[::]:65535'],
  ])('%s is %s', (text, canonical) => {
    expect(String(parseEndpoint(text))).toBe(canonical)
  })

  it.each([
    ['2001:db8::1:53', 'without brackets'],
    ['::1', 'without brackets'],
    ['[2001:db8::1]', 'no port behind the bracket'],
    ['[2001:db8::1]53', 'no port behind the bracket'],
    ['[2001:db8::1:53', 'no closing bracket'],
    ['[192.0.2.1]:53', 'brackets around an IPv4'],
    ['192.0.2.1', 'has no port'],
    ['192.0.2.1:', 'empty port'],
    ['192.0.2.1:0', 'out of range'],
    ['192.0.2.1:65536', 'out of range'],
    ['192.0.2.1:99999999999999999999', 'out of range'],
    ['192.0.2.1:053', 'leading zero'],
    ['192.0.2.1:-1', 'is no number'],
    ['192.0.2.1:5e1', 'is no number'],
    ['192.0.2.1:domain', 'is no number'],
    ['[]:53', 'has no address'],
    [':53', 'has no address'],
    ['192.0.2.1: 53', 'stray space'],
    ['', 'is empty'],
  ])('%j: %s', (text, why) => {
    const { message } = refusal(() => parseEndpoint(text))
    expect(message).toContain(why)
    expect(message).toContain(JSON.stringify(text))
  })
})
