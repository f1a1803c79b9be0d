// SPDX-License-Identifier: Apache-2.0
/** Spoilt DNS messages: questions and upstream answers are read within their bounds, and what is made of them can be read. */
import assert from 'node:assert/strict'
import { passedAnswer } from '../../src/dns64/answer.ts'
import { Message } from '../../src/dns64/message.ts'
import { parseName } from '../../src/dns64/name.ts'
import { Query } from '../../src/dns64/query.ts'
import { answerMessage } from '../../src/dns64/reply.ts'
import { combine } from '../../src/dns64/synthesis.ts'
import type { Random } from '../oracle/random.ts'
import { AAAA, a, aaaa, buildQuery, buildReply, cname, opt, read, rrsig, soa } from '../unit/dns-fake.ts'

const LONG = `${'x'.repeat(63)}.${'y'.repeat(63)}.${'z'.repeat(63)}.example`
const QUERIES = [
  buildQuery('web.example', AAAA, {}),
  buildQuery('web.example', AAAA, { edns: { dnssecOk: true } }),
  buildQuery(LONG, AAAA, { edns: {} }),
]
const QUESTION = QUERIES[1] as Buffer
const CHAIN = [cname('web.example', 'a.example'), cname('a.example', LONG), rrsig('a.example', 5, 'example')]
const ANSWERS = [
  buildReply(QUESTION, { answers: [...CHAIN, a(LONG, '192.0.2.1')], additionals: [opt({})] }),
  buildReply(QUESTION, { answers: Array.from({ length: 40 }, (_, i) => a('web.example', `192.0.2.${i}`)) }),
  buildReply(QUESTION, { authorities: [soa('example', 60)], additionals: [opt({})] }),
  buildReply(QUESTION, { rcode: 3, authorities: [soa('example', 60)] }),
  buildReply(QUESTION, { answers: [aaaa('web.example', '20010db8000000000000000000000001')] }),
]
const NAME = parseName('web.example') as Uint8Array
const PREFIX = [0, 100, 255, 155, ...Array<number>(8).fill(0)]

/** Bytes, pointers and counts changed, ends cut off, a part of another message put in. */
function spoil(random: Random, whole: Buffer): Buffer {
  let bytes = Buffer.from(whole)
  for (let times = random.below(6); times > 0 && bytes.length > 2; times--) {
    const at = random.below(bytes.length - 1)
    const kind = random.below(7)
    if (kind === 0) bytes[at] = random.below(256)
    else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    else if (kind === 2) bytes.writeUInt16BE(0xc000 | random.below(bytes.length), at)
    else if (kind === 3) bytes.writeUInt16BE(random.of([0, 1, 2, 255, 65535]), 4 + 2 * random.below(4))
    else if (kind === 4) bytes.writeUInt16BE(random.of([0, 3, 4, 5, 15, 16, 17, 65535]), at)
    else if (kind === 5) bytes = bytes.subarray(0, Math.max(at, 12))
    else {
      const other = random.of(ANSWERS)
      const from = random.below(other.length)
      bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + random.below(60)), bytes.subarray(at)])
    }
  }
  return bytes
}

const query = new Query()

/** RFC 1035 §4.1: a verdict of RFC 1035 or RFC 6891, and a question that lies in its message. */
function question(random: Random): void {
  const packet = spoil(random, random.of(QUERIES))
  const at = random.below(4)
  const padded = Buffer.concat([Buffer.alloc(at, 0xff), packet, Buffer.alloc(random.below(4), 0xff)])
  const verdict = query.parse(padded, at, packet.length)
  assert.ok([-1, 0, 1, 4, 5, 16].includes(verdict), `verdict ${verdict}`)
  assert.ok(query.questionLength <= packet.length, 'a question beyond its message')
}

function passed(random: Random): void {
  const message = Message.read(spoil(random, random.of(ANSWERS)))
  if (!message) return
  const answer = passedAnswer(message, NAME, random.once(2))
  for (const offset of answer.ttlOffsets) assert.ok(offset >= 0 && offset + 4 <= answer.body.length, 'a TTL outside')
  const records = answer.counts.reduce((sum, count) => sum + count)
  assert.equal(answer.ttlOffsets.length, records)
}

function synthesised(random: Random): void {
  const [six, four] = [0, 1].map(() => Message.read(spoil(random, random.of(ANSWERS))))
  const rules = {
    excludes: () => random.once(3),
    represent: (ipv4: Uint8Array) => [Uint8Array.from([...PREFIX, ...ipv4])],
    forced: random.once(8),
  }
  const answer = combine(NAME, six, four, rules, random.once(2))
  if (!answer.synthesised) return
  const message = answerMessage(answer, NAME, AAAA)
  assert.ok(message, 'an answer that we cannot read ourselves')
  read(Buffer.from(message.bytes))
}

export function dns(random: Random): void {
  random.of([question, passed, synthesised])(random)
}
