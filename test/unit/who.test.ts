// SPDX-License-Identifier: Apache-2.0
/** Both functions of RFC 7422 section 2, by the command line and against each other. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../src/cli/address.ts'
import { validateConfig } from '../../src/config/load.ts'
import { clientOf, portsOf } from '../../src/deterministic.ts'
import { Address, parseAddress } from '../../src/net/address.ts'

const POOL = {
  addresses: ['198.51.100.66/31', '198.51.100.64'],
  ports: '2000-5099',
  blockSize: 1000,
  deterministic: true,
  clients: ['2001:db8:a::/62', '2001:db8:b::/63'],
}
const CONFIG = {
  version: 1,
  nat64: {
    allowNonGlobal: true,
    prefixes: ['64:ff9b::/96'],
    pools: [POOL, { addresses: ['198.51.100.80'], clients: ['2001:db8:a:3::5'] }],
    static: [{ protocol: 'tcp', inside: '[2001:db8:a:2::7]:80', outside: '198.51.100.66:2500' }],
  },
}

let directory = ''
let file = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sixgate-who-'))
  file = join(directory, 'sixgate.yaml')
  writeFileSync(file, JSON.stringify(CONFIG))
})
afterAll(() => rmSync(directory, { recursive: true }))

async function who(...texts: string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line) }
  const code = await run(['who', '-c', file, ...texts], io)
  return { code, out, err }
}

describe('sixgate address who', () => {
  it('says which client has an outside port, in the order of RFC 7422 algorithm 0', async () => {
    const { code, out, err } = await who('198.51.100.64:2000', '198.51.100.66:2999', '198.51.100.64:3000')
    expect([code, err]).toEqual([0, []])
    expect(out).toEqual([
      'input               client             outside        ports      protocol',
      '198.51.100.64:2000  2001:db8:a::/64    198.51.100.64  2000-2999  all',
      '198.51.100.66:2999  2001:db8:a:1::/64  198.51.100.66  2000-2999  all',
      '198.51.100.64:3000  2001:db8:a:3::/64  198.51.100.64  3000-3999  all',
    ])
  })

  it('says which ports a client has, by its address, its prefix or a socket of it', async () => {
    for (const text of ['2001:db8:b:1::7', '2001:db8:b:1::/64', '[2001:db8:b:1::7]:443']) {
      const { code, out } = await who('--json', text)
      expect(code).toBe(0)
      expect(JSON.parse(out.join('\n'))).toEqual([
        { input: text, client: '2001:db8:b:1::/64', outside: '198.51.100.67', ports: '3000-3999' },
      ])
    }
  })

  it('names the owner of a static binding before that of the block', async () => {
    const { out } = await who('198.51.100.66:2500')
    expect(out[1]).toMatch(/ \[2001:db8:a:2::7\]:80 +198\.51\.100\.66 +2500 +tcp$/)
    expect(out[2]).toMatch(/ 2001:db8:a:1::\/64 +198\.51\.100\.66 +2000-2999 +all$/)
  })

  it('says where to look when the configuration does not know', async () => {
    for (const text of ['198.51.100.80:2000', '198.51.100.64:5000', '198.51.100.64:80', '2001:db8:c::1']) {
      const { code, out, err } = await who(text)
      expect([code, out]).toEqual([1, []])
      expect(err[0]).toContain(`${file} alone does not say whose ${text} is. Ask the log of bindings`)
    }
    expect((await who('198.51.100.64')).err[0]).toContain('198.51.100.64 has no port. Write 198.51.100.64:PORT')
    expect((await who('x')).err[0]).toContain('"x" is no address')
  })

  it('agrees with itself: function 2 undoes function 1, and no port has two clients', () => {
    const { nat64 } = validateConfig(CONFIG)
    if (!nat64) throw new Error('no nat64')
    const seen = new Set<string>()
    for (const [network, count] of [
      ['2001:db8:a::', 4n],
      ['2001:db8:b::', 2n],
    ] as const)
      for (let i = 0n; i < count; i++) {
        const address = new Address(6, parseAddress(network).value + (i << 64n) + 9n)
        const [one, more] = portsOf(nat64, address)
        expect(more).toBeUndefined()
        if (!one) throw new Error(`${address} has no ports`)
        for (const port of [one.ports.first, one.ports.first + 500, one.ports.last]) {
          expect(clientOf(nat64, one.outside, port)).toEqual([one])
          const place = `${one.outside}:${port}`
          expect(seen.has(place)).toBe(false)
          seen.add(place)
        }
      }
    // A host with a pool of its own is not a client of this one.
    expect(portsOf(nat64, parseAddress('2001:db8:a:3::5'))).toEqual([])
  })
})
