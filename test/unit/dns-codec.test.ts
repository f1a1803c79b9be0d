// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../src/dns64/limiter.ts'
import { Message } from '../../src/dns64/message.ts'
import { copyName, equalNames, formatName, isBelow, parseName, readName, skipName } from '../../src/dns64/name.ts'
import { PrefixSet } from '../../src/dns64/prefix-set.ts'
import { Query, VERDICT } from '../../src/dns64/query.ts'
import { Writer } from '../../src/dns64/writer.ts'
import { parseAddress, parsePrefix } from '../../src/net/address.ts'
import { a, buildQuery, buildReply, opt, read, soa, u16, wireName } from './dns-fake.ts'

/** An array that counts how often it is read. */
function counting(bytes: Uint8Array) {
  let reads = 0
  const proxy = new Proxy(bytes, {
    get(target, property) {
      if (typeof property === 'string' && /^\d+$/.test(property)) reads++
      const value = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { bytes: proxy, reads: () => reads }
}

const OUT = new Uint8Array(512)

describe('reading names', () => {
  it('follows pointers that lead backwards', () => {
    const bytes = Buffer.concat([wireName('example'), Buffer.from([3, 119, 119, 119, 0xc0, 0])])
    expect(formatName(copyName(bytes, 9, bytes.length)!)).toBe('www.example.')
  })

  it.each([
    ['points at itself', Buffer.from([0xc0, 0]), 0],
    ['points forwards', Buffer.from([0xc0, 2, 1, 97, 0]), 0],
    ['loops through labels', Buffer.from([1, 97, 0xc0, 0]), 0],
    ['points behind the end', Buffer.from([0xff, 0xff]), 0],
    ['ends in half a pointer', Buffer.from([1, 97, 0xc0]), 0],
    ['has no end', Buffer.from([3, 97, 97, 97]), 0],
    ['has a label of a reserved kind', Buffer.from([0x80, 0]), 0],
    [
      'is longer than 255 bytes',
      Buffer.concat([
        ...Array.from({ length: 5 }, () => Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 97)])),
        Buffer.from([0]),
      ]),
      0,
    ],
  ])('refuses a name that %s', (_, bytes, at) => {
    expect(readName(bytes, at, bytes.length, OUT)).toBe(-1)
  })

  it('reads few bytes of a chain of a thousand pointers', () => {
    const chain = Buffer.concat([
      wireName('a'),
      ...Array.from({ length: 1000 }, (_, index) => u16(0xc000 | (index === 0 ? 0 : 1 + 2 * index))),
    ])
    const { bytes, reads } = counting(chain)
    expect(readName(bytes, chain.length - 2, chain.length, OUT)).toBe(-1)
    expect(reads()).toBeLessThan(200)
  })

  it('skips a name without following its pointer', () => {
    const bytes = Buffer.from([1, 97, 0xc0, 0xff, 9])
    expect(skipName(bytes, 0, bytes.length)).toBe(4)
  })

  it('compares without regard to case, label by label', () => {
    expect(equalNames(parseName('WwW.Example')!, parseName('www.exampLE.')!)).toBe(true)
    expect(isBelow(parseName('a.b.example')!, parseName('B.EXAMPLE')!)).toBe(true)
    expect(isBelow(parseName('ab.example')!, parseName('b.example')!)).toBe(false)
    expect(isBelow(parseName('example')!, parseName('www.example')!)).toBe(false)
    // The last label of the one looks like a label and its length to a careless reader of the other.
    expect(isBelow(Uint8Array.from([9, 120, 7, 101, 120, 97, 109, 112, 108, 101, 0]), parseName('example')!)).toBe(
      false,
    )
  })

  it.each([
    ['.', '.'],
    ['example', 'example.'],
    ['a\\.b.example.', 'a\\.b.example.'],
    ['\\000\\255.example', '\\000\\255.example.'],
  ])('writes %s as %s', (text, expected) => expect(formatName(parseName(text)!)).toBe(expected))

  it.each(['', '..', 'a..b', '.a', `${'a'.repeat(64)}.example`, Array(130).fill('a').join('.')])(
    'finds no name in %j',
    (text) => {
      expect(parseName(text)).toBeUndefined()
    },
  )
})

describe('parsing queries', () => {
  const query = new Query()

  it('reads a hostile packet in about as many steps as it has bytes', () => {
    const records = Buffer.alloc(1900)
    const packets = [
      Buffer.concat([
        u16(1),
        u16(0x100),
        u16(1),
        u16(65535),
        u16(65535),
        u16(65535),
        wireName('a'),
        u16(1),
        u16(1),
        records,
      ]),
      Buffer.concat([
        u16(1),
        u16(0x100),
        u16(1),
        u16(0),
        u16(0),
        u16(65535),
        wireName('a'),
        u16(1),
        u16(1),
        ...Array.from({ length: 160 }, () => Buffer.from('c00c0001000100000000000000'.slice(0, 24), 'hex')),
      ]),
      Buffer.concat([buildQuery('a', 1, { edns: {} }).subarray(0, -2), u16(1600), Buffer.alloc(1600)]),
    ]
    for (const packet of packets) {
      const { bytes, reads } = counting(packet)
      query.parse(bytes, 0, packet.length)
      expect(reads()).toBeLessThan(3 * packet.length)
    }
  })

  it('finds the OPT record behind and before others', () => {
    for (const additionals of [
      [a('x', '192.0.2.1'), opt({ dnssecOk: true })],
      [opt({ dnssecOk: true }), a('x', '192.0.2.1')],
    ]) {
      const packet = Buffer.concat([buildQuery('web.example', 28), ...additionals])
      packet.writeUInt16BE(2, 10)
      expect([query.parse(packet, 0, packet.length), query.edns, query.dnssecOk]).toEqual([VERDICT.ANSWER, true, true])
    }
  })

  it('reads where it is told in a larger buffer', () => {
    const packet = buildQuery('web.example', 28, { edns: { size: 1000 } })
    const slot = Buffer.concat([Buffer.alloc(64, 255), packet, Buffer.alloc(100, 255)])
    expect(query.parse(slot, 64, packet.length)).toBe(VERDICT.ANSWER)
    expect([query.type, query.payload, query.key.nameLength, query.questionLength]).toEqual([28, 1000, 13, 29])
  })
})

