// SPDX-License-Identifier: Apache-2.0
/** The policy as an operator writes it, and as the translator and the operator read it. */
import { describe, expect, it } from 'vitest'
import { readConfig, renderConfig, validateConfig } from '../../src/config/load.ts'
import { formatBitRate, parseBitRate } from '../../src/config/units.ts'
import type { GatewayError } from '../../src/errors.ts'
import { policyNodes, policyStatus } from '../../src/policy.ts'

const load = (policy: readonly object[]) => validateConfig({ version: 1, policy })

/** `PATH: MESSAGE | REMEDY` of each fault. */
function faults(...policy: object[]): string[] {
  try {
    load(policy)
    return []
  } catch (error) {
    return (error as GatewayError).faults.map(({ path, message, remedy }) => `${path}: ${message} | ${remedy}`)
  }
}

describe('a node of the policy', () => {
  it.each([
    [{ clients: ['2001:db8::/32'] }, '/policy/0: says what it matches, but not what to do | Add one of verdict, rate'],
    [{ verdict: 'deny', dscp: 3 }, '/policy/0: has verdict and dscp | Write a node for each'],
    [{ verdict: 'drop' }, '/policy/0/verdict: is "drop" | Write one of allow, deny.'],
    [{ rate: {} }, '/policy/0/rate: does not say how fast | Add bandwidth: 10Mbit/s'],
    [{ rate: { bandwidth: '1Mbit/s', packetsPerSecond: 5 } }, '/policy/0/rate: has bandwidth and packetsPerSecond'],
    [{ rate: { bandwidth: '10Mbit' } }, '/policy/0/rate/bandwidth: "10Mbit" is no rate | Write a whole number with'],
    [{ rate: { bandwidth: 10 } }, '/policy/0/rate/bandwidth: must be text'],
    [{ rate: { bandwidth: '100bit/s' } }, '/policy/0/rate/bandwidth: "100bit/s" is out of range | Write from 1kbit/s'],
    [{ rate: { packetsPerSecond: 0 } }, '/policy/0/rate/packetsPerSecond: is 0, out of range'],
    [{ rate: { packetsPerSecond: 9, burst: '1ms' } }, '/policy/0/rate/burst: is 1ms, less than 10ms'],
    [{ quota: {} }, '/policy/0/quota/bytes: is missing | Add bytes: 64MiB'],
    [{ quota: { bytes: '1GiB', period: '1s' } }, '/policy/0/quota/period: is 1s, less than 1m'],
    [{ verdict: 'deny', ports: '25' }, '/policy/0/ports: is set for every protocol | Add protocol: tcp'],
    [{ verdict: 'deny', protocol: 'icmp', ports: '25' }, '/policy/0/ports: is set for icmp | Add protocol: tcp'],
    [{ verdict: 'deny', clients: ['192.0.2.1'] }, '/policy/0/clients/0: "192.0.2.1" is not IPv6 | Write IPv6 here.'],
    [{ dscp: 64 }, '/policy/0/dscp: is 64, out of range | Write a whole number from 0 to 63.'],
    [{ dscp: 1, name: '' }, '/policy/0/name: is empty'],
  ])('is refused as %j', (node, words) => {
    expect(faults(node)).toEqual([expect.stringContaining(words)])
  })

  it('has a name of its own', () => {
    expect(faults({ name: 'a', dscp: 1 }, { name: 'b', dscp: 2 }, { dscp: 3 }, { dscp: 3 })).toEqual([])
    expect(faults({ name: 'a', dscp: 1 }, { name: 'b', dscp: 2 }, { name: 'a', dscp: 3 })).toEqual([
      '/policy/2/name: is the name of /policy/0 too | Choose a name for each node.',
    ])
  })

  it('is one of at most 64', () => {
    expect(faults(...Array.from({ length: 65 }, () => ({ dscp: 1 })))).toEqual([
      '/policy: has 65 entries | Write at most 64.',
    ])
  })

  it('is told to the translator in plain numbers', () => {
    const config = load([
      { clients: ['2001:DB8::/32'], to: ['192.0.2.1', '::/0'], protocol: 'tcp', ports: '25', verdict: 'deny' },
      { rate: { bandwidth: '8Mbit/s' } },
      { rate: { packetsPerSecond: 5, burst: '2s', clientPrefixLength: 128 } },
      { quota: { bytes: '1GiB' } },
      { dscp: 46 },
    ])
    expect(policyNodes(config).map(({ key, ...node }) => node)).toEqual([
      {
        clients: ['2001:db8::/32'],
        to: ['192.0.2.1/32', '::/0'],
        action: 'deny',
        protocol: 'tcp',
        firstPort: 25,
        lastPort: 25,
      },
      { clients: [], to: [], action: 'limit', limit: { bitsPerSecond: 8e6, burst: 0.2, clientPrefixLength: 64 } },
      { clients: [], to: [], action: 'limit', limit: { packetsPerSecond: 5, burst: 2, clientPrefixLength: 128 } },
      { clients: [], to: [], action: 'limit', limit: { bytes: 2 ** 30, period: 86_400, clientPrefixLength: 64 } },
      { clients: [], to: [], action: 'mark', dscp: 46 },
    ])
  })

  it('is known by its name, or by its content and its place among those alike', () => {
    const keys = (...policy: object[]) => policyNodes(load(policy)).map(({ key }) => key)
    const [named, one, other] = keys({ name: 'a', dscp: 1 }, { dscp: 2 }, { dscp: 2 })
    expect(keys({ dscp: 2 }, { name: 'a', dscp: 9 }, { dscp: 2 })).toEqual([one, named, other])
    expect(new Set([named, one, other, ...keys({ dscp: 3 })]).size).toBe(4)
  })

  it('is shown by what it matches and does', () => {
    const config = load([
      { name: 'a', clients: ['2001:db8::/32'], to: ['192.0.2.1'], protocol: 'udp', ports: '53', verdict: 'allow' },
      { quota: { bytes: '1GiB' } },
    ])
    expect(policyStatus(config, undefined)).toMatchObject([
      { name: 'a', match: 'clients 2001:db8::/32; to 192.0.2.1/32; udp 53-53', action: 'allow', packets: 0 },
      { name: '#2', match: 'everything', action: 'quota 1GiB in 1d for a /64' },
    ])
  })

  it('is warned of where it is never asked, or about nothing', () => {
    const siit = { prefix: '2001:db8:100::/40' }
    const warnings = (config: object) =>
      readConfig(renderConfig(validateConfig({ version: 1, ...config }))).warnings.map(
        ({ path, message }) => `${path}: ${message}`,
      )
    const policy = [{ dscp: 1 }, { verdict: 'deny' }, { dscp: 2 }]
    expect(warnings({ siit, policy })).toEqual(['/policy/2: is never asked: /policy/1 decides about everything'])
    expect(warnings({ siit, policy: policy.slice(0, 2) })).toEqual([])
    expect(warnings({ siit, policy: [{ verdict: 'deny', protocol: 'tcp' }, { dscp: 2 }] })).toEqual([])
    expect(warnings({ policy: [{ dscp: 1 }] })).toEqual([expect.stringContaining('neither nat64 nor siit')])
  })
})

describe('a rate', () => {
  it.each([
    ['1000bit/s', '1kbit/s', 1000],
    ['1500kbit/s', '1500kbit/s', 1.5e6],
    ['1000Mbit/s', '1Gbit/s', 1e9],
    ['100Gbit/s', '100Gbit/s', 1e11],
  ])('of %s is written %s', (text, canonical, bits) => {
    expect(parseBitRate(text)).toBe(bits)
    expect(formatBitRate(bits)).toBe(canonical)
  })

  it.each(['10', '10Mbps', '10 Mbit/s', '-1Mbit/s', '1.5Mbit/s', '101Gbit/s', '999bit/s', ''])('is not %j', (text) => {
    expect(() => parseBitRate(text)).toThrow()
  })
})
