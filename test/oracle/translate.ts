// SPDX-License-Identifier: Apache-2.0
/**
 * A translator that is slow and obvious, written from the sentences of RFC 7915 and not from the core. Packets are
 * read into objects, changed, and written from scratch; every checksum is found by summing all that it covers.
 */
import { checksum, concat, keepError, long, longs, setWord, sum, word, words } from './bytes.ts'
import { type Message, map46, map64 } from './icmp.ts'
import {
  Drop,
  hasPorts,
  ICMP,
  ICMP6,
  isAlien,
  isFragment,
  isIcmp,
  type Packet,
  read,
  readInner,
  tcpHeader,
  UDP,
} from './read.ts'

/** The new addresses and ports of one direction of a flow; both ports are the identifier for ICMP echo. */
export interface Flow {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
}

/** As struct xlat_params. */
export interface Params {
  readonly hopAdjust: number
  readonly copyTrafficClass: boolean
  /** Of IPv4 packets when it is not copied. */
  readonly tos: number
  readonly amendUdpZero: boolean
  readonly partialChecksum: boolean
  readonly gsoSize: number
  /** The most a SYN may announce; 0 for as it is. */
  readonly mss: number
  readonly identification: number
  readonly lowestIpv6Mtu: number
  readonly mtu6: number
  readonly mtu4: number
}

export interface Translated {
  /** More than one: fragments. */
  readonly packets: readonly Uint8Array[]
  /** A checksum that was left to a network card has been completed. */
  readonly completed: boolean
}

interface Upper {
  readonly bytes: Uint8Array
  readonly completed: boolean
}

/** RFC 8200 §8.1, RFC 9293 §3.1, RFC 768: addresses, upper-layer length, protocol. ICMPv4 has none (RFC 792). */
const pseudo = (source: Uint8Array, destination: Uint8Array, length: number, protocol: number) =>
  protocol === ICMP ? new Uint8Array(0) : concat(source, destination, longs(length), words(protocol))

const otherProtocol = ({ family, protocol }: Packet) =>
  isIcmp({ family, protocol } as Packet) ? (family === 4 ? ICMP6 : ICMP) : protocol

/** §4.1, §5.1: the translator is a router, so the hop limit counts down, and at zero the packet is lost. */
function hopLimit(packet: Packet, params: Params): number {
  const left = packet.hopLimit + params.hopAdjust
  if (left <= 0) throw new Drop('HOP_LIMIT')
  return Math.min(left, 255)
}

/** §4.2, §5.2, §4.5, §5.5: which upper layers have a counterpart. */
function checkProtocol(packet: Packet): void {
  if (isIcmp(packet)) {
    if (isFragment(packet)) throw new Drop('ICMP_FRAGMENT')
    if (packet.kind === 'other') throw new Drop('ICMP_UNTRANSLATABLE')
  } else if (isAlien(packet)) throw new Drop('UNKNOWN_PROTOCOL')
}

/** §4.3, §5.3: a packet inside an error is translated once, and an error about an error not at all. */
function checkInner(packet: Packet): void {
  if (packet.kind === 'icmp error') throw new Drop('ICMP_ERROR_ABOUT_ERROR')
  if (isIcmp(packet) && packet.kind === 'other') throw new Drop('ICMP_UNTRANSLATABLE')
  if (isAlien(packet)) throw new Drop('UNKNOWN_PROTOCOL')
}

/** The largest packet on the wire: of a super-packet, one segment with its headers. */
function largest(packet: Packet, header: number, { gsoSize }: Params): number {
  const whole = header + packet.upperLength
  if (!gsoSize) return whole
  const l4 =
    packet.kind === 'tcp'
      ? tcpHeader(packet.upper)
      : ['udp', 'echo request', 'echo reply'].includes(packet.kind)
        ? 8
        : 0
  return Math.min(whole, header + l4 + gsoSize)
}

const FIELD = { tcp: 16, udp: 6 } as const

