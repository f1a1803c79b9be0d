// SPDX-License-Identifier: Apache-2.0
/** Events as IPFIX messages (RFC 7011) with the templates of RFC 8158 section 4.6. */
import { AT, EVENT, QUOTA, RECORD_SIZE } from './record.ts'

/** Information elements by their IANA number: sizes, and where a record has them. */
interface Element {
  readonly id: number
  readonly size: number
  readonly at: number
}

const element = (id: number, size: number, at: number): Element => ({ id, size, at })

const observationTimeMilliseconds = element(323, 8, AT.time)
const natEvent = element(230, 1, AT.event)
const protocolIdentifier = element(4, 1, AT.protocol)
const sourceIPv6Address = element(27, 16, AT.client)
const sourceIPv6PrefixLength = element(29, 1, AT.clientLength)
const sourceTransportPort = element(7, 2, AT.clientPort)
const postNATSourceIPv4Address = element(225, 4, AT.pool)
const postNAPTSourceTransportPort = element(227, 2, AT.poolPort)
const portRangeStart = element(361, 2, AT.poolPort)
const portRangeEnd = element(362, 2, AT.lastPort)
const postNATDestinationIPv4Address = element(226, 4, AT.remote)
const postNAPTDestinationTransportPort = element(228, 2, AT.remotePort)
const natQuotaExceededEvent = element(466, 4, AT.quota)
const natPoolId = element(283, 4, AT.value)
const maxSessionEntries = element(471, 4, AT.value)
const maxEntriesPerUser = element(473, 4, AT.value)

interface Template {
  readonly id: number
  readonly fields: readonly Element[]
  readonly size: number
  /** Neighbours in the record that are neighbours in the template are copied at once. */
  readonly pieces: readonly { readonly from: number; readonly until: number; readonly to: number }[]
}

function template(id: number, ...rest: readonly Element[]): Template {
  const fields = [observationTimeMilliseconds, natEvent, ...rest]
  const pieces: { from: number; until: number; to: number }[] = []
  let to = 0
  for (const { at, size } of fields) {
    const last = pieces.at(-1)
    if (last?.until === at) last.until += size
    else pieces.push({ from: at, until: at + size, to })
    to += size
  }
  return { id, fields, size: to, pieces }
}

const inside = [protocolIdentifier, sourceIPv6Address, sourceTransportPort] as const
const outside = [postNATSourceIPv4Address, postNAPTSourceTransportPort] as const

const BINDING = template(256, ...inside, ...outside)
const SESSION = template(257, ...inside, ...outside, postNATDestinationIPv4Address, postNAPTDestinationTransportPort)
const BLOCK = template(
  258,
  sourceIPv6Address,
  sourceIPv6PrefixLength,
  postNATSourceIPv4Address,
  portRangeStart,
  portRangeEnd,
)
const ADDRESSES = template(259, natPoolId)
const PORTS = template(260, protocolIdentifier, postNATSourceIPv4Address)
const SESSION_QUOTA = template(261, natQuotaExceededEvent, maxSessionEntries)
const CLIENT_QUOTA = template(262, natQuotaExceededEvent, maxEntriesPerUser, sourceIPv6Address)

export const TEMPLATES = [BINDING, SESSION, BLOCK, ADDRESSES, PORTS, SESSION_QUOTA, CLIENT_QUOTA]

const OF_EVENT: Readonly<Record<number, Template>> = {
  [EVENT.bindingCreated]: BINDING,
  [EVENT.bindingDeleted]: BINDING,
  [EVENT.sessionCreated]: SESSION,
  [EVENT.sessionDeleted]: SESSION,
  [EVENT.blockAllocated]: BLOCK,
  [EVENT.blockReleased]: BLOCK,
  [EVENT.addressesExhausted]: ADDRESSES,
  [EVENT.portsExhausted]: PORTS,
}

function templateOf(records: Buffer, at: number): Template | undefined {
  const event = records[at + AT.event] ?? 0
  if (event !== EVENT.quotaExceeded) return OF_EVENT[event]
  return records.readUInt32BE(at + AT.quota) === QUOTA.client ? CLIENT_QUOTA : SESSION_QUOTA
}

