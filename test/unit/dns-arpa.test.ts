// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { A, AAAA, a, CNAME, DNSSEC, FLAGS, PTR, ptr, SOA, TXT, table } from './dns-fake.ts'
import { addresses, NODATA, setUp, WEB } from './dns-setup.ts'

describe('PTR (RFC 6147 section 5.3.1)', () => {
  const host = '1.2.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa'
  const REVERSE = { '33.2.0.192.in-addr.arpa 12': { answers: [ptr('33.2.0.192.in-addr.arpa', 'web.example', 120)] } }

  it('answers a partial name with NOERROR and no records', async () => {
    const { upstream, gateway } = await setUp(table(REVERSE))
    for (const name of [
      host.slice(2),
      'c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa',
      '0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa',
    ]) {
      const reply = await gateway.ask(name, PTR)
      expect([reply.header.rcode, reply.answers]).toEqual([0, []])
    }
    expect(upstream.asked).toEqual([])
  })

  it('asks the upstream about a name above the prefix', async () => {
    const { gateway } = await setUp(table({ '4.6.0.0.ip6.arpa 12': NODATA }))
    expect((await gateway.ask('4.6.0.0.ip6.arpa', PTR)).authorities).toHaveLength(1)
  })

  it('knows no names below an address, nor labels that are no digits', async () => {
    const { gateway } = await setUp(table(REVERSE))
    expect((await gateway.ask(`1.${host}`, PTR)).header.rcode).toBe(3)
    expect((await gateway.ask(`zz.${host.slice(4)}`, PTR)).header.rcode).toBe(3)
  })

  it('passes on that the target does not exist', async () => {
    const { gateway } = await setUp(table({}))
    const reply = await gateway.ask(host, PTR)
    expect([
      reply.header.rcode,
      reply.answers.map(({ type }) => type),
      reply.authorities.map(({ type }) => type),
    ]).toEqual([3, [CNAME], [SOA]])
  })

  it('fails when the target cannot be asked about', async () => {
    const { gateway } = await setUp(() => ({ rcode: 2 }))
    expect((await gateway.ask(host, PTR)).header.rcode).toBe(2)
  })

  it('leaves addresses outside the prefixes to the upstream', async () => {
    const other = `${'1.'.repeat(32)}ip6.arpa`
    const { gateway } = await setUp(table({ [`${other} 12`]: { answers: [ptr(other, 'six.example')] } }))
    expect((await gateway.ask(other, PTR)).answers.map(({ domain }) => domain)).toEqual(['six.example'])
  })

  it('is no synthesis for who validates: DO and CD pass', async () => {
    const { upstream, gateway } = await setUp(table({}))
    await gateway.ask(host, PTR, { ...DNSSEC, flags: FLAGS.RD | FLAGS.CD })
    expect(upstream.asked.map(({ name }) => name)).toEqual([host])
  })
})

describe('ipv4only.arpa (RFC 7050, RFC 8880)', () => {
  it('is answered locally for A and AAAA under every prefix, global or not', async () => {
    const { upstream, gateway } = await setUp(table({}), {
      synthesis: ['64:ff9b::/96', '2001:db8:64::/96'],
      allowNonGlobal: false,
    })
    const found = await gateway.ask('IPv4only.ARPA', A)
    expect(found.answers.map(({ address }) => address)).toEqual(['192.0.0.170', '192.0.0.171'])
    expect(addresses(await gateway.ask('ipv4only.arpa', AAAA)).sort()).toEqual([
      '2001:db8:64::c000:aa',
      '2001:db8:64::c000:ab',
      '64:ff9b::c000:aa',
      '64:ff9b::c000:ab',
    ])
    expect(upstream.asked).toEqual([])
  })

  it('has PTR records for its addresses, IPv4 and synthesised', async () => {
    const { gateway } = await setUp(table({}))
    for (const octet of [170, 171]) {
      const direct = await gateway.ask(`${octet}.0.0.192.in-addr.arpa`, PTR)
      expect(direct.answers.map(({ domain }) => domain)).toEqual(['ipv4only.arpa'])
    }
    const digits = '0064ff9b0000000000000000c00000aa'.split('').reverse().join('.')
    const synthesised = await gateway.ask(`${digits}.ip6.arpa`, PTR)
    expect(synthesised.answers.map(({ type, domain }) => [type, domain])).toEqual([
      [CNAME, '170.0.0.192.in-addr.arpa'],
      [PTR, 'ipv4only.arpa'],
    ])
  })

  it('has nothing below it and no other types', async () => {
    const { gateway } = await setUp(table({}))
    expect((await gateway.ask('host.ipv4only.arpa', A)).header.rcode).toBe(3)
    const other = await gateway.ask('ipv4only.arpa', TXT)
    expect([other.header.rcode, other.answers, other.authorities.map(({ type }) => type)]).toEqual([0, [], [SOA]])
  })

  it('has no AAAA for who validates', async () => {
    const { gateway } = await setUp(table({}))
    expect((await gateway.ask('ipv4only.arpa', AAAA, { ...DNSSEC, flags: FLAGS.RD | FLAGS.CD })).answers).toEqual([])
  })

  it('lets 192.0.0.170 in any answer be synthesised', async () => {
    const script = table({ ...WEB, 'web.example 1': { answers: [a('web.example', '192.0.0.170')] } })
    const { gateway } = await setUp(script, { allowNonGlobal: false })
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['64:ff9b::c000:aa'])
  })
})
