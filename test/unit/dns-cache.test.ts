// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/clock.ts'
import { emptyAnswer } from '../../src/dns64/answer.ts'
import { Cache, ENTRY } from '../../src/dns64/cache.ts'
import { Key } from '../../src/dns64/key.ts'
import { parseName } from '../../src/dns64/name.ts'
import { A, AAAA, a, cname, DNSSEC, type Reply, record, type Script, soa, TXT, table } from './dns-fake.ts'
import { setUp } from './dns-setup.ts'

async function aged(script: Script, section = {}) {
  const clock = new ManualClock()
  return { clock, ...(await setUp(script, section, clock)) }
}

const WEB = {
  'web.example 28': { authorities: [soa('example', 900)] },
  'web.example 1': { answers: [cname('web.example', 'host.example', 500), a('host.example', '192.0.2.33', 300)] },
}

describe('the answer cache', () => {
  it('lets TTLs age, in synthesised answers and in those passed on', async () => {
    const { clock, upstream, gateway } = await aged(table(WEB))
    for (const age of [0, 1, 298]) {
      clock.advance(age * 1000)
      const elapsed = [0, 1, 299][[0, 1, 298].indexOf(age)]!
      for (const type of [A, AAAA]) {
        expect((await gateway.ask('web.example', type)).answers.map(({ ttl }) => ttl)).toEqual([
          500 - elapsed,
          300 - elapsed,
        ])
      }
    }
    expect(upstream.asked).toHaveLength(2)
    clock.advance(1000)
    await gateway.ask('web.example', AAAA)
    expect(upstream.asked).toHaveLength(4)
  })

  it('uses the age of a kept A answer for what is synthesised from it', async () => {
    const { clock, gateway } = await aged(table(WEB))
    await gateway.ask('web.example', A)
    clock.advance(100_000)
    expect((await gateway.ask('web.example', AAAA)).answers.map(({ ttl }) => ttl)).toEqual([400, 200])
  })

  it('keeps no answer whose TTL is zero', async () => {
    const { upstream, gateway } = await aged(
      table({ 'web.example 1': { answers: [a('web.example', '192.0.2.1', 0)] } }),
    )
    for (let turn = 0; turn < 2; turn++) await gateway.ask('web.example', A)
    expect(upstream.asked).toHaveLength(2)
  })

  it('reads a TTL with its top bit set as zero (RFC 2181 section 8)', async () => {
    const { upstream, gateway } = await aged(
      table({ 'web.example 1': { answers: [a('web.example', '192.0.2.1', 2 ** 31)] } }),
    )
    for (let turn = 0; turn < 2; turn++) await gateway.ask('web.example', A)
    expect(upstream.asked).toHaveLength(2)
  })

  it.each([
    ['the TTL of its SOA', soa('example', 40, 1000), 40],
    ['the MINIMUM of its SOA', soa('example', 1000, 40), 40],
  ])('keeps a negative answer for %s and says so (RFC 2308)', async (_, authority, lifetime) => {
    const { clock, upstream, gateway } = await aged(table({ 'web.example 16': { authorities: [authority] } }))
    expect((await gateway.ask('web.example', TXT)).authorities[0]!.ttl).toBe(lifetime)
    clock.advance((lifetime - 1) * 1000)
    expect((await gateway.ask('web.example', TXT)).authorities[0]!.ttl).toBe(1)
    expect(upstream.asked).toHaveLength(1)
    clock.advance(1000)
    await gateway.ask('web.example', TXT)
    expect(upstream.asked).toHaveLength(2)
  })

  it('keeps no negative answer without a SOA (RFC 2308 section 5)', async () => {
    const { upstream, gateway } = await aged(() => ({ rcode: 3 }))
    for (let turn = 0; turn < 2; turn++) expect((await gateway.ask('web.example', A)).header.rcode).toBe(3)
    expect(upstream.asked).toHaveLength(2)
  })

  it('keeps a failure for one second (RFC 9520 section 3.2)', async () => {
    const { clock, upstream, gateway } = await aged(() => ({ rcode: 2 }))
    for (let turn = 0; turn < 3; turn++) await gateway.ask('web.example', A)
    expect(upstream.asked).toHaveLength(1)
    clock.advance(1000)
    await gateway.ask('web.example', A)
    expect(upstream.asked).toHaveLength(2)
  })

  it('knows that nothing exists below a name that does not exist (RFC 8020)', async () => {
    const { upstream, gateway } = await aged(table({}))
    for (const [name, type] of [
      ['gone.example', A],
      ['GONE.example', AAAA],
      ['www.gone.example', AAAA],
      ['a.b.c.gone.EXAMPLE', TXT],
    ] as const) {
      const reply = await gateway.ask(name, type)
      expect([reply.header.rcode, reply.authorities.map((each) => each.name)]).toEqual([3, ['example']])
      expect(reply.questions[0]!.name).toBe(name)
    }
    expect(upstream.asked).toHaveLength(1)
    await gateway.ask('other.example', A)
    expect(upstream.asked).toHaveLength(2)
  })

  it('does not apply a denial to names beside it, above it, or for who validates', async () => {
    const { upstream, gateway } = await aged(
      table({ 'alive.example 1': { answers: [a('alive.example', '192.0.2.1')] } }),
    )
    await gateway.ask('gone.alive.example', A)
    expect((await gateway.ask('alive.example', A)).header.rcode).toBe(0)
    expect((await gateway.ask('xgone.alive.example', A)).header.rcode).toBe(3)
    await gateway.ask('www.gone.alive.example', A, DNSSEC)
    expect(upstream.asked).toHaveLength(4)
  })

  it('does not take the end of a chain for the name itself', async () => {
    const chained: Reply = {
      rcode: 3,
      answers: [cname('web.example', 'gone.example')],
      authorities: [soa('example', 60)],
    }
    const { upstream, gateway } = await aged(
      table({ 'web.example 1': chained, 'sub.web.example 1': { answers: [a('sub.web.example', '192.0.2.1')] } }),
    )
    await gateway.ask('web.example', A)
    expect((await gateway.ask('sub.web.example', A)).answers).toHaveLength(1)
    expect(upstream.asked).toHaveLength(2)
  })

  it('forgets what was answered under other rules when the configuration changes', async () => {
    const { gateway } = await aged(table(WEB))
    const address = async () => (await gateway.ask('web.example', AAAA)).answers.at(-1)?.address
    expect(await address()).toBe('64:ff9b::c000:221')
    await gateway.update({ synthesis: ['2001:db8:64::/96'] })
    expect(await address()).toBe('2001:db8:64::c000:221')
  })

  it('stays within its bytes whatever is asked', async () => {
    const data = Buffer.concat([Buffer.from([200]), Buffer.alloc(200, 97)])
    const { gateway } = await aged(({ name }) => ({ answers: [record(name, TXT, 60, data)] }), { cacheSize: '64KiB' })
    for (let number = 0; number < 600; number++) await gateway.ask(`name${number}.example`, TXT)
    const { cache } = gateway.server.stats()
    expect(cache.bytes).toBeLessThanOrEqual(65536)
    expect(cache.evictions).toBeGreaterThan(300)
    expect(cache.entries + cache.evictions).toBe(600)
  })
})

