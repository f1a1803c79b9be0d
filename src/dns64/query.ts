// SPDX-License-Identifier: Apache-2.0
/** Reads a client's query in place: offsets and numbers, no object for a query. */
import { Key, VARIANT } from './key.ts'
import { skipName } from './name.ts'
import { CLASS_IN, FLAG, get16, HEADER_SIZE, PLAIN_PAYLOAD, RCODE, TYPE, UDP_PAYLOAD } from './wire.ts'

/** What to do with a packet: nothing at all, answer with an error code, or answer the question. */
export const VERDICT = { DROP: -1, ANSWER: 0 } as const

/** The query last parsed. One instance serves all queries of a listener, one after the other. */
export class Query {
  start = 0
  flags = 0
  type = 0
  class = 0
  /** Offset behind the question, relative to the message. */
  questionLength = 0
  edns = false
  dnssecOk = false
  /** How large an answer may be over UDP. */
  payload = PLAIN_PAYLOAD
  readonly key = new Key()

  /** VERDICT.DROP, VERDICT.ANSWER, or the RCODE to refuse with. */
  parse(bytes: Uint8Array, start: number, length: number): number {
    this.start = start
    this.questionLength = 0
    this.edns = false
    this.dnssecOk = false
    this.payload = PLAIN_PAYLOAD
    if (length < HEADER_SIZE) return VERDICT.DROP
    this.flags = get16(bytes, start + 2)
    // An answer to an answer could go on for ever.
    if (this.flags & FLAG.QR) return VERDICT.DROP
    if (this.flags & FLAG.OPCODE) return RCODE.NOTIMP
    if (get16(bytes, start + 4) !== 1) return RCODE.FORMERR
    const end = start + length
    const question = this.#question(bytes, start + HEADER_SIZE, end)
    if (question < 0) return RCODE.FORMERR
    this.questionLength = question - start
    const verdict = this.#extensions(bytes, question, end)
    if (verdict !== VERDICT.ANSWER) return verdict
    this.key.finish(this.type, (this.dnssecOk ? VARIANT.DO : 0) | (this.flags & FLAG.CD ? VARIANT.CD : 0))
    if (this.class !== CLASS_IN) return RCODE.REFUSED
    if (this.type === TYPE.AXFR || this.type === TYPE.IXFR) return RCODE.NOTIMP
    return this.type === TYPE.OPT || this.type === 0 ? RCODE.FORMERR : VERDICT.ANSWER
  }

  #question(bytes: Uint8Array, at: number, end: number): number {
    const offset = this.key.readName(bytes, at, end)
    if (offset < 0 || offset + 4 > end) return -1
    this.type = get16(bytes, offset)
    this.class = get16(bytes, offset + 2)
    return offset + 4
  }

  /** Walks what follows the question for the one OPT record (RFC 6891 section 6.1.1). */
  #extensions(bytes: Uint8Array, question: number, end: number): number {
    const start = this.start
    const others = get16(bytes, start + 6) + get16(bytes, start + 8)
    let records = others + get16(bytes, start + 10)
    let version = 0
    let offset = question
    for (; records > 0; records--) {
      const owner = skipName(bytes, offset, end)
      if (owner < 0 || owner + 10 > end) return RCODE.FORMERR
      const next = owner + 10 + get16(bytes, owner + 8)
      if (next > end) return RCODE.FORMERR
      if (get16(bytes, owner) === TYPE.OPT) {
        if (this.edns || bytes[offset] !== 0 || !optionsFit(bytes, owner + 10, next)) return RCODE.FORMERR
        this.edns = true
        this.payload = Math.min(Math.max(get16(bytes, owner + 2), PLAIN_PAYLOAD), UDP_PAYLOAD)
        version = bytes[owner + 5]!
        this.dnssecOk = (bytes[owner + 6]! & 0x80) !== 0
      }
      offset = next
    }
    if (offset !== end) return RCODE.FORMERR
    return version > 0 ? RCODE.BADVERS : VERDICT.ANSWER
  }
}

/** Unknown options are ignored, but they must be options (RFC 6891 section 6.1.2). */
function optionsFit(bytes: Uint8Array, at: number, end: number): boolean {
  let offset = at
  while (offset + 4 <= end) offset += 4 + get16(bytes, offset + 2)
  return offset === end
}
