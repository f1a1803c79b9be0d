// SPDX-License-Identifier: Apache-2.0
/** What a packet is, read from the RFCs of IPv4, IPv6 and the upper layers into a plain object. */
import { checksum, long, word } from './bytes.ts'

/** The packet is lost, for the reason of this name in native/xlat/reason.h. */
export class Drop {
  readonly reason: string
  readonly kind: Kind
  constructor(reason: string, kind: Kind = 'other') {
    this.reason = reason
    this.kind = kind
  }
}

export const KINDS = ['other', 'tcp', 'udp', 'echo request', 'echo reply', 'icmp error', 'later fragment'] as const
export type Kind = (typeof KINDS)[number]

export interface Packet {
  readonly family: 4 | 6
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly trafficClass: number
  readonly hopLimit: number
  /** Of the upper layer: 58 for ICMPv6. */
  readonly protocol: number
  readonly kind: Kind
  /** Bytes of all IP headers. */
  readonly headerLength: number
  /** Bytes after them: those that the header promises, and those that are there. */
  readonly upperLength: number
  readonly upper: Uint8Array
  readonly df: boolean
  readonly hasFragmentHeader: boolean
  readonly fragment: { readonly offset: number; readonly more: boolean; readonly identification: number }
  /** Not to be translated but fit to be answered, and where the answer's Pointer points. */
  readonly refusal: 'SOURCE_ROUTE' | 'ROUTING_HEADER' | undefined
  readonly pointer: number
}

export const TCP = 6
export const UDP = 17
export const ICMP = 1
export const ICMP6 = 58
const HOP_BY_HOP = 0
const IGMP = 2
const ROUTING = 43
const FRAGMENT = 44
const DESTINATION = 60
/** The headers that RFC 7915 §5.1 skips, and the Fragment header of §5.1.1. */
const SKIPPED = [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION]
/** RFC 7045 §4: also AH, Mobility, HIP and Shim6. ESP is excepted, the two for experiments may be upper layers. */
const EXTENSIONS = [...SKIPPED, 51, 135, 139, 140]
/** RFC 8200 §4.1 expects four at most; the core reads eight. */
const MOST_EXTENSIONS = 8

export const isFragment = ({ fragment }: Packet): boolean => fragment.more || fragment.offset > 0
export const isIcmp = ({ family, protocol }: Packet): boolean => protocol === (family === 4 ? ICMP : ICMP6)
export const hasPorts = ({ kind, upper }: Packet): boolean =>
  ((kind === 'tcp' || kind === 'udp') && upper.length >= 4) || (kind.startsWith('echo') && upper.length >= 8)

/** RFC 7915 §4.1, §5.1, §4.2: what the other family would read as its own ICMP or as an extension, and IGMP. */
export const isAlien = (packet: Packet): boolean =>
  !isIcmp(packet) && [ICMP, ICMP6, IGMP, ...SKIPPED].includes(packet.protocol)

/** RFC 792, RFC 4443 §2.1. */
function icmpKind(family: 4 | 6, type: number): Kind {
  if (family === 6) {
    if (type < 128) return 'icmp error'
    return type === 128 ? 'echo request' : type === 129 ? 'echo reply' : 'other'
  }
  if ([3, 4, 5, 11, 12].includes(type)) return 'icmp error'
  return type === 8 ? 'echo request' : type === 0 ? 'echo reply' : 'other'
}

export function kindOf(family: 4 | 6, protocol: number, upper: Uint8Array, offset: number): Kind {
  if (offset > 0) return 'later fragment'
  if (protocol === TCP) return 'tcp'
  if (protocol === UDP) return 'udp'
  const icmp = protocol === (family === 4 ? ICMP : ICMP6)
  return icmp && upper.length >= 2 ? icmpKind(family, upper[0] ?? 0) : 'other'
}

/** RFC 9293 §3.1, RFC 768, RFC 792: the upper layer's header is there, but for options a fragment left behind. */
export function checkUpper(packet: Packet): void {
  const { kind, upper, protocol, fragment } = packet
  if (kind === 'later fragment') return
  const least = protocol === TCP ? 20 : protocol === UDP || isIcmp(packet) ? 8 : 0
  if (upper.length < least) throw new Drop('TRUNCATED', kind)
  if (kind !== 'tcp') return
  const header = tcpHeader(upper)
  if (header < 20 || (header > upper.length && !fragment.more)) throw new Drop('BAD_LENGTH', kind)
}

export const tcpHeader = (upper: Uint8Array): number => ((upper[12] ?? 0) >> 4) * 4

/** RFC 791 §3.1: options are one byte, or have a length that counts type and length. True: a source route with hops left. */
function readOptions(options: Uint8Array): boolean {
  let at = 0
  while (at < options.length && options[at] !== 0) {
    if (options[at] === 1) {
      at++
      continue
    }
    const [type, length, pointer] = options.subarray(at)
    if (length === undefined || length < 2 || at + length > options.length) throw new Drop('BAD_IPV4_HEADER')
    if ((type === 131 || type === 137) && length >= 3 && pointer !== undefined && pointer <= length) return true
    at += length
  }
  return false
}

