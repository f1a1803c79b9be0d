// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import {
  A,
  AAAA,
  a,
  aaaa,
  buildQuery,
  CNAME,
  cname,
  DNAME,
  DNSSEC,
  EDNS,
  FLAGS,
  flagsOf,
  HTTPS,
  PTR,
  ptr,
  read,
  record,
  rrsig,
  SOA,
  soa,
  table,
  wireName,
} from './dns-fake.ts'
import { addresses, NODATA, setUp, WEB } from './dns-setup.ts'

describe('AAAA (RFC 6147 section 5.1)', () => {
  it('asks AAAA and A in parallel', async () => {
    const { upstream, gateway } = await setUp(() => 'silent')
    const reply = gateway.ask('web.example', AAAA)
    const asked = await upstream.received(2)
    expect(asked.map(({ type }) => type).sort((x, y) => x - y)).toEqual([A, AAAA])
    for (const each of asked) each.reply(each.type === A ? { answers: [a('web.example', '192.0.2.33')] } : NODATA)
    expect(addresses(await reply)).toEqual(['64:ff9b::c000:221'])
  })

  it('lets real answers win', async () => {
    const real = { answers: [aaaa('web.example', '20010db8000000000000000000000001')] }
    const { gateway } = await setUp(table({ ...WEB, 'web.example 28': real }))
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['2001:db8::1'])
  })

  it('gives one AAAA for each A that may be translated', async () => {
    const answers = ['192.0.2.1', '127.0.0.1', '198.51.100.7'].map((ipv4) => a('web.example', ipv4))
    const { gateway } = await setUp(table({ ...WEB, 'web.example 1': { answers } }))
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['64:ff9b::c000:201', '64:ff9b::c633:6407'])
  })

  it('keeps a CNAME and DNAME chain in order, from the A answer, without duplicates or a leftover SOA', async () => {
    const redirect = record('Old.Example', DNAME, 500, wireName('New.Example'))
    const chain = [
      redirect,
      cname('www.old.example', 'www.New.Example', 500),
      redirect,
      cname('www.New.Example', 'CDN.Host.Example', 400),
    ]
    const stranger = a('stranger.example', '192.0.2.99')
    const script = table({
      'www.old.example 28': { answers: [cname('www.old.example', 'elsewhere.example')], ...NODATA },
      'www.old.example 1': {
        answers: [...chain, stranger, a('CDN.Host.Example', '192.0.2.1', 200), a('CDN.Host.Example', '192.0.2.1', 200)],
      },
    })
    const { gateway } = await setUp(script)
    const reply = await gateway.ask('www.old.example', AAAA)
    expect(reply.answers.map(({ name, type, ttl }) => [name, type, ttl])).toEqual([
      ['Old.Example', DNAME, 500],
      ['www.old.example', CNAME, 500],
      ['www.New.Example', CNAME, 400],
      ['CDN.Host.Example', AAAA, 200],
    ])
    expect(reply.answers[2]!.domain).toBe('CDN.Host.Example')
    expect(reply.authorities).toEqual([])
  })

  it('follows a chain whose records come in any order', async () => {
    const answers = [a('c.example', '192.0.2.1'), cname('b.example', 'c.example'), cname('a.example', 'b.example')]
    const { gateway } = await setUp(table({ 'a.example 28': NODATA, 'a.example 1': { answers } }))
    expect(addresses(await gateway.ask('a.example', AAAA))).toEqual(['64:ff9b::c000:201'])
  })

  it('takes no address from a chain that leads in a circle', async () => {
    const answers = [cname('a.example', 'b.example'), cname('b.example', 'a.example'), a('c.example', '192.0.2.1')]
    const { gateway } = await setUp(table({ 'a.example 28': NODATA, 'a.example 1': { answers } }))
    expect((await gateway.ask('a.example', AAAA)).answers).toEqual([])
  })

  it('echoes the question and its letters byte for byte, warm and cold', async () => {
    const { gateway } = await setUp(table(WEB))
    for (const name of ['WeB.eXample', 'web.EXAMPLE']) {
      const query = buildQuery(name, AAAA)
      const reply = await gateway.send(query)
      expect(reply.subarray(12, query.length)).toEqual(query.subarray(12))
      expect(read(reply).answers[0]!.name).toBe(name)
    }
  })

  it('passes NXDOMAIN although there is an A', async () => {
    const { gateway } = await setUp(table({ 'web.example 1': WEB['web.example 1'] }))
    const reply = await gateway.ask('web.example', AAAA)
    expect(reply.header.rcode).toBe(3)
    expect(reply.answers).toEqual([])
    expect(reply.authorities.map(({ type }) => type)).toEqual([SOA])
  })

  it.each([1, 2, 4, 5])('counts RCODE %i for AAAA as no AAAA', async (rcode) => {
    const { gateway } = await setUp(table({ ...WEB, 'web.example 28': { rcode } }))
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['64:ff9b::c000:221'])
  })

  it.each([
    ['is empty', NODATA],
    ['fails', { rcode: 2 }],
    ['does not exist', { rcode: 3 }],
  ])('returns the AAAA result as it was when A %s', async (_, reply) => {
    const { gateway } = await setUp(table({ 'web.example 28': NODATA, 'web.example 1': reply }))
    const empty = await gateway.ask('web.example', AAAA)
    expect([empty.header.rcode, empty.answers.length, empty.authorities.map(({ type }) => type)]).toEqual([0, 0, [SOA]])
  })

  it('returns the failure of AAAA when A is empty', async () => {
    const { gateway } = await setUp(table({ 'web.example 28': { rcode: 5 }, 'web.example 1': NODATA }))
    expect((await gateway.ask('web.example', AAAA)).header.rcode).toBe(5)
  })

  it.each([
    ['the A record', 100, [soa('example', 900)], 100],
    ['the SOA of the negative answer', 1000, [soa('example', 50)], 50],
    ['600 seconds without a SOA', 1000, [], 600],
    ['the A record without a SOA', 30, [], 30],
  ])('takes its TTL from %s when that is least', async (_, ttl, authorities, expected) => {
    const { gateway } = await setUp(
      table({ 'web.example 28': { authorities }, 'web.example 1': { answers: [a('web.example', '192.0.2.1', ttl)] } }),
    )
    expect((await gateway.ask('web.example', AAAA)).answers.map((each) => each.ttl)).toEqual([expected])
  })

  it('passes records of other types unchanged, HTTPS with its hints among them', async () => {
    const hint = Buffer.from('000100000400040a0000010006001020010db8000000000000000000000001', 'hex')
    const answers = [record('web.example', HTTPS, 300, hint)]
    const { gateway } = await setUp(table({ 'web.example 65': { answers } }))
    const reply = await gateway.send(buildQuery('web.example', HTTPS))
    expect(reply.subarray(-answers[0]!.length)).toEqual(answers[0])
  })
})

