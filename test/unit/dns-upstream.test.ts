// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/clock.ts'
import {
  A,
  AAAA,
  a,
  aaaa,
  buildQuery,
  buildReply,
  cname,
  FakeUpstream,
  FLAGS,
  flagsOf,
  Gateway,
  read,
  type Section,
  soa,
  TXT,
  table,
} from './dns-fake.ts'
import { closing, rcode, upstreamOf, WEB } from './dns-setup.ts'

async function gatewayOf(
  upstreams: readonly FakeUpstream[],
  section: Section = {},
): Promise<{ gateway: Gateway; clock: ManualClock }> {
  const clock = new ManualClock()
  const gateway = await Gateway.start(upstreams, section, clock)
  closing(gateway)
  return { gateway, clock }
}

describe('queries to upstreams', () => {
  it('draws a port and an identifier for each', async () => {
    const upstream = await upstreamOf(table({}))
    const { gateway } = await gatewayOf([upstream])
    for (let number = 0; number < 12; number++) await gateway.ask(`name${number}.example`, A)
    expect(new Set(upstream.asked.map(({ port }) => port)).size).toBeGreaterThan(8)
    expect(new Set(upstream.asked.map(({ id }) => id)).size).toBeGreaterThan(8)
  })

  it('replaces a port after some use', async () => {
    const upstream = await upstreamOf(table({}))
    const { gateway } = await gatewayOf([upstream])
    for (let number = 0; number < 1200; number++) await gateway.ask(`name${number}.other${number}.example`, TXT)
    expect(new Set(upstream.asked.map(({ port }) => port)).size).toBeGreaterThan(16)
  })

  it('asks one question for many clients that wait', async () => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway } = await gatewayOf([upstream])
    const waiting = Array.from({ length: 50 }, (_, id) =>
      gateway.send(buildQuery(id % 2 ? 'web.example' : 'WEB.example', A, { id })),
    )
    const [asked] = await upstream.received(1)
    while (gateway.server.stats().outstanding < 50) await gateway.ask('ipv4only.arpa', A)
    asked!.reply({ answers: [a('web.example', '192.0.2.1')] })
    const replies = await Promise.all(waiting)
    expect(replies.map((bytes) => bytes.readUInt16BE(0))).toEqual(waiting.map((_, id) => id))
    expect(replies.map((bytes) => read(bytes).questions[0]!.name)).toEqual(
      waiting.map((_, id) => (id % 2 ? 'web.example' : 'WEB.example')),
    )
    expect(upstream.asked).toHaveLength(1)
  })

  it('asks again over TCP what came truncated', async () => {
    const answers = Array.from({ length: 40 }, (_, index) => a('web.example', `192.0.2.${index}`))
    const upstream = await upstreamOf(({ transport }) => (transport === 'tcp' ? { answers } : { flags: FLAGS.TC }))
    const { gateway } = await gatewayOf([upstream])
    const reply = await gateway.ask('web.example', A, { edns: {} })
    expect(reply.answers).toHaveLength(40)
    expect(upstream.asked.map(({ transport }) => transport)).toEqual(['udp', 'tcp'])
  })

  it('asks without EDNS a server that does not know it', async () => {
    const answers = [a('web.example', '192.0.2.1')]
    const upstream = await upstreamOf(({ packet }) => (packet.readUInt16BE(10) > 0 ? { rcode: 1 } : { answers }))
    const { gateway } = await gatewayOf([upstream])
    expect((await gateway.ask('web.example', A)).answers).toHaveLength(1)
  })
})

