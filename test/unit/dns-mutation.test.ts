// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { passedAnswer } from '../../src/dns64/answer.ts'
import { Message } from '../../src/dns64/message.ts'
import { parseName } from '../../src/dns64/name.ts'
import { Query } from '../../src/dns64/query.ts'
import { answerMessage } from '../../src/dns64/reply.ts'
import { combine } from '../../src/dns64/synthesis.ts'
import { AAAA, a, aaaa, buildQuery, buildReply, cname, opt, read, rrsig, soa } from './dns-fake.ts'

const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32LE())
const ROUNDS = 20_000

/** Park and Miller's generator: the same seed makes the same packets. */
function generator(seed: number): (below: number) => number {
  let state = (seed % 2147483646) + 1
  return (below) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  const changed = Buffer.from(bytes)
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(changed.length)
    const kind = random(4)
    if (kind === 0) changed[at] = random(256)
    else if (kind === 1) changed[at] = changed[at]! ^ (1 << random(8))
    else if (kind === 2) changed.writeUInt16BE(0xc000 | random(changed.length), Math.min(at, changed.length - 2))
    else return changed.subarray(0, at)
  }
  return changed
}

const name = parseName('web.example')!
const rules = {
  excludes: () => false,
  represent: (ipv4: Uint8Array) => [Uint8Array.from([0, 100, 255, 155, ...Array(8).fill(0), ...ipv4])],
  forced: false,
}
const QUERY = buildQuery('web.example', AAAA, { edns: { dnssecOk: true } })
const CHAIN = [
  cname('web.example', 'a.example'),
  cname('a.example', 'b.example'),
  rrsig('a.example', 5, 'example'),
  a('b.example', '192.0.2.1'),
]
const SAMPLES = [
  buildReply(QUERY, { answers: CHAIN, additionals: [opt({})] }),
  buildReply(QUERY, { authorities: [soa('example', 60)], additionals: [opt({})] }),
  buildReply(QUERY, { rcode: 3, authorities: [soa('example', 60)] }),
  buildReply(QUERY, { answers: [aaaa('web.example', '20010db8000000000000000000000001')] }),
]

describe(`random mutations (SEED=${SEED})`, () => {
  it('of queries are parsed without harm, and never past their end', () => {
    const random = generator(SEED)
    const query = new Query()
    for (let round = 0; round < ROUNDS; round++) {
      const packet = mutate(QUERY, random)
      const verdict = query.parse(packet, 0, packet.length)
      expect([-1, 0, 1, 4, 5, 16]).toContain(verdict)
      expect(query.questionLength).toBeLessThanOrEqual(packet.length)
    }
  })

  it('of upstream answers never make an answer that cannot be read', () => {
    const random = generator(SEED)
    const pick = () => Message.read(mutate(SAMPLES[random(SAMPLES.length)]!, random))
    let synthesised = 0
    for (let round = 0; round < ROUNDS; round++) {
      const [aaaaAnswer, aAnswer] = [pick(), pick()]
      const answer = combine(name, aaaaAnswer, aAnswer, rules, random(2) === 1)
      if (!answer.synthesised) continue
      synthesised++
      read(Buffer.from(answerMessage(answer, name, AAAA)!.bytes))
    }
    expect(synthesised).toBeGreaterThan(0)
  })

  it('of upstream answers are passed on with offsets inside them', () => {
    const random = generator(SEED)
    for (let round = 0; round < ROUNDS; round++) {
      const message = Message.read(mutate(SAMPLES[random(SAMPLES.length)]!, random))
      if (!message) continue
      const answer = passedAnswer(message, name, true)
      for (const offset of answer.ttlOffsets) {
        expect(offset).toBeGreaterThanOrEqual(0)
        expect(offset + 4).toBeLessThanOrEqual(answer.body.length)
      }
      expect(answer.counts.reduce((sum, count) => sum + count)).toBe(answer.ttlOffsets.length)
    }
  })
})