/** §4.5, §5.5: ports and checksum of TCP and UDP. */
function transport(packet: Packet, kind: 'tcp' | 'udp', to: Flow, partial: boolean, length: number): Uint8Array {
  const bytes = packet.upper.slice()
  const field = FIELD[kind]
  const old = bytes.length >= field + 2 ? word(bytes, field) : undefined
  const before = pseudo(packet.source, packet.destination, length, packet.protocol)
  const after = pseudo(to.source, to.destination, length, packet.protocol)
  const portsBefore = bytes.subarray(0, 4).slice()
  setWord(bytes, 0, to.sourcePort)
  setWord(bytes, 2, to.destinationPort)
  if (old === undefined) return bytes
  // The sender left the sum to a network card: the field holds that of the pseudo-header, not complemented.
  if (partial) setWord(bytes, field, keepError(old, sum(after), sum(before)) || 0xffff)
  else if (kind === 'tcp')
    setWord(bytes, field, keepError(old, sum(before, portsBefore), sum(after, bytes.subarray(0, 4))))
  // RFC 768: zero says that there is none, so a sum of zero is sent as ones.
  else if (old !== 0)
    setWord(bytes, field, keepError(old, sum(before, portsBefore), sum(after, bytes.subarray(0, 4))) || 0xffff)
  return bytes
}

/** §4.2, §5.2: type, identifier and checksum of an echo, of which some may be cut off inside an error. */
function echo(packet: Packet, to: Flow, length: number): Uint8Array {
  const bytes = packet.upper.slice()
  const request = packet.kind === 'echo request'
  const before = sum(pseudo(packet.source, packet.destination, length, packet.protocol), bytes)
  const field = word(bytes, 2)
  bytes[0] = packet.family === 4 ? (request ? 128 : 129) : request ? 8 : 0
  if (hasPorts(packet)) setWord(bytes, 4, to.sourcePort)
  if (bytes.length < 4) return bytes
  const after = sum(pseudo(to.source, to.destination, length, otherProtocol(packet)), bytes)
  setWord(bytes, 2, keepError(field, before, after))
  return bytes
}

/** The checksum that the sender left to a network card, whose field holds the sum of the pseudo-header. */
function complete(bytes: Uint8Array, field: number): void {
  const value = checksum(bytes)
  setWord(bytes, field, field === FIELD.udp ? value || 0xffff : value)
}

/** §4.5: IPv6 wants a UDP checksum where IPv4 may go without: computed for a whole datagram if so configured. */
function amendUdp(packet: Packet, to: Flow, params: Params): Uint8Array {
  if (isFragment(packet) || !params.amendUdpZero) throw new Drop('UDP_CHECKSUM_ZERO')
  const length = word(packet.upper, 4)
  if (length < 8 || length > packet.upperLength) throw new Drop('BAD_LENGTH')
  const bytes = packet.upper.slice()
  setWord(bytes, 0, to.sourcePort)
  setWord(bytes, 2, to.destinationPort)
  const covered = [pseudo(to.source, to.destination, length, UDP), bytes.subarray(0, length)]
  setWord(bytes, FIELD.udp, checksum(...covered) || 0xffff)
  return bytes
}

/** RFC 9293 §3.2, §3.7.1: the value of option 2 in a SYN, lowered, and the checksum with it. */
function clampMss({ kind, upper }: Packet, { mss, partialChecksum }: Params): Uint8Array {
  if (mss === 0 || kind !== 'tcp' || ((upper[13] ?? 0) & 2) === 0) return upper
  const bytes = upper.slice()
  const options = bytes.subarray(20, tcpHeader(bytes))
  let at = 0
  while (at < options.length && options[at] !== 0 && options[at] !== 2) {
    const length = options[at] === 1 ? 1 : (options[at + 1] ?? 0)
    if (length === 0 || (options[at] !== 1 && length < 2)) return upper
    at += length
  }
  if (options[at] !== 2 || options[at + 1] !== 4 || at + 4 > options.length || word(options, at + 2) <= mss)
    return upper
  setWord(options, at + 2, mss)
  if (!partialChecksum) setWord(bytes, FIELD.tcp, keepError(word(upper, FIELD.tcp), sum(upper), sum(bytes)))
  return bytes
}

