// SPDX-License-Identifier: Apache-2.0
/** Reads an upstream's answer: the records as offsets into the message, walked once with strict bounds. */

import { copyName, equalNames, skipName } from './name.ts'
import { FLAG, get16, get32, getTtl, HEADER_SIZE, RCODE, TYPE } from './wire.ts'

export const SECTION = { ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 2 } as const

export interface ResourceRecord {
  readonly section: number
  /** Offset of the owner name. */
  readonly at: number
  readonly type: number
  readonly class: number
  /** Offset of the TTL; the data's length and the data follow. */
  readonly ttlAt: number
  readonly dataAt: number
  readonly dataLength: number
}

/** A message that was read whole: every record lies inside it. */
export class Message {
  readonly bytes: Uint8Array
  readonly questionEnd: number
  readonly records: readonly ResourceRecord[]
  readonly extendedRcode: number

  private constructor(bytes: Uint8Array, questionEnd: number, records: readonly ResourceRecord[]) {
    this.bytes = bytes
    this.questionEnd = questionEnd
    this.records = records
    const opt = records.find((record) => record.section === SECTION.ADDITIONAL && record.type === TYPE.OPT)
    this.extendedRcode = opt ? bytes[opt.ttlAt]! << 4 : 0
  }

  /** Undefined for anything that is not one whole answer with at most one question. */
  static read(bytes: Uint8Array): Message | undefined {
    if (bytes.length < HEADER_SIZE) return undefined
    const questions = get16(bytes, 4)
    if (questions > 1) return undefined
    let offset = HEADER_SIZE
    if (questions === 1) {
      offset = skipName(bytes, offset, bytes.length) + 4
      if (offset < HEADER_SIZE + 5 || offset > bytes.length) return undefined
    }
    const questionEnd = offset
    const records: ResourceRecord[] = []
    for (let section = 0; section < 3; section++) {
      for (let count = get16(bytes, 6 + 2 * section); count > 0; count--) {
        const owner = skipName(bytes, offset, bytes.length)
        if (owner < 0 || owner + 10 > bytes.length) return undefined
        const dataLength = get16(bytes, owner + 8)
        const dataAt = owner + 10
        if (dataAt + dataLength > bytes.length) return undefined
        const type = get16(bytes, owner)
        records.push({
          section,
          at: offset,
          type,
          class: get16(bytes, owner + 2),
          ttlAt: owner + 4,
          dataAt,
          dataLength,
        })
        offset = dataAt + dataLength
      }
    }
    return new Message(bytes, questionEnd, records)
  }

  get id(): number {
    return get16(this.bytes, 0)
  }

  get flags(): number {
    return get16(this.bytes, 2)
  }

  get rcode(): number {
    return (this.flags & FLAG.RCODE) | this.extendedRcode
  }

  get truncated(): boolean {
    return (this.flags & FLAG.TC) !== 0
  }

  get authentic(): boolean {
    return (this.flags & FLAG.AD) !== 0
  }

  get hasQuestion(): boolean {
    return this.questionEnd > HEADER_SIZE
  }

  get questionType(): number {
    return get16(this.bytes, this.questionEnd - 4)
  }

  get questionName(): Uint8Array | undefined {
    return this.name(HEADER_SIZE)
  }

  /** Whether the question is this one; the name in any letter case (RFC 5452 section 9.1). */
  asks(name: Uint8Array, type: number): boolean {
    if (!this.hasQuestion || this.questionType !== type || get16(this.bytes, this.questionEnd - 2) !== 1) return false
    const asked = this.questionName
    return asked !== undefined && equalNames(asked, name)
  }

  name(at: number): Uint8Array | undefined {
    return copyName(this.bytes, at, this.bytes.length)
  }

  /** The offset behind the name at `at`, undefined when it runs out of the message. */
  skip(at: number): number | undefined {
    const end = skipName(this.bytes, at, this.bytes.length)
    return end < 0 ? undefined : end
  }

  ttl(record: ResourceRecord): number {
    return getTtl(this.bytes, record.ttlAt)
  }

  data(record: ResourceRecord): Uint8Array {
    return this.bytes.subarray(record.dataAt, record.dataAt + record.dataLength)
  }

  section(section: number): ResourceRecord[] {
    return this.records.filter((record) => record.section === section)
  }

  /** How long RFC 2308 section 5 lets a negative answer be kept; undefined without a SOA record. */
  negativeTtl(): number | undefined {
    const soa = this.records.find((record) => record.section === SECTION.AUTHORITY && record.type === TYPE.SOA)
    if (!soa || soa.dataLength < 22) return undefined
    const minimum = get32(this.bytes, soa.dataAt + soa.dataLength - 4)
    return Math.min(this.ttl(soa), minimum)
  }
}

export function isFailure(message: Message): boolean {
  return message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN
}
