// SPDX-License-Identifier: Apache-2.0
/**
 * An answer as it is kept and sent: everything behind the question, so that one copy serves every client,
 * each with its own identifier, question and letters.
 */

import { isFailure, type Message, type ResourceRecord, SECTION } from './message.ts'
import { equalNames } from './name.ts'
import { getTtl, put32, RCODE, TYPE } from './wire.ts'
import { Writer } from './writer.ts'

export interface Answer {
  readonly rcode: number
  /** The upstream vouches for the data; never set on what was made here. */
  readonly authentic: boolean
  readonly synthesised: boolean
  /** Records of the answer, authority and additional section, without OPT. */
  readonly counts: readonly [number, number, number]
  readonly body: Uint8Array
  /** Where in the body TTLs stand. */
  readonly ttlOffsets: readonly number[]
  /** Seconds it may be kept. */
  readonly keep: number
  /** No name at or below the question exists (RFC 8020); the body then needs no question to be read. */
  readonly cut: boolean
}

/** RFC 2308 section 5 holds one to three hours to be sensible for a negative answer. */
const MAX_NEGATIVE = 3 * 3600
const MAX_POSITIVE = 24 * 3600
/** RFC 9520 section 3.2 asks for at least one second, so that a failing name is not asked in a loop. */
const KEEP_FAILURE = 1

export function emptyAnswer(rcode: number, keep = 0): Answer {
  return {
    rcode,
    authentic: false,
    synthesised: false,
    counts: [0, 0, 0],
    body: new Uint8Array(0),
    ttlOffsets: [],
    keep,
    cut: false,
  }
}

export const SERVER_FAILURE = emptyAnswer(RCODE.SERVFAIL, KEEP_FAILURE)

export function writtenAnswer(writer: Writer, about: { rcode?: number; synthesised: boolean; keep?: number }): Answer {
  const { body } = writer
  const least = Math.min(MAX_POSITIVE, ...writer.ttlOffsets.map((at) => getTtl(body, at)))
  return {
    rcode: about.rcode ?? RCODE.NOERROR,
    authentic: false,
    synthesised: about.synthesised,
    counts: writer.counts,
    body,
    ttlOffsets: writer.ttlOffsets,
    keep: Math.min(least, about.keep ?? MAX_POSITIVE),
    cut: false,
  }
}

/**
 * The upstream's answer unchanged: its bytes behind the question, up to the OPT record, which speaks of the
 * hop and not of the name (RFC 6891 section 6.2.6).
 */
export function passedAnswer(message: Message, name: Uint8Array, dnssecOk: boolean): Answer {
  if (isNameError(message, name) && !dnssecOk) return nameError(message)
  const opt = message.records.findIndex((record) => record.type === TYPE.OPT)
  const kept = opt < 0 ? message.records : message.records.slice(0, opt)
  const end = opt < 0 ? message.bytes.length : message.records[opt]!.at
  const body = message.bytes.slice(message.questionEnd, Math.max(end, message.questionEnd))
  const ttlOffsets = kept.map((record) => record.ttlAt - message.questionEnd)
  const counts: [number, number, number] = [0, 0, 0]
  for (const record of kept) counts[record.section]!++
  return {
    // Extended codes above 15 speak of the hop between us and the upstream.
    rcode: message.rcode > 15 ? RCODE.SERVFAIL : message.rcode,
    authentic: message.authentic,
    synthesised: false,
    counts,
    body,
    ttlOffsets,
    keep: lifetime(message, kept, body),
    cut: false,
  }
}

/** Negative answers live as long as their SOA says, and say so (RFC 2308 section 5). */
function lifetime(message: Message, records: readonly ResourceRecord[], body: Uint8Array): number {
  if (isFailure(message)) return message.rcode === RCODE.SERVFAIL ? KEEP_FAILURE : 0
  const least = Math.min(MAX_POSITIVE, ...records.map((record) => message.ttl(record)))
  if (isPositive(message)) return least
  const negative = message.negativeTtl()
  if (negative === undefined) return 0
  for (const record of records) {
    if (record.section !== SECTION.AUTHORITY || record.type !== TYPE.SOA) continue
    put32(body, record.ttlAt - message.questionEnd, Math.min(negative, message.ttl(record)))
  }
  return Math.min(least, negative, MAX_NEGATIVE)
}

function isPositive(message: Message): boolean {
  if (message.rcode !== RCODE.NOERROR) return false
  const wanted = message.hasQuestion ? message.questionType : 0
  return message.records.some(
    ({ section, type }) => section === SECTION.ANSWER && (type === wanted || wanted === TYPE.ANY),
  )
}

/** NXDOMAIN of the name itself, not of the end of a chain. */
function isNameError(message: Message, name: Uint8Array): boolean {
  if (message.rcode !== RCODE.NXDOMAIN || !message.hasQuestion) return false
  const asked = message.questionName
  return asked !== undefined && equalNames(asked, name) && message.section(SECTION.ANSWER).length === 0
}

/** Only the SOA, with names spelled out: it answers for names below the question too, of other lengths. */
function nameError(message: Message): Answer {
  const keep = Math.min(message.negativeTtl() ?? 0, MAX_NEGATIVE)
  const soa = message.records.find(({ section, type }) => section === SECTION.AUTHORITY && type === TYPE.SOA)
  const writer = new Writer(Uint8Array.of(0))
  if (soa) writeSoa(writer, message, soa, message.negativeTtl() ?? 0)
  return {
    ...writtenAnswer(writer, { rcode: RCODE.NXDOMAIN, synthesised: false }),
    authentic: message.authentic,
    keep,
    cut: soa !== undefined,
  }
}

export function writeSoa(writer: Writer, message: Message, record: ResourceRecord, ttl: number): void {
  const owner = message.name(record.at)
  const names = soaNames(message, record)
  if (!owner || !names) return
  writer.record(SECTION.AUTHORITY, owner, TYPE.SOA, ttl, (out) => {
    out.name(names.primary, false)
    out.name(names.mailbox, false)
    out.raw(message.bytes.subarray(names.end, names.end + 20))
  })
}

function soaNames(message: Message, record: ResourceRecord) {
  const primary = message.name(record.dataAt)
  const second = primary && message.skip(record.dataAt)
  const mailbox = second && message.name(second)
  const end = second && message.skip(second)
  if (!primary || !mailbox || !end || end + 20 !== record.dataAt + record.dataLength) return undefined
  return { primary, mailbox, end }
}