/** RFC 791 §3.1, RFC 1812 §5.2.2. `inner` is the packet inside an ICMP error: cut short, and judged by others. */
function read4(bytes: Uint8Array, inner: boolean): Packet {
  if (bytes.length < 20) throw new Drop('TRUNCATED')
  const headerLength = ((bytes[0] ?? 0) & 15) * 4
  const totalLength = word(bytes, 2)
  if (headerLength < 20) throw new Drop('BAD_IPV4_HEADER')
  if (totalLength < headerLength) throw new Drop('BAD_LENGTH')
  if (headerLength > bytes.length) throw new Drop('TRUNCATED')
  if (totalLength > bytes.length && !inner) throw new Drop('TRUNCATED')
  if (!inner && checksum(bytes.subarray(0, headerLength)) !== 0) throw new Drop('BAD_IPV4_HEADER')
  const sourceRoute = !inner && readOptions(bytes.subarray(20, headerLength))
  const field = word(bytes, 6)
  const offset = (field & 0x1fff) * 8
  const upper = bytes.subarray(headerLength, totalLength)
  return {
    family: 4,
    source: bytes.subarray(12, 16),
    destination: bytes.subarray(16, 20),
    trafficClass: bytes[1] ?? 0,
    hopLimit: bytes[8] ?? 0,
    protocol: bytes[9] ?? 0,
    kind: kindOf(4, bytes[9] ?? 0, upper, offset),
    headerLength,
    upperLength: totalLength - headerLength,
    upper,
    df: (field & 0x4000) !== 0,
    hasFragmentHeader: false,
    fragment: { offset, more: (field & 0x2000) !== 0, identification: word(bytes, 4) },
    refusal: sourceRoute ? 'SOURCE_ROUTE' : undefined,
    pointer: 0,
  }
}

interface Chain {
  protocol: number
  at: number
  pointer: number
  fragment: Packet['fragment'] | undefined
}

/** RFC 8200 §4 and RFC 7915 §5.1, §5.1.1: the headers before the upper layer. */
function readChain(bytes: Uint8Array, inner: boolean): Chain {
  const chain: Chain = { protocol: bytes[6] ?? 0, at: 40, pointer: 0, fragment: undefined }
  for (let count = 0; SKIPPED.includes(chain.protocol); count++) {
    if (count === MOST_EXTENSIONS) throw new Drop('TOO_MANY_EXTENSIONS')
    if (chain.fragment) throw new Drop('EXTENSION_AFTER_FRAGMENT')
    const header = bytes.subarray(chain.at)
    const length = chain.protocol === FRAGMENT ? 8 : ((header[1] ?? 0) + 1) * 8
    if (header.length < 8 || header.length < length) throw new Drop('TRUNCATED')
    if (chain.protocol === FRAGMENT) {
      const field = word(header, 2)
      chain.fragment = { offset: field & 0xfff8, more: (field & 1) === 1, identification: long(header, 4) }
    }
    if (chain.protocol === ROUTING && header[3] !== 0 && !inner) chain.pointer ||= chain.at + 3
    chain.protocol = header[0] ?? 0
    chain.at += length
  }
  if (chain.fragment && EXTENSIONS.includes(chain.protocol)) throw new Drop('EXTENSION_AFTER_FRAGMENT')
  return chain
}

/** RFC 8200 §3. */
function read6(bytes: Uint8Array, inner: boolean): Packet {
  if (bytes.length < 40) throw new Drop('TRUNCATED')
  const totalLength = 40 + word(bytes, 4)
  if (totalLength > bytes.length && !inner) throw new Drop('TRUNCATED')
  const there = bytes.subarray(0, totalLength)
  const { protocol, at, pointer, fragment } = readChain(there, inner)
  const upper = there.subarray(at)
  return {
    family: 6,
    source: bytes.subarray(8, 24),
    destination: bytes.subarray(24, 40),
    trafficClass: (word(bytes, 0) >> 4) & 255,
    hopLimit: bytes[7] ?? 0,
    protocol,
    kind: kindOf(6, protocol, upper, fragment?.offset ?? 0),
    headerLength: at,
    upperLength: totalLength - at,
    upper,
    df: true,
    hasFragmentHeader: fragment !== undefined,
    fragment: fragment ?? { offset: 0, more: false, identification: 0 },
    refusal: pointer ? 'ROUTING_HEADER' : undefined,
    pointer,
  }
}

/** RFC 791 §3.2 and RFC 8200 §4.5: no datagram is longer than 65535 bytes, whatever its fragments say. */
function checkDatagram(packet: Packet): void {
  if (isFragment(packet) && packet.fragment.offset + packet.upperLength > 65535)
    throw new Drop('BAD_LENGTH', packet.kind)
}

function readAny(bytes: Uint8Array, inner: boolean): Packet {
  if (bytes.length === 0) throw new Drop('TRUNCATED')
  const version = (bytes[0] ?? 0) >> 4
  if (version === 4) return read4(bytes, inner)
  if (version === 6) return read6(bytes, inner)
  throw new Drop('BAD_VERSION')
}

/** A whole packet, which padding may follow. */
export function read(bytes: Uint8Array): Packet {
  const packet = readAny(bytes, false)
  if (packet.refusal) return packet
  checkDatagram(packet)
  checkUpper(packet)
  return packet
}

/** The packet inside an ICMP error of the same family, whose upper layer may be cut off anywhere (RFC 792, RFC 4443). */
export function readInner(bytes: Uint8Array, family: 4 | 6): Packet {
  const version = (bytes[0] ?? 0) >> 4
  const whole = bytes.length >= (version === 4 ? 20 : 40)
  if ((version === 4 || version === 6) && version !== family && whole) throw new Drop('BAD_VERSION')
  return readAny(bytes, true)
}