describe('answers from upstreams', () => {
  const right = { answers: [a('web.example', '192.0.2.1')] }
  const forged = { answers: [a('web.example', '192.0.2.66')] }

  it('count only from the server that was asked', async () => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', A)
    const [asked] = await upstream.received(1)
    const attacker = createSocket('udp4')
    await new Promise((resolve) => attacker.send(buildReply(asked!.packet, forged), asked!.port, '127.0.0.1', resolve))
    asked!.reply(right)
    expect((await reply).answers.map(({ address }) => address)).toEqual(['192.0.2.1'])
    expect(gateway.server.stats().unsolicitedAnswers).toBe(1)
    attacker.close()
  })

  it.each([
    ['another identifier', { id: 0 }],
    ['another question', { question: buildQuery('other.example', A).subarray(12) }],
    ['another type', { question: buildQuery('web.example', AAAA).subarray(12) }],
  ])('count only without %s', async (_, change) => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', A)
    const [asked] = await upstream.received(1)
    asked!.reply({ ...forged, ...change, ...('id' in change ? { id: asked!.id ^ 1 } : {}) })
    asked!.reply(right)
    expect((await reply).answers.map(({ address }) => address)).toEqual(['192.0.2.1'])
  })

  it('may come late, from a server that was given up', async () => {
    const slow = await upstreamOf(() => 'silent')
    const other = await upstreamOf(() => 'silent')
    const { gateway, clock } = await gatewayOf([slow, other])
    const reply = gateway.ask('web.example', A)
    const [asked] = await slow.received(1)
    clock.advance(1000)
    await other.received(1)
    asked!.reply(right)
    expect((await reply).answers).toHaveLength(1)
  })
})

describe('servers', () => {
  it('skips a dead one within one retry, for this question and the next', async () => {
    const dead = await upstreamOf(() => 'silent')
    const alive = await upstreamOf(table(WEB))
    const { gateway, clock } = await gatewayOf([dead, alive])
    const first = gateway.ask('web.example', A)
    await dead.received(1)
    clock.advance(1000)
    expect((await first).answers).toHaveLength(1)
    // No time passes: the next question goes straight to the one that lives.
    await gateway.ask('other.example', A)
    expect(dead.asked).toHaveLength(1)
    expect(gateway.server.stats().upstreams.map(({ healthy }) => healthy)).toEqual([false, true])
  })

  it('returns to one that came back, at nobody’s cost', async () => {
    let silent = true
    const first = await upstreamOf((asked) => (silent ? 'silent' : table(WEB)(asked)))
    const second = await upstreamOf(table(WEB))
    const { gateway, clock } = await gatewayOf([first, second])
    const reply = gateway.ask('web.example', A)
    await first.received(1)
    clock.advance(1000)
    await reply
    silent = false
    clock.advance(1000)
    await gateway.ask('probe.example', A)
    await first.received(2)
    while (!gateway.server.stats().upstreams[0]!.healthy) await gateway.ask('ipv4only.arpa', A)
    const before = second.asked.length
    await gateway.ask('again.example', A)
    expect(second.asked).toHaveLength(before)
  })

  it('asks the next when one fails, and passes the failure on when all do', async () => {
    const broken = await upstreamOf(() => ({ rcode: 2 }))
    const refusing = await upstreamOf(({ name }) =>
      name === 'web.example' ? { answers: [a(name, '192.0.2.1')] } : { rcode: 5 },
    )
    const { gateway } = await gatewayOf([broken, refusing])
    expect((await gateway.ask('web.example', A)).answers).toHaveLength(1)
    expect((await gateway.ask('other.example', A)).header.rcode).toBe(5)
  })

  it('answers SERVFAIL when all are silent', async () => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway, clock } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', A)
    for (let tries = 1; tries <= 3; tries++) {
      await upstream.received(tries)
      clock.advance(1000)
    }
    expect((await reply).header.rcode).toBe(2)
  })

  it('counts queries, answers, time-outs and latency of each', async () => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway, clock } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', A)
    const [asked] = await upstream.received(1)
    clock.advance(20)
    asked!.reply(WEB['web.example 1'])
    await reply
    expect(gateway.server.stats().upstreams).toEqual([
      { endpoint: upstream.endpoint, healthy: true, queries: 1, answers: 1, timeouts: 0, latency: 20 },
    ])
  })
})

