// SPDX-License-Identifier: Apache-2.0
/** Reads a client's query in place: offsets and numbers, no object for a query. */
import { randomBytes } from 'node:crypto'
import { LOWER, MAX_NAME, skipName } from './name.ts'
import { CLASS_IN, FLAG, get16, HEADER_SIZE, PLAIN_PAYLOAD, RCODE, TYPE, UDP_PAYLOAD } from './wire.ts'

/** What to do with a packet: nothing at all, answer with an error code, or answer the question. */
export const VERDICT = { DROP: -1, ANSWER: 0 } as const

/** FNV-1a from a start that no client knows, so that none can choose names that collide. */
const BASIS = randomBytes(4).readInt32LE()

/** Room for the key: the name, two bytes of type, one of flags, one of view. */
const KEY_SIZE = MAX_NAME + 1 + 4

export const VARIANT = { DO: 1, CD: 2 } as const

/** The query last parsed. One instance serves all queries of a listener, one after the other. */
export class Query {
  start = 0
  flags = 0
  type = 0
  class = 0
  nameLength = 0
  /** Offset behind the question, relative to the message. */
  questionLength = 0
  edns = false
  dnssecOk = false
  /** How large an answer may be over UDP. */
  payload = PLAIN_PAYLOAD
  /** Lower-cased name, type, variant and view: what the cache finds an answer by. */
  readonly key = new Uint8Array(KEY_SIZE)
  keyLength = 0
  hash = 0

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
    this.#finishKey()
    if (this.class !== CLASS_IN) return RCODE.REFUSED
    if (this.type === TYPE.AXFR || this.type === TYPE.IXFR) return RCODE.NOTIMP
    return this.type === TYPE.OPT || this.type === 0 ? RCODE.FORMERR : VERDICT.ANSWER
  }

  get checkingDisabled(): boolean {
    return (this.flags & FLAG.CD) !== 0
  }

  /** Chooses among answers that differ by client; `parse` leaves it 0. */
  setView(view: number): void {
    this.key[this.keyLength - 1] = view
    this.hash = Math.imul(this.hash ^ view, 0x01000193)
  }

  /** The name may not be compressed: there is nothing before it to point at (RFC 1035 section 4.1.4). */
  #question(bytes: Uint8Array, at: number, end: number): number {
    const key = this.key
    let hash = BASIS
    let offset = at
    for (;;) {
      if (offset >= end) return -1
      const label = bytes[offset]!
      const next = offset + label + 1
      if (label > 63 || next - at > MAX_NAME || next > end) return -1
      for (; offset < next; offset++) {
        const byte = LOWER[bytes[offset]!]!
        key[offset - at] = byte
        hash = Math.imul(hash ^ byte, 0x01000193)
      }
      if (label === 0) break
    }
    if (offset + 4 > end) return -1
    this.nameLength = offset - at
    this.type = get16(bytes, offset)
    this.class = get16(bytes, offset + 2)
    this.hash = hash
    return offset + 4
  }

  #finishKey(): void {
    const { key, nameLength } = this
    const variant = (this.dnssecOk ? VARIANT.DO : 0) | (this.flags & FLAG.CD ? VARIANT.CD : 0)
    key[nameLength] = this.type >>> 8
    key[nameLength + 1] = this.type
    key[nameLength + 2] = variant
    key[nameLength + 3] = 0
    this.keyLength = nameLength + 4
    this.hash = Math.imul(Math.imul(this.hash ^ this.type, 0x01000193) ^ variant, 0x01000193)
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

/** FNV-1a of a key that was not parsed from a packet; equals the hash of `Query` for the same key. */
export function hashKey(key: Uint8Array, nameLength: number): number {
  let hash = BASIS
  for (let index = 0; index < nameLength; index++) hash = Math.imul(hash ^ key[index]!, 0x01000193)
  hash = Math.imul(hash ^ get16(key, nameLength), 0x01000193)
  hash = Math.imul(hash ^ key[nameLength + 2]!, 0x01000193)
  const view = key[nameLength + 3]!
  return view === 0 ? hash : Math.imul(hash ^ view, 0x01000193)
}

/** A key as `Query.parse` makes it, for an uncompressed name. */
export function makeKey(name: Uint8Array, type: number, variant: number, view: number): Uint8Array {
  const key = new Uint8Array(name.length + 4)
  for (let index = 0; index < name.length; index++) key[index] = LOWER[name[index]!]!
  key[name.length] = type >>> 8
  key[name.length + 1] = type
  key[name.length + 2] = variant
  key[name.length + 3] = view
  return key
}