function upperLayer(packet: Packet, to: Flow, params: Params, fragmented: boolean): Upper {
  const { kind, upper, upperLength } = packet
  const partial = params.partialChecksum
  if (kind === 'tcp' || kind === 'udp') {
    if (packet.family === 4 && kind === 'udp' && word(upper, FIELD.udp) === 0 && !partial)
      return { bytes: amendUdp(packet, to, params), completed: false }
    const bytes = transport({ ...packet, upper: clampMss(packet, params) }, kind, to, partial, upperLength)
    // Nobody completes a checksum over fragments.
    if (partial && fragmented) complete(bytes, FIELD[kind])
    return { bytes, completed: partial && fragmented }
  }
  if (kind !== 'echo request' && kind !== 'echo reply') return { bytes: upper, completed: false }
  return { bytes: echo({ ...packet, upper: icmpMessage(packet, partial) }, to, upperLength), completed: partial }
}

/** An ICMP message with the checksum completed, which no card would do for both families. */
function icmpMessage({ upper }: Packet, partial: boolean): Uint8Array {
  const bytes = upper.slice()
  if (partial) setWord(bytes, 2, checksum(bytes))
  return bytes
}

interface Header4 {
  readonly length: number
  readonly hopLimit: number
  readonly identification: number
  readonly flags: number
}

/** §5.1: no options, TOS from the traffic class unless told not to. */
function header4(packet: Packet, to: Flow, params: Params, field: Header4): Uint8Array {
  const header = concat(
    [0x45, params.copyTrafficClass ? packet.trafficClass : params.tos],
    words(field.length, field.identification, field.flags),
    [field.hopLimit, otherProtocol(packet), 0, 0],
    to.source,
    to.destination,
  )
  setWord(header, 10, checksum(header))
  return header
}

/** §5.1: DF clear up to 1260 bytes. §5.1.1: with a Fragment header DF is clear and all else comes from there. */
function identity4(packet: Packet, size: number, identification: number): Pick<Header4, 'identification' | 'flags'> {
  if (!packet.hasFragmentHeader) return { identification, flags: size <= 1260 ? 0 : 0x4000 }
  const { offset, more, identification: long } = packet.fragment
  return { identification: long % 65536, flags: offset / 8 + (more ? 0x2000 : 0) }
}

interface Header6 {
  readonly payload: number
  readonly hopLimit: number
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly identification: number } | undefined
}

/** §4.1: flow label zero; the Fragment header has the 16 bits of IPv4's identification. */
function header6(packet: Packet, to: Flow, params: Params, { payload, hopLimit, fragment }: Header6): Uint8Array {
  const trafficClass = params.copyTrafficClass ? packet.trafficClass : 0
  const next = otherProtocol(packet)
  return concat(
    [0x60 + (trafficClass >> 4), (trafficClass % 16) * 16, 0, 0],
    words(payload + (fragment ? 8 : 0)),
    [fragment ? 44 : next, hopLimit],
    to.source,
    to.destination,
    fragment ? concat([next, 0], words(fragment.offset + (fragment.more ? 1 : 0)), longs(fragment.identification)) : [],
  )
}

// ── ICMP errors ─────────────────────────────────────────────────────────────

interface Quoted {
  /** The datagram that the error is about, as far as it is there, and RFC 4884's extensions behind it. */
  readonly datagram: Uint8Array
  readonly extensions: Uint8Array
}

/** RFC 4884 §4.1, §4.4, §5.4: where the length field is, and that less than 128 bytes means none. */
function quoted({ family, upper }: Packet): Quoted {
  const type = upper[0] ?? 0
  const extensible = family === 4 ? [3, 11, 12].includes(type) : [1, 3].includes(type)
  const length = family === 4 ? (upper[5] ?? 0) * 4 : (upper[4] ?? 0) * 8
  const body = upper.subarray(8)
  const at = extensible && length >= 128 && length <= body.length ? length : body.length
  return { datagram: body.subarray(0, at), extensions: body.subarray(at) }
}

/**
 * RFC 4884 §3, §4: the datagram before extensions has at least 128 bytes, padded with zeros, in whole units. RFC 1812
 * §4.3.2.3 and RFC 4443 §2.4 (c) bound the message; extensions that leave no 128 bytes of datagram stay behind.
 * Gives the message's body, and the length in units.
 */
