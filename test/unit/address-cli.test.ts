// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { describeAll as run } from '../../src/cli/address.ts'

function call(...args: string[]) {
  const out: string[] = []
  const err: string[] = []
  const code = run(args, { out: (line) => out.push(line), err: (line) => err.push(line) })
  return { code, out, err, json: () => JSON.parse(out.join('\n')) }
}

describe('sixgate address', () => {
  it('prints input, canonical form, kind and NAT64 form', () => {
    const { code, out, err } = call('2001:0DB8:4::41', '8.8.8.8', '64:ff9b::808:808')
    expect([code, err]).toEqual([0, []])
    expect(out).toEqual([
      'input             canonical         kind                     NAT64',
      '2001:0DB8:4::41   2001:db8:4::41    documentation',
      '8.8.8.8           8.8.8.8           global unicast           64:ff9b::808:808',
      '64:ff9b::808:808  64:ff9b::808:808  NAT64 well-known prefix  8.8.8.8',
    ])
  })

  it('prints the same as JSON', () => {
    expect(call('--json', '8.8.8.8', '64:FF9B::8.8.8.8').json()).toEqual([
      {
        input: '8.8.8.8',
        canonical: '8.8.8.8',
        type: 'address',
        family: 4,
        kind: 'global unicast',
        nat64: '64:ff9b::808:808',
      },
      {
        input: '64:FF9B::8.8.8.8',
        canonical: '64:ff9b::808:808',
        type: 'address',
        family: 6,
        kind: 'NAT64 well-known prefix',
        ipv4: '8.8.8.8',
      },
    ])
  })

  it('tells that the well-known prefix must not carry an address (RFC 6052 section 3.1)', () => {
    expect(call('--json', '192.0.2.33').json()).toMatchObject([{ nat64: '64:ff9b::c000:221', nonGlobal: true }])
    expect(call('192.0.2.33').out[1]).toContain('only with allowNonGlobal')
  })

  it('takes prefixes and endpoints', () => {
    expect(
      call(
        '--json',
        '192.0.2.0/24',
        '[2001:DB8::1]:53',
        '192.0.2.1:53',
        '64:ff9b::c000:200/120',
        '64:ff9b::/64',
      ).json(),
    ).toMatchObject([
      { canonical: '192.0.2.0/24', type: 'prefix', nat64: '64:ff9b::c000:200/120' },
      { canonical: '[2001:db8::1]:53', type: 'endpoint', family: 6 },
      { canonical: '192.0.2.1:53', type: 'endpoint', nat64: '[64:ff9b::c000:201]:53' },
      { type: 'prefix', ipv4: '192.0.2.0/24' },
      { type: 'prefix', canonical: '64:ff9b::/64' },
    ])
  })

  it('shows the IPv4 host of a mapped address', () => {
    expect(call('--json', '::FFFF:c000:201').json()).toMatchObject([
      { canonical: '::ffff:192.0.2.1', kind: 'IPv4-mapped', ipv4: '192.0.2.1' },
    ])
  })

  it('exits 1 with the reason when any is no address, and prints the others', () => {
    const { code, out, err } = call('::1', '1::2::3', '00000::1')
    expect(code).toBe(1)
    expect(out[1]).toMatch(/^::1 +::1 +loopback$/)
    expect(err).toHaveLength(2)
    expect(err[0]).toContain('"1::2::3" has :: more than once')
  })

  it('puts the reason into the JSON', () => {
    const { code, err, json } = call('--json', '::1', 'x', '')
    expect([code, err]).toEqual([1, []])
    expect(json()[1]).toEqual({ input: 'x', error: '"x" is no address', remedy: 'Write an IPv4 or IPv6 address.' })
    expect(json()[2]).toMatchObject({ input: '', error: '"" is empty' })
  })

  it('exits 2 without operands and with unknown options', () => {
    expect(call().code).toBe(2)
    expect(call('--frob', '::1').code).toBe(2)
    expect(call().err.at(-1)).toBe('usage: sixgate address [--json] TEXT…')
  })

  it('lets no control character through to the terminal', () => {
    expect(call('\u001b[31m').err.join()).not.toContain('\u001b')
  })
})