/** The Exporting Process Reliability Statistics (RFC 7011 section 4.3): scope, lost records, first and last loss. */
const RELIABILITY = 263
const RELIABILITY_FIELDS = [
  [144, 4],
  [166, 8],
  [323, 8],
  [323, 8],
] as const

const VERSION = 10
const HEADER = 16
const SET_HEADER = 4
const TEMPLATE_SET = 2
const OPTIONS_TEMPLATE_SET = 3

export interface Message {
  readonly bytes: Buffer
  /** Events in it. */
  readonly events: number
}

export interface Losses {
  readonly records: number
  /** Milliseconds since the epoch. */
  readonly first: number
  readonly last: number
}

/** One transport session: it begins with its templates, and its sequence numbers are its own. */
export class IpfixSession {
  readonly #domain: number
  #sequence = 0

  constructor(domain: number) {
    this.#domain = domain
  }

  /** All templates; their records do not count in the sequence. */
  templates(now: number): Message {
    const records = TEMPLATES.map(({ id, fields }) =>
      words(id, fields.length, ...fields.flatMap(({ id, size }) => [id, size])),
    )
    const options = words(RELIABILITY, RELIABILITY_FIELDS.length, 1, ...RELIABILITY_FIELDS.flat())
    const sets = [set(TEMPLATE_SET, Buffer.concat(records)), set(OPTIONS_TEMPLATE_SET, options)]
    return { bytes: this.#message(Buffer.concat(sets), 0, now), events: 0 }
  }

  reliability({ records, first, last }: Losses, now: number): Message {
    const body = Buffer.alloc(28)
    body.writeUInt32BE(process.pid, 0)
    for (const [index, value] of [records, first, last].entries()) body.writeBigUInt64BE(BigInt(value), 4 + 8 * index)
    return { bytes: this.#message(set(RELIABILITY, body), 1, now), events: 0 }
  }

  /** The records in messages of at most `limit` bytes. */
  messages(records: Buffer, count: number, limit: number, now: number): Message[] {
    const out: Message[] = []
    const body = Buffer.allocUnsafe(limit - HEADER)
    let end = 0
    let events = 0
    let start = 0
    let current: Template | undefined
    const closeSet = () => {
      if (current) body.writeUInt16BE(end - start, start + 2)
      current = undefined
    }
    const closeMessage = () => {
      closeSet()
      if (events > 0) out.push({ bytes: this.#message(body.subarray(0, end), events, now), events })
      end = events = 0
    }
    for (let at = 0; at < count * RECORD_SIZE; at += RECORD_SIZE) {
      const wanted = templateOf(records, at)
      if (!wanted) continue
      const room = wanted.size + (wanted === current ? 0 : SET_HEADER)
      if (end + room > body.length) closeMessage()
      if (wanted !== current) {
        closeSet()
        current = wanted
        start = end
        body.writeUInt16BE(wanted.id, start)
        end += SET_HEADER
      }
      for (const { from, until, to } of wanted.pieces) records.copy(body, end + to, at + from, at + until)
      end += wanted.size
      events++
    }
    closeMessage()
    return out
  }

  #message(sets: Buffer, records: number, now: number): Buffer {
    const bytes = Buffer.allocUnsafe(HEADER + sets.length)
    bytes.writeUInt16BE(VERSION, 0)
    bytes.writeUInt16BE(bytes.length, 2)
    bytes.writeUInt32BE(Math.floor(now / 1000) % 2 ** 32, 4)
    bytes.writeUInt32BE(this.#sequence, 8)
    bytes.writeUInt32BE(this.#domain, 12)
    sets.copy(bytes, HEADER)
    this.#sequence = (this.#sequence + records) % 2 ** 32
    return bytes
  }
}

function words(...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 2)
  for (const [index, value] of values.entries()) out.writeUInt16BE(value, index * 2)
  return out
}

function set(id: number, body: Buffer): Buffer {
  return Buffer.concat([words(id, SET_HEADER + body.length), body])
}