describe('exclusions (RFC 6147 section 5.1.4)', () => {
  const mapped = aaaa('web.example', '00000000000000000000ffffc0000201')
  const own = aaaa('web.example', '0064ff9b0000000000000000c0000209')
  const real = aaaa('web.example', '20010db8000000000000000000000001')

  it('drops an excluded AAAA and keeps the others', async () => {
    const answers = [mapped, real, rrsig('web.example', AAAA, 'example')]
    const { gateway } = await setUp(table({ ...WEB, 'web.example 28': { answers } }))
    const reply = await gateway.ask('web.example', AAAA)
    expect(reply.answers.map(({ type, address }) => [type, address])).toEqual([[AAAA, '2001:db8::1']])
  })

  it.each([
    ['IPv4-mapped', mapped],
    ["in the gateway's own prefix", own],
  ])('synthesises when the only AAAA is %s', async (_, answer) => {
    const { gateway } = await setUp(table({ ...WEB, 'web.example 28': { answers: [answer] } }))
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['64:ff9b::c000:221'])
  })

  it('answers without addresses when the only AAAA is excluded and there is no A', async () => {
    const { gateway } = await setUp(table({ 'web.example 28': { answers: [mapped] }, 'web.example 1': NODATA }))
    const reply = await gateway.ask('web.example', AAAA)
    expect([reply.header.rcode, reply.answers]).toEqual([0, []])
  })

  it.each(['0.0.0.1', '127.0.0.1', '169.254.1.1', '224.0.0.1', '239.1.2.3', '240.0.0.1', '255.255.255.255'])(
    'never synthesises from %s',
    async (ipv4) => {
      const { gateway } = await setUp(table({ ...WEB, 'web.example 1': { answers: [a('web.example', ipv4)] } }), {
        synthesizePrivate: true,
      })
      expect((await gateway.ask('web.example', AAAA)).answers).toEqual([])
    },
  )

  it.each([
    ['10.0.0.1', '2001:db8:64::a00:1'],
    ['172.16.0.1', '2001:db8:64::ac10:1'],
    ['192.168.0.1', '2001:db8:64::c0a8:1'],
    ['100.64.0.1', '2001:db8:64::6440:1'],
  ])(
    'synthesises from %s by switch only, and under the well-known prefix with allowNonGlobal only',
    async (ipv4, ipv6) => {
      const script = table({ ...WEB, 'web.example 1': { answers: [a('web.example', ipv4)] } })
      const { gateway } = await setUp(script, { synthesis: ['2001:db8:64::/96'] })
      expect((await gateway.ask('web.example', AAAA)).answers).toEqual([])
      await gateway.update({ synthesizePrivate: true })
      expect(addresses(await gateway.ask('web.example', AAAA))).toEqual([ipv6])
      await gateway.update({ synthesizePrivate: true, synthesis: ['64:ff9b::/96'], allowNonGlobal: false })
      expect((await gateway.ask('web.example', AAAA)).answers).toEqual([])
      await gateway.update({ synthesizePrivate: true, synthesis: ['64:ff9b::/96'] })
      expect(addresses(await gateway.ask('web.example', AAAA))).toHaveLength(1)
    },
  )
})