describe('a time-out of AAAA (RFC 6147 section 5.1.3)', () => {
  it('counts as SERVFAIL, with the A answer used within two seconds', async () => {
    const upstream = await upstreamOf((asked) => (asked.type === AAAA ? 'silent' : table(WEB)(asked)))
    const { gateway, clock } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', AAAA)
    await upstream.received(2)
    while (gateway.server.stats().cache.entries < 1) await gateway.ask('ipv4only.arpa', AAAA)
    clock.advance(2000)
    expect((await reply).answers.map(({ address }) => address)).toEqual(['64:ff9b::c000:221'])
  })

  it('lets an A that comes after two seconds be used at once', async () => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway, clock } = await gatewayOf([upstream], { upstreamTimeout: '5s' })
    const reply = gateway.ask('web.example', AAAA)
    const asked = (await upstream.received(2)).find(({ type }) => type === A)!
    clock.advance(2000)
    asked.reply(WEB['web.example 1'])
    expect((await reply).answers).toHaveLength(1)
  })

  it('is not waited for when A has no answer either', async () => {
    const upstream = await upstreamOf((asked) => (asked.type === AAAA ? 'silent' : { rcode: 3 }))
    const { gateway, clock } = await gatewayOf([upstream])
    const reply = gateway.ask('web.example', AAAA)
    await upstream.received(2)
    while (gateway.server.stats().upstreams[0]!.answers < 1) await gateway.ask('ipv4only.arpa', A)
    clock.advance(1700)
    clock.advance(1300)
    expect((await reply).header.rcode).toBe(2)
  })
})

describe('hostile upstreams', () => {
  it.each([
    [
      'counts more records than it has',
      (packet: Buffer) =>
        Buffer.concat([buildReply(packet, {}).subarray(0, 6), Buffer.from('ffffffffffff', 'hex'), packet.subarray(12)]),
    ],
    [
      'cuts a record',
      (packet: Buffer) => buildReply(packet, { answers: [a('web.example', '192.0.2.1').subarray(0, -1)] }),
    ],
    ['loops a name', (packet: Buffer) => buildReply(packet, { answers: [Buffer.from('c01dc01d', 'hex')] })],
  ])('that %s is not believed', async (_, forge) => {
    const upstream = await upstreamOf(() => 'silent')
    const { gateway } = await gatewayOf([upstream])
    const reply = gateway.send(buildQuery('web.example', A))
    const [asked] = await upstream.received(1)
    asked!.raw(forge(asked!.packet))
    asked!.reply({ answers: [a('web.example', '192.0.2.1')] })
    expect(read(await reply).answers).toHaveLength(1)
  })

  it('with a CNAME chain of a thousand links costs no more than a chain can be long', async () => {
    const answers = Array.from({ length: 1000 }, (_, index) => cname(`n${index}.example`, `n${index + 1}.example`))
    const upstream = await upstreamOf(({ type, transport }) =>
      type === AAAA
        ? { authorities: [soa('example', 60)] }
        : transport === 'tcp'
          ? { answers: [...answers, a('n1000.example', '192.0.2.1')] }
          : { flags: FLAGS.TC },
    )
    const { gateway } = await gatewayOf([upstream])
    const reply = await gateway.ask('n0.example', AAAA)
    expect([reply.header.rcode, reply.answers]).toEqual([0, []])
  })

  it('cannot make an answer to AAAA out of a hop’s extended RCODE', async () => {
    const upstream = await upstreamOf(() => ({ rcode: 0, additionals: [Buffer.from('0000290400010000000000', 'hex')] }))
    const { gateway } = await gatewayOf([upstream])
    expect(rcode(await gateway.send(buildQuery('web.example', A)))).toBe(2)
  })

  it('cannot set AA, TC or Z in our answers', async () => {
    const upstream = await upstreamOf(() => ({
      flags: FLAGS.AA | 0x40,
      answers: [aaaa('web.example', '20010db8000000000000000000000001')],
    }))
    const { gateway } = await gatewayOf([upstream])
    expect(flagsOf(await gateway.send(buildQuery('web.example', AAAA))) & (FLAGS.AA | 0x40)).toBe(0)
  })
})