describe('the table of the cache', () => {
  const answer = (size: number) => ({
    ...emptyAnswer(0, 60),
    body: new Uint8Array(size).fill(size & 255),
    ttlOffsets: [1, 2, 3],
  })
  const key = (number: number) => new Key().assign(parseName(`n${number}.example`)!, 1, 0)

  it('agrees with a plain map through many insertions, replacements and evictions', () => {
    const cache = new Cache(65536)
    const last = new Map<number, number>()
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return state % below
    }
    for (let step = 0; step < 20_000; step++) {
      const number = random(1500)
      const size = random(400)
      cache.insert(key(number), answer(size), step)
      last.set(number, size)
      const entry = cache.find(key(number), step)
      expect(cache.words[entry + ENTRY.bodyLength]).toBe(size)
    }
    let found = 0
    for (const [number, size] of last) {
      const entry = cache.find(key(number), 0)
      if (entry < 0) continue
      found++
      const body = cache.words[entry + ENTRY.body]!
      expect(cache.bytes.subarray(body, body + size).every((byte) => byte === (size & 255))).toBe(true)
      expect(cache.words[entry + ENTRY.bodyLength]).toBe(size)
    }
    expect(found).toBe(cache.entries)
    expect(found).toBeGreaterThan(100)
  })

  it('keeps the newest when full', () => {
    const cache = new Cache(16384)
    for (let number = 0; number < 1000; number++) cache.insert(key(number), answer(100), 0)
    expect(cache.find(key(999), 0)).toBeGreaterThanOrEqual(0)
    expect(cache.find(key(0), 0)).toBe(-1)
  })

  it('does not find what has expired', () => {
    const cache = new Cache(16384)
    cache.insert(key(1), answer(10), 100)
    expect(cache.find(key(1), 159)).toBeGreaterThanOrEqual(0)
    expect(cache.find(key(1), 160)).toBe(-1)
  })

  it('does not keep an answer that would push out all others', () => {
    const cache = new Cache(65536)
    cache.insert(key(1), answer(10), 0)
    cache.insert(key(2), answer(30_000), 0)
    expect([cache.find(key(1), 0) >= 0, cache.find(key(2), 0)]).toEqual([true, -1])
  })

  it('tells names, types and flags apart', () => {
    const cache = new Cache(16384)
    const name = parseName('web.example')!
    cache.insert(new Key().assign(name, 1, 0), answer(1), 0)
    for (const other of [
      new Key().assign(name, 28, 0),
      new Key().assign(name, 1, 1),
      new Key().assign(name, 1, 2),
      new Key().assign(name, 1, 0, 1),
      new Key().assign(parseName('web.examplf')!, 1, 0),
    ]) {
      expect(cache.find(other, 0)).toBe(-1)
    }
    expect(cache.find(new Key().assign(parseName('WEB.Example')!, 1, 0), 0)).toBeGreaterThanOrEqual(0)
  })
})