describe('prefixes', () => {
  // Expected addresses from RFC 6052 section 2.4, table 2.
  it.each([
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100::'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::c000:221'],
  ])('synthesises under %s and resolves the name of the result', async (prefix, expected) => {
    const reverse = ptr('33.2.0.192.in-addr.arpa', 'web.example')
    const { gateway } = await setUp(table({ ...WEB, '33.2.0.192.in-addr.arpa 12': { answers: [reverse] } }), {
      synthesis: [prefix],
    })
    const bytes = (await gateway.send(buildQuery('web.example', AAAA))).subarray(-16)
    expect(bytes[8]).toBe(0)
    const [address] = addresses(await gateway.ask('web.example', AAAA))
    expect(address!.replace(/(:0)+$/, '::')).toBe(expected)
    const digits = bytes.toString('hex').split('').reverse().join('.')
    for (const name of [`${digits}.ip6.arpa`, `${digits.toUpperCase()}.Ip6.ARPA`]) {
      const found = await gateway.ask(name, PTR)
      expect(found.answers.map(({ type, domain }) => [type, domain])).toEqual([
        [CNAME, '33.2.0.192.in-addr.arpa'],
        [PTR, 'web.example'],
      ])
      expect(found.answers[0]!.name).toBe(name)
    }
  })

  it('gives an address under each of several prefixes', async () => {
    const { gateway } = await setUp(table(WEB), { synthesis: ['2001:db8:a::/96', '2001:db8:b::/96'] })
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['2001:db8:a::c000:221', '2001:db8:b::c000:221'])
  })

  it('lets a rule choose the prefix by client and by IPv4 range, also from the cache', async () => {
    const answers = [a('web.example', '192.0.2.1'), a('web.example', '198.51.100.1')]
    const rules = [
      { prefix: '2001:db8:a::/96', clients: ['::1/128'], ipv4: ['192.0.2.0/24'] },
      { prefix: '2001:db8:b::/96', clients: ['127.0.0.0/8'], ipv4: ['0.0.0.0/0'] },
    ]
    const { gateway } = await setUp(table({ ...WEB, 'web.example 1': { answers } }), { rules })
    const ask = async (host: string) => addresses(read(await gateway.send(buildQuery('web.example', AAAA), host)))
    for (let turn = 0; turn < 2; turn++) {
      expect(await ask('::1')).toEqual(['2001:db8:a::c000:201', '64:ff9b::c633:6401'])
      expect(await ask('127.0.0.1')).toEqual(['2001:db8:b::c000:201', '2001:db8:b::c633:6401'])
    }
  })

  it('leaves bypassed names and those below them alone', async () => {
    const { gateway } = await setUp(table(WEB), { bypass: ['example'] })
    expect((await gateway.ask('web.EXAMPLE', AAAA)).answers).toEqual([])
  })

  it('synthesises for forced names although they have AAAA records', async () => {
    const real = { answers: [aaaa('web.example', '20010db8000000000000000000000001')] }
    const script = table({ ...WEB, 'web.example 28': real, 'six.example 28': real, 'six.example 1': NODATA })
    const { gateway } = await setUp(script, { force: ['web.example', 'six.example'] })
    expect(addresses(await gateway.ask('web.example', AAAA))).toEqual(['64:ff9b::c000:221'])
    expect(addresses(await gateway.ask('six.example', AAAA))).toEqual(['2001:db8::1'])
  })
})