function body(datagram: Uint8Array, extensions: Uint8Array, room: number, unit: number): [Uint8Array, number] {
  if (extensions.length === 0 || 128 + extensions.length > room) return [datagram.subarray(0, room), 0]
  const most = Math.floor((room - extensions.length) / unit) * unit
  const length = Math.min(most, Math.max(128, Math.ceil(datagram.length / unit) * unit))
  const padded = concat(datagram.subarray(0, length), new Uint8Array(Math.max(0, length - datagram.length)))
  return [concat(padded, extensions), length / unit]
}

/** §4.3, §5.3: the inner packet's upper layer, without regard to what it is worth. */
function innerUpper(inner: Packet, to: Flow): Uint8Array {
  if (inner.kind.startsWith('echo')) return echoInside(inner, to)
  if ((inner.kind === 'tcp' || inner.kind === 'udp') && hasPorts(inner))
    return transport(inner, inner.kind, to, false, inner.upperLength)
  return inner.upper
}

/** Only a header is sure to be there: its own words and the pseudo-header are what changes. */
function echoInside(inner: Packet, to: Flow): Uint8Array {
  const head = inner.upper.subarray(0, 8)
  return concat(echo({ ...inner, upper: head }, to, inner.upperLength), inner.upper.subarray(8))
}

/** An error's message about a quoted packet: `inner` is that packet, `header` its new headers. */
function errorMessage(packet: Packet, map: Message, inner: Packet, header: Uint8Array, innerTo: Flow): Uint8Array {
  const to6 = packet.family === 4
  const { datagram, extensions } = quoted(packet)
  const quote = concat(header, innerUpper(inner, innerTo), datagram.subarray(inner.headerLength + inner.upper.length))
  // RFC 4884 §4.6: Packet Too Big and ICMPv6's Parameter Problem have no length field.
  const kept = to6 && map.type !== 1 && map.type !== 3 ? extensions.subarray(0, 0) : extensions
  const room = (to6 ? 1280 - 40 : 576 - 20) - 8
  const [rest, units] = body(quote, kept, room, to6 ? 8 : 4)
  const message = concat([map.type, map.code, 0, 0], longs(map.rest), rest)
  if (units) message[to6 ? 4 : 5] = units
  return message
}

/** The ICMP checksum of the new message, as right or wrong as that of the old one. */
function carryChecksum(packet: Packet, old: Uint8Array, to: Flow, message: Uint8Array): void {
  const covered = old.slice()
  setWord(covered, 2, 0)
  const before = sum(pseudo(packet.source, packet.destination, packet.upperLength, packet.protocol), covered)
  const after = sum(pseudo(to.source, to.destination, message.length, otherProtocol(packet)), message)
  setWord(message, 2, keepError(word(old, 2), before, after))
}

const messageOf = (upper: Uint8Array): Message => ({ type: upper[0] ?? 0, code: upper[1] ?? 0, rest: long(upper, 4) })

/** §5.2, §5.3. */
function error64(packet: Packet, to: Flow, innerTo: Flow, params: Params): Translated {
  const hop = hopLimit(packet, params)
  const inner = readInner(quoted(packet).datagram, 6)
  checkInner(inner)
  const map = map64(messageOf(packet.upper), inner.hasFragmentHeader, params)
  const length = Math.min(20 + inner.upperLength, 65535)
  const identity = identity4(inner, length, 0)
  const innerHeader = header4(inner, innerTo, params, { length, hopLimit: inner.hopLimit, ...identity })
  const message = errorMessage(packet, map, inner, innerHeader, innerTo)
  carryChecksum(packet, icmpMessage(packet, params.partialChecksum), to, message)
  const outer = {
    length: 20 + message.length,
    hopLimit: hop,
    ...identity4(packet, 20 + message.length, params.identification),
  }
  return { packets: [concat(header4(packet, to, params, outer), message)], completed: params.partialChecksum }
}

