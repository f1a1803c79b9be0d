// SPDX-License-Identifier: Apache-2.0
/** Turns a query into its answer in place: identifier and question stay as the client wrote them. */
import type { Answer } from './answer.ts'
import { type Cache, ENTRY, ENTRY_FLAG, ttlTable } from './cache.ts'
import { Message } from './message.ts'
import type { Query } from './query.ts'
import { FLAG, getTtl, HEADER_SIZE, put16, put32, RCODE, TYPE, UDP_PAYLOAD } from './wire.ts'

const OPT_SIZE = 11
const EDE_SIZE = 6
const OPTION_EDE = 15
/** Extended DNS error "Synthesized" (RFC 8914 section 4.30). */
const EDE_SYNTHESISED = 29

/** Writes an answer without records; what has no whole question gets none back. */
export function writeRefusal(bytes: Uint8Array, query: Query, rcode: number): number {
  const length = query.questionLength === 0 ? HEADER_SIZE : query.questionLength
  const end = writeHeader(bytes, query, length, 0, rcode)
  if (query.questionLength === 0) put16(bytes, query.start + 4, 0)
  return writeOpt(bytes, query, end, rcode, false)
}

/** Writes a kept answer; `limit` is what fits the client. TTLs are less by the time it was kept. */
export function writeEntry(bytes: Uint8Array, query: Query, cache: Cache, entry: number, now: number, limit: number) {
  const { words } = cache
  const flags = words[entry + ENTRY.flags]!
  const bodyLength = words[entry + ENTRY.bodyLength]!
  const synthesised = (flags & ENTRY_FLAG.SYNTHESISED) !== 0
  if (query.questionLength + bodyLength + optSize(query, synthesised) > limit) return writeTruncated(bytes, query)
  const body = words[entry + ENTRY.body]!
  const at = query.start + query.questionLength
  copy(cache.bytes, body, bodyLength, bytes, at)
  const age = now - words[entry + ENTRY.stored]!
  const ttls = words[entry + ENTRY.ttls]!
  if (age > 0) {
    let table = ttlTable(body, bodyLength)
    for (let left = ttls; left > 0; left--, table += 2) {
      const offset = at + (cache.bytes[table]! | (cache.bytes[table + 1]! << 8))
      put32(bytes, offset, Math.max(getTtl(bytes, offset) - age, 0))
    }
  }
  const rcode = flags & ENTRY_FLAG.RCODE
  const end = writeHeader(
    bytes,
    query,
    query.questionLength + bodyLength,
    flags & ENTRY_FLAG.AUTHENTIC && (query.dnssecOk || query.flags & FLAG.AD) ? FLAG.AD : 0,
    rcode,
  )
  put16(bytes, query.start + 6, words[entry + ENTRY.answers]!)
  put16(bytes, query.start + 8, words[entry + ENTRY.authorities]!)
  const additionals = words[entry + ENTRY.additionals]!
  if (additionals > 0) put16(bytes, query.start + 10, additionals)
  return writeOpt(bytes, query, end, rcode, synthesised)
}

/** Writes an answer that is not kept, or not yet. */
export function writeAnswer(bytes: Uint8Array, query: Query, answer: Answer, limit: number): number {
  const length = query.questionLength + answer.body.length
  if (length + optSize(query, answer.synthesised) > limit) return writeTruncated(bytes, query)
  bytes.set(answer.body, query.start + query.questionLength)
  const authentic = answer.authentic && (query.dnssecOk || (query.flags & FLAG.AD) !== 0)
  const end = writeHeader(bytes, query, length, authentic ? FLAG.AD : 0, answer.rcode)
  for (let section = 0; section < 3; section++) put16(bytes, query.start + 6 + 2 * section, answer.counts[section]!)
  return writeOpt(bytes, query, end, answer.rcode, answer.synthesised)
}

/** Tells the client to ask over TCP (RFC 2181 section 9: what was cut is not to be used, so nothing is sent). */
function writeTruncated(bytes: Uint8Array, query: Query): number {
  const end = writeHeader(bytes, query, query.questionLength, FLAG.TC, RCODE.NOERROR)
  return writeOpt(bytes, query, end, RCODE.NOERROR, false)
}