describe('reading answers', () => {
  it('reads no more than the message holds, whatever it counts', () => {
    const packet = buildReply(buildQuery('web.example', 1), { answers: [a('web.example', '192.0.2.1')] })
    packet.writeUInt16BE(65535, 6)
    expect(Message.read(packet)).toBeUndefined()
  })

  it('is undefined for every message that is cut', () => {
    const packet = buildReply(buildQuery('web.example', 1), {
      answers: [a('web.example', '192.0.2.1')],
      authorities: [soa('example', 60)],
    })
    expect(Message.read(packet)?.records).toHaveLength(2)
    for (let length = 0; length < packet.length; length++)
      expect(Message.read(packet.subarray(0, length))).toBeUndefined()
  })
})

describe('writing answers', () => {
  it('compresses what it wrote before, byte for byte, and the question in any letters', () => {
    const question = parseName('www.example')!
    const writer = new Writer(question)
    for (const owner of ['WWW.example', 'host.Net', 'other.Net', 'other.net']) {
      writer.record(0, parseName(owner)!, 1, 60, (out) => out.raw(Uint8Array.of(192, 0, 2, 1)))
    }
    const head = Buffer.concat([buildReply(buildQuery('www.example', 1), {})])
    head.writeUInt16BE(4, 6)
    const message = Buffer.concat([head, writer.body])
    expect(read(message).answers.map(({ name }) => name)).toEqual(['www.example', 'host.Net', 'other.Net', 'other.net'])
    // Two bytes for the question, 10 for host.Net, 8 with a pointer for other.Net, 11 for other.net in full.
    expect(writer.body.length).toBe(2 + 10 + 8 + 11 + 4 * 14)
  })

  it('leaves out what would make the message longer than 65535 bytes', () => {
    const writer = new Writer(parseName('example')!)
    for (let number = 0; number < 5; number++)
      writer.record(0, parseName('example')!, 16, 60, (out) => out.raw(new Uint8Array(20_000)))
    expect([writer.counts[0], writer.ttlOffsets.length]).toEqual([3, 3])
    expect(writer.body.length).toBe(3 * 20_012)
  })
})

describe('sets of prefixes', () => {
  const has = (set: PrefixSet, text: string) => {
    const address = parseAddress(text)
    return set.has(Buffer.concat([Buffer.alloc(3), address.toBytes()]), 3, address.family)
  }

  it.each([
    ['2001:db8:1::/48', '2001:db8:1::', '2001:db8:1:ffff:ffff:ffff:ffff:ffff', '2001:db8:2::'],
    ['192.0.2.128/25', '192.0.2.128', '192.0.2.255', '192.0.2.127'],
    ['::1/128', '::1', '::1', '::2'],
    ['fe80::/10', 'fe80::', 'febf:ffff::', 'fec0::'],
  ])('hold the first and last address of %s and not its neighbour', (prefix, first, last, neighbour) => {
    const set = new PrefixSet(['10.0.0.0/8', prefix, '2001:db8:f::/48', prefix].map(parsePrefix))
    expect([has(set, first), has(set, last), has(set, neighbour)]).toEqual([true, true, false])
  })

  it('hold everything of a family, or nothing', () => {
    const all = new PrefixSet([parsePrefix('::/0'), parsePrefix('2001:db8::/32')])
    expect([has(all, '2001:db9::1'), has(all, '192.0.2.1'), has(new PrefixSet([]), '::1')]).toEqual([
      true,
      false,
      false,
    ])
  })
})

describe('the rate limiter', () => {
  const bytes = (text: string) => parseAddress(text).toBytes()

  it('counts a /56 and a /24 as one client', () => {
    const limiter = new RateLimiter()
    limiter.configure(2)
    for (const text of ['2001:db8:1:201::1', '2001:db8:1:2ff:8::9'])
      expect(limiter.exceeds(bytes(text), 0, 6, 0)).toBe(false)
    expect(limiter.exceeds(bytes('2001:db8:1:200::'), 0, 6, 0)).toBe(true)
    expect(limiter.exceeds(bytes('2001:db8:1:300::'), 0, 6, 0)).toBe(false)
    for (const text of ['192.0.2.1', '192.0.2.254']) expect(limiter.exceeds(bytes(text), 0, 4, 0)).toBe(false)
    expect(limiter.exceeds(bytes('192.0.2.9'), 0, 4, 0)).toBe(true)
    expect(limiter.exceeds(bytes('192.0.3.1'), 0, 4, 0)).toBe(false)
  })

  it('grants the rate again as time passes', () => {
    const limiter = new RateLimiter()
    limiter.configure(10)
    let granted = 0
    for (let time = 0; time < 10_000; time += 10) if (!limiter.exceeds(bytes('192.0.2.1'), 0, 4, time)) granted++
    expect(granted).toBeGreaterThanOrEqual(108)
    expect(granted).toBeLessThanOrEqual(110)
  })

  it('is unlimited at 0', () => {
    const limiter = new RateLimiter()
    limiter.configure(0)
    for (let number = 0; number < 10_000; number++) expect(limiter.exceeds(bytes('192.0.2.1'), 0, 4, 0)).toBe(false)
  })
})