/** §4.2, §4.3. */
function error46(packet: Packet, to: Flow, innerTo: Flow, params: Params): Translated {
  const hop = hopLimit(packet, params)
  const inner = readInner(quoted(packet).datagram, 4)
  checkInner(inner)
  const map = map46(messageOf(packet.upper), inner.headerLength + inner.upperLength, params)
  const fragment = isFragment(inner) ? inner.fragment : undefined
  const innerHeader = header6(inner, innerTo, params, {
    payload: inner.upperLength,
    hopLimit: inner.hopLimit,
    fragment,
  })
  const message = errorMessage(packet, map, inner, innerHeader, innerTo)
  carryChecksum(packet, icmpMessage(packet, params.partialChecksum), to, message)
  const outer = header6(packet, to, params, { payload: message.length, hopLimit: hop })
  return { packets: [concat(outer, message)], completed: params.partialChecksum }
}

// ── packets ─────────────────────────────────────────────────────────────────

/** RFC 7915 §5. */
export function translate64(bytes: Uint8Array, to: Flow, innerTo: Flow, params: Params): Translated {
  const packet = read(bytes)
  if (packet.refusal) throw new Drop(packet.refusal)
  if (packet.family !== 6) throw new Drop('BAD_VERSION')
  checkProtocol(packet)
  if (packet.kind === 'icmp error') return error64(packet, to, innerTo, params)
  const hop = hopLimit(packet, params)
  const length = 20 + packet.upperLength
  const size = largest(packet, 20, params)
  const identity = identity4(packet, size, params.identification)
  // §5: only a packet with DF set has to fit the next hop.
  const stuck = identity.flags === 0x4000 && !packet.hasFragmentHeader && params.mtu4 > 0 && size > params.mtu4
  if (length > 65535 || stuck) throw new Drop('TOO_BIG')
  const upper = upperLayer(packet, to, params, false)
  const header = header4(packet, to, params, { length, hopLimit: hop, ...identity })
  return { packets: [concat(header, upper.bytes)], completed: upper.completed }
}

/** RFC 8200 §4.5: pieces of a multiple of 8 bytes, each behind the headers, offsets from the datagram's first byte. */
function fragments(
  packet: Packet,
  to: Flow,
  params: Params,
  hop: number,
  upper: Uint8Array,
  mtu: number,
): Uint8Array[] {
  const step = Math.floor((mtu - 48) / 8) * 8
  const pieces = upper.length + 48 <= mtu ? 1 : Math.ceil(upper.length / step)
  return Array.from({ length: pieces }, (_, i) => {
    const last = i === pieces - 1
    const piece = last ? upper.subarray(i * step) : upper.subarray(i * step, (i + 1) * step)
    const { offset, more, identification } = packet.fragment
    const fragment = { offset: offset + i * step, more: more || !last, identification }
    return concat(header6(packet, to, params, { payload: piece.length, hopLimit: hop, fragment }), piece)
  })
}

/** RFC 7915 §4, and RFC 8021 §3: a packet that is no fragment and is not made one gets no Fragment header. */
export function translate46(bytes: Uint8Array, to: Flow, innerTo: Flow, params: Params): Translated {
  const packet = read(bytes)
  if (packet.refusal) throw new Drop(packet.refusal)
  if (packet.family !== 4) throw new Drop('BAD_VERSION')
  checkProtocol(packet)
  if (packet.kind === 'icmp error') return error46(packet, to, innerTo, params)
  const hop = hopLimit(packet, params)
  const size = largest(packet, isFragment(packet) ? 48 : 40, params)
  const lowest = Math.max(1280, Math.min(params.lowestIpv6Mtu, params.mtu6 || params.lowestIpv6Mtu))
  const split = !packet.df && size > lowest
  if (split && params.gsoSize) throw new Drop('SPLIT_FIRST')
  if (packet.df && params.mtu6 && size > params.mtu6) throw new Drop('TOO_BIG')
  const upper = upperLayer(packet, to, params, split)
  if (split) return { packets: fragments(packet, to, params, hop, upper.bytes, lowest), completed: upper.completed }
  const fragment = isFragment(packet) ? packet.fragment : undefined
  const header = header6(packet, to, params, { payload: packet.upperLength, hopLimit: hop, fragment })
  return { packets: [concat(header, upper.bytes)], completed: upper.completed }
}