function writeHeader(bytes: Uint8Array, query: Query, length: number, flags: number, rcode: number): number {
  const { start } = query
  const kept = query.flags & (FLAG.OPCODE | FLAG.RD | FLAG.CD)
  put16(bytes, start + 2, FLAG.QR | FLAG.RA | kept | flags | (rcode & FLAG.RCODE))
  put32(bytes, start + 6, 0)
  put16(bytes, start + 10, 0)
  return length
}

function optSize(query: Query, synthesised: boolean): number {
  return query.edns ? OPT_SIZE + (synthesised ? EDE_SIZE : 0) : 0
}

/** Answers EDNS with EDNS (RFC 6891 section 7); returns the message's length. */
function writeOpt(bytes: Uint8Array, query: Query, length: number, rcode: number, synthesised: boolean): number {
  if (!query.edns) return length
  const at = query.start + length
  const size = synthesised ? EDE_SIZE : 0
  bytes[at] = 0
  put16(bytes, at + 1, TYPE.OPT)
  put16(bytes, at + 3, UDP_PAYLOAD)
  bytes[at + 5] = rcode >>> 4
  bytes[at + 6] = 0
  put16(bytes, at + 7, query.dnssecOk ? 0x8000 : 0)
  put16(bytes, at + 9, size)
  if (synthesised) {
    put16(bytes, at + 11, OPTION_EDE)
    put16(bytes, at + 13, 2)
    put16(bytes, at + 15, EDE_SYNTHESISED)
  }
  const additionals = query.start + 10
  put16(bytes, additionals, ((bytes[additionals]! << 8) | bytes[additionals + 1]!) + 1)
  return length + OPT_SIZE + size
}

/** Short copies in a loop: making a view for `set` costs more than the bytes. */
function copy(from: Uint8Array, at: number, length: number, to: Uint8Array, toAt: number): void {
  if (length > 128) to.set(from.subarray(at, at + length), toAt)
  else for (let index = 0; index < length; index++) to[toAt + index] = from[at + index]!
}

/** A kept answer as the message an upstream would have sent, TTLs aged. */
export function entryMessage(cache: Cache, entry: number, name: Uint8Array, type: number, now: number) {
  const { words } = cache
  const body = words[entry + ENTRY.body]!
  const length = words[entry + ENTRY.bodyLength]!
  const flags = words[entry + ENTRY.flags]!
  const bytes = buildMessage(name, type, cache.bytes.subarray(body, body + length), {
    rcode: flags & ENTRY_FLAG.RCODE,
    authentic: (flags & ENTRY_FLAG.AUTHENTIC) !== 0,
    counts: [words[entry + ENTRY.answers]!, words[entry + ENTRY.authorities]!, words[entry + ENTRY.additionals]!],
  })
  const message = Message.read(bytes)
  const age = now - words[entry + ENTRY.stored]!
  for (const record of message?.records ?? []) {
    put32(bytes, record.ttlAt, Math.max(getTtl(bytes, record.ttlAt) - age, 0))
  }
  return message
}

/** An answer made here as the message an upstream would have sent. */
export function answerMessage(answer: Answer, name: Uint8Array, type: number): Message | undefined {
  return Message.read(buildMessage(name, type, answer.body, answer))
}

function buildMessage(
  name: Uint8Array,
  type: number,
  body: Uint8Array,
  about: Pick<Answer, 'rcode' | 'authentic' | 'counts'>,
): Uint8Array {
  const at = HEADER_SIZE + name.length
  const bytes = new Uint8Array(at + 4 + body.length)
  put16(bytes, 2, FLAG.QR | FLAG.RA | (about.authentic ? FLAG.AD : 0) | (about.rcode & FLAG.RCODE))
  put16(bytes, 4, 1)
  for (let section = 0; section < 3; section++) put16(bytes, 6 + 2 * section, about.counts[section]!)
  bytes.set(name, HEADER_SIZE)
  put16(bytes, at, type)
  put16(bytes, at + 2, 1)
  bytes.set(body, at + 4)
  return bytes
}