describe('DNSSEC (RFC 6147 section 5.5)', () => {
  it('does not synthesise when DO and CD are both set', async () => {
    const { upstream, gateway } = await setUp(table(WEB))
    const reply = await gateway.ask('web.example', AAAA, { ...DNSSEC, flags: FLAGS.RD | FLAGS.CD })
    expect(reply.answers).toEqual([])
    expect(upstream.asked.map(({ type, dnssecOk, flags }) => [type, dnssecOk, flags & FLAGS.CD])).toEqual([
      [AAAA, true, FLAGS.CD],
    ])
  })

  it('synthesises without RRSIG and with AD clear when DO alone is set', async () => {
    const chain = [
      cname('web.example', 'host.example'),
      rrsig('web.example', CNAME, 'example'),
      a('host.example', '192.0.2.33'),
      rrsig('host.example', A, 'example'),
    ]
    const script = table({
      ...WEB,
      'web.example 28': { ...NODATA, flags: FLAGS.AD },
      'web.example 1': { answers: chain, flags: FLAGS.AD },
    })
    const { gateway } = await setUp(script)
    for (let turn = 0; turn < 2; turn++) {
      const bytes = await gateway.send(buildQuery('web.example', AAAA, { ...DNSSEC, flags: FLAGS.RD | FLAGS.AD }))
      expect(read(bytes).answers.map(({ type }) => type)).toEqual([CNAME, AAAA])
      expect(flagsOf(bytes) & FLAGS.AD).toBe(0)
    }
  })

  it.each([
    ['set by the upstream and wanted', FLAGS.AD, FLAGS.AD, FLAGS.AD],
    ['set by the upstream and not wanted', FLAGS.AD, 0, 0],
    ['not set by the upstream', 0, FLAGS.AD, 0],
  ])('never invents AD: %s', async (_, theirs, ours, expected) => {
    const { gateway } = await setUp(
      table({ 'web.example 1': { answers: [a('web.example', '192.0.2.1')], flags: theirs } }),
    )
    for (let turn = 0; turn < 2; turn++) {
      const bytes = await gateway.send(buildQuery('web.example', A, { flags: FLAGS.RD | ours }))
      expect(flagsOf(bytes) & FLAGS.AD).toBe(expected)
    }
  })

  it('keeps answers with and without DO and CD apart', async () => {
    const { upstream, gateway } = await setUp(table(WEB))
    for (let turn = 0; turn < 2; turn++) {
      await gateway.ask('web.example', A)
      await gateway.ask('web.example', A, DNSSEC)
      await gateway.ask('web.example', A, { flags: FLAGS.RD | FLAGS.CD })
    }
    expect(upstream.asked).toHaveLength(3)
  })

  it('adds the extended error "Synthesized" to synthesised answers only', async () => {
    const { gateway } = await setUp(table({ ...WEB, 'web.example 1': { answers: [a('web.example', '192.0.2.33')] } }))
    for (let turn = 0; turn < 2; turn++) {
      expect(
        (await gateway.ask('web.example', AAAA, EDNS)).additionals[0]!.rdata.map(({ infoCode }) => infoCode),
      ).toEqual([29])
      expect((await gateway.ask('web.example', A, EDNS)).additionals[0]!.rdata).toEqual([])
    }
  })
})
