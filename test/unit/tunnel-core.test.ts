// SPDX-License-Identifier: Apache-2.0
/** The core of the tunnels against the addresses of the RFCs, and against the arithmetic of src/net/embedded.ts. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Address, Prefix } from '../../src/net/address.ts'
import { delegatedPrefix, siteOf } from '../../src/net/embedded.ts'
import { core, SANITIZERS, WARNINGS } from './xlat.ts'

let scratch = ''

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'sixgate-tunnel-'))
  const source = join(import.meta.dirname, 'tunnel-core.c')
  const flags = ['-std=c11', '-D_GNU_SOURCE', ...WARNINGS, ...SANITIZERS, '-I', core]
  execFileSync('gcc', [...flags, source, '-o', join(scratch, 'core')])
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const ask = (lines: readonly string[]) =>
  execFileSync(join(scratch, 'core'), { input: `${lines.join('\n')}\n`, encoding: 'utf8' })
    .trimEnd()
    .split('\n')

const TO4 = '6to4 2002:: 16 0.0.0.0 0'
const ISATAP = 'isatap 2001:db8:5:: 64 0.0.0.0 0'

describe('the core of the tunnels', () => {
  it.each([
    ['6to4 by its addresses', `${TO4} 192.0.2.1 198.51.100.1 2002:c633:6401::1 2002:c000:201::1`, 'LOOP', 'OK'],
    ['6to4 out', `${TO4} 192.0.2.1 203.0.113.1 2002:c000:201::1 2002:c633:6401::1`, '198.51.100.1', 'SPOOFED'],
    [
      '6to4 to a private site',
      `${TO4} 192.0.2.1 10.0.0.1 2002:c000:201::1 2002:a00:1::1`,
      'OUTER_DESTINATION',
      'OUTER_SOURCE',
    ],
    [
      '6to4 to the IPv6 internet without a relay',
      `${TO4} 192.0.2.1 198.51.100.1 2002:c000:201::1 2001:db8::1`,
      'NO_REMOTE',
      'SPOOFED',
    ],
    [
      '6to4 on behalf of another site',
      `${TO4} 192.0.2.1 198.51.100.1 2002:c633:6401::1 2002:cb00:7101::1`,
      'LOOP',
      'LOOP',
    ],
    [
      'ISATAP with the u bit',
      `${ISATAP} 192.0.2.1 198.51.100.1 2001:db8:5::200:5efe:c633:6401 2001:db8:5::5efe:c000:201`,
      'LOOP',
      'OK',
    ],
    [
      'ISATAP of another prefix',
      `${ISATAP} 192.0.2.1 198.51.100.1 2001:db8:6::5efe:c633:6401 2001:db8:5::5efe:c000:201`,
      'LOOP',
      'OK',
    ],
    [
      'ISATAP to a link-local address',
      `${ISATAP} 192.0.2.1 198.51.100.1 fe80::5efe:c000:201 fe80::5efe:c633:6401`,
      '198.51.100.1',
      'SPOOFED',
    ],
    [
      '6in4 from a multicast source',
      '6in4 :: 0 0.0.0.0 0 192.0.2.1 198.51.100.1 ff02::1 2001:db8::1',
      '198.51.100.1',
      'INNER_SOURCE',
    ],
    [
      '6in4 from an IPv4-compatible source',
      '6in4 :: 0 0.0.0.0 0 192.0.2.1 198.51.100.1 ::192.0.2.9 2001:db8::1',
      '198.51.100.1',
      'INNER_SOURCE',
    ],
    [
      '6in4 for duplicate address detection',
      '6in4 :: 0 0.0.0.0 0 192.0.2.1 198.51.100.1 :: ff02::1:ff00:1',
      '198.51.100.1',
      'OK',
    ],
    [
      '6in4 from loopback',
      '6in4 :: 0 0.0.0.0 0 192.0.2.1 127.0.0.1 2001:db8::2 2001:db8::1',
      '127.0.0.1',
      'OUTER_SOURCE',
    ],
  ])('judges %s', (_, line, out, accepted) => {
    const named = (word: string) => (/^[A-Z]/.test(word) && word !== 'OK' ? `TUNNEL_${word}` : word)
    expect(ask([line])).toEqual([`out ${named(out)} in ${named(accepted)}`])
  })

  it('finds the site of an address as the configuration computes it, at every length of prefix', () => {
    const seed = 0x9e3779b97f4a7c15f39cc0605cedc834n
    const lines: string[] = []
    const expected: string[] = []
    for (let length = 16; length <= 48; length++)
      for (let common = Math.max(0, length - 32); common < 32; common += 3) {
        const ipv4 = (index: bigint) => new Address(4, 0xc0000000n | ((seed >> (BigInt(length) + index)) & 0xffffffn))
        const local = ipv4(1n)
        const ipv4Prefix = new Prefix(local, common)
        const other = new Address(4, ipv4Prefix.address.value | (ipv4(40n).value & ((1n << BigInt(32 - common)) - 1n)))
        if (other.value === local.value || other.value >> 28n === 0xen) continue
        const prefix = new Prefix(new Address(6, (0x20010db8n << 96n) | (seed & ((1n << 96n) - 1n))), length)
        const domain = { prefix, ipv4Prefix }
        const [src, dst] = [delegatedPrefix(domain, local).last, delegatedPrefix(domain, other).last]
        const remote = siteOf(domain, dst)
        lines.push(`6rd ${prefix.address} ${length} ${ipv4Prefix.address} ${common} ${local} ${other} ${src} ${dst}`)
        expected.push(`out ${remote}`)
      }
    expect(lines.length).toBeGreaterThan(200)
    expect(ask(lines).map((line) => line.replace(/ in .*/, ''))).toEqual(expected)
  })

  it('merges the marks of congestion as RFC 6040 section 4.2 has it', () => {
    const table = [
      // outer Not-ECT, ECT(1), ECT(0), CE
      [0, 0, 0, 'TUNNEL_CONGESTED'],
      [1, 1, 1, 3],
      [2, 1, 2, 3],
      [3, 3, 3, 3],
    ]
    const lines = table.flatMap((row, inner) => row.map((_, outer) => `ecn ${outer} ${inner}`))
    expect(ask(lines)).toEqual(table.flat().map(String))
  })
})
