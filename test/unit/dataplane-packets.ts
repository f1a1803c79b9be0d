// SPDX-License-Identifier: Apache-2.0
/** Packets for the data plane's tests, made and read without the code under test. */
import { parseAddress } from '../../src/net/address.ts'

export interface Vnet {
  readonly flags: number
  readonly gsoType: number
  readonly hdrLen: number
  readonly gsoSize: number
  readonly csumStart: number
  readonly csumOffset: number
}

export const NEEDS_CSUM = 1
export const GSO = { none: 0, tcp4: 1, tcp6: 4, udp: 5 } as const

export function vnetBytes(vnet: Partial<Vnet>): Buffer {
  const bytes = Buffer.alloc(10)
  bytes[0] = vnet.flags ?? 0
  bytes[1] = vnet.gsoType ?? 0
  const words = [vnet.hdrLen, vnet.gsoSize, vnet.csumStart, vnet.csumOffset]
  for (const [index, word] of words.entries()) bytes.writeUInt16LE(word ?? 0, 2 + index * 2)
  return bytes
}

export function bytesOf(text: string): Buffer {
  const { family, value } = parseAddress(text)
  return Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex')
}

const textOf = (bytes: Buffer) =>
  bytes.length === 4 ? [...bytes].join('.') : (bytes.toString('hex').match(/..../g) ?? []).join(':')

/** An address as one text, however it is written. */
export const plain = (address: string) => bytesOf(address).toString('hex')

/** Whether two texts are one address. */
export const same = (a: string, b: string) => bytesOf(a).equals(bytesOf(b))

/** The Internet checksum (RFC 1071), one word after the other. */
export function checksum(...parts: Buffer[]): number {
  let sum = 0
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0)
      if (sum > 0xffff) sum -= 0xffff
    }
  }
  return ~sum & 0xffff
}

function pseudo(source: string, destination: string, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(length, 0)
  tail[7] = protocol
  return Buffer.concat([bytesOf(source), bytesOf(destination), tail])
}

export interface Ip {
  readonly source: string
  readonly destination: string
  readonly hop?: number
  /** IPv4 only. */
  readonly df?: boolean
  readonly id?: number
  readonly tos?: number
  readonly options?: Buffer
  /** In bytes, of a fragment. */
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly id: number }
  /** IPv6 only: type and bytes of one extension header. */
  readonly extension?: { readonly type: number; readonly bytes: Buffer }
}

const PROTOCOLS = { tcp: 6, udp: 17, icmp: 1, icmp6: 58, igmp: 2, sctp: 132 } as const
export type Upper = keyof typeof PROTOCOLS

export function ip(header: Ip, upper: Upper, payload: Buffer): Buffer {
  const { hop = 64, fragment } = header
  if (!header.source.includes(':')) {
    const options = header.options ?? Buffer.alloc(0)
    const out = Buffer.alloc(20)
    out[0] = 0x45 + options.length / 4
    out[1] = header.tos ?? 0
    out.writeUInt16BE(20 + options.length + payload.length, 2)
    out.writeUInt16BE(fragment?.id ?? header.id ?? 0, 4)
    const flags = (header.df ? 0x4000 : 0) | (fragment?.more ? 0x2000 : 0)
    out.writeUInt16BE(flags | ((fragment?.offset ?? 0) >> 3), 6)
    out[8] = hop
    out[9] = PROTOCOLS[upper]
    bytesOf(header.source).copy(out, 12)
    bytesOf(header.destination).copy(out, 16)
    out.writeUInt16BE(checksum(out, options), 10)
    return Buffer.concat([out, options, payload])
  }
  const extensions: Buffer[] = []
  let next: number = PROTOCOLS[upper]
  if (fragment) {
    const bytes = Buffer.alloc(8)
    bytes[0] = next
    bytes.writeUInt16BE(fragment.offset | (fragment.more ? 1 : 0), 2)
    bytes.writeUInt32BE(fragment.id, 4)
    extensions.unshift(bytes)
    next = 44
  }
  if (header.extension) {
    const bytes = Buffer.from(header.extension.bytes)
    bytes[0] = next
    extensions.unshift(bytes)
    next = header.extension.type
  }
  const rest = Buffer.concat([...extensions, payload])
  const out = Buffer.alloc(40)
  out.writeUInt32BE(0x60000000 + (header.tos ?? 0) * 0x100000, 0)
  out.writeUInt16BE(rest.length, 4)
  out[6] = next
  out[7] = hop
  bytesOf(header.source).copy(out, 8)
  bytesOf(header.destination).copy(out, 24)
  return Buffer.concat([out, rest])
}

/** The checksum over everything, or the pseudo header's sum alone, as a sender leaves it to the hardware. */
function seal(header: Ip, protocol: number, upper: Buffer, at: number, partial: boolean): Buffer {
  const front = pseudo(header.source, header.destination, protocol, upper.length)
  upper.writeUInt16BE(0, at)
  upper.writeUInt16BE(partial ? ~checksum(front) & 0xffff : checksum(front, upper) || 0xffff, at)
  return upper
}

export interface Ports {
  readonly from: number
  readonly to: number
  readonly partial?: boolean
}

export function udpSegment(header: Ip, { from, to, partial = false }: Ports, data: Buffer): Buffer {
  const out = Buffer.concat([Buffer.alloc(8), data])
  out.writeUInt16BE(from, 0)
  out.writeUInt16BE(to, 2)
  out.writeUInt16BE(out.length, 4)
  return seal(header, PROTOCOLS.udp, out, 6, partial)
}

export const udp = (header: Ip, ports: Ports, data: Buffer) => ip(header, 'udp', udpSegment(header, ports, data))

export function tcp(
  header: Ip,
  { from, to, partial = false }: Ports,
  flags: string,
  data: Buffer = Buffer.alloc(0),
  sequence = 1,
) {
  const out = Buffer.concat([Buffer.alloc(20), data])
  out.writeUInt16BE(from, 0)
  out.writeUInt16BE(to, 2)
  out.writeUInt32BE(sequence, 4)
  out[12] = 0x50
  out[13] = [...flags].reduce((bits, flag) => bits | (1 << 'FSRPA'.indexOf(flag)), 0)
  out.writeUInt16BE(0xffff, 14)
  return ip(header, 'tcp', seal(header, PROTOCOLS.tcp, out, 16, partial))
}

export function icmp(header: Ip, type: number, code: number, rest: number, data: Buffer): Buffer {
  const out = Buffer.concat([Buffer.alloc(8), data])
  out[0] = type
  out[1] = code
  out.writeUInt32BE(rest, 4)
  if (header.source.includes(':')) return ip(header, 'icmp6', seal(header, PROTOCOLS.icmp6, out, 2, false))
  out.writeUInt16BE(checksum(out), 2)
  return ip(header, 'icmp', out)
}

/** A packet as it left, read by hand. */
export interface Frame {
  readonly vnet: Vnet
  readonly bytes: Buffer
  readonly family: number
  readonly source: string
  readonly destination: string
  readonly hop: number
  readonly tos: number
  readonly df: boolean
  readonly id: number
  readonly protocol: number
  readonly fragment: { readonly offset: number; readonly more: boolean; readonly id: number } | undefined
  readonly upper: Buffer
  readonly from: number
  readonly to: number
  toString(): string
}

export function frameOf(frame: Buffer): Frame {
  const word = (index: number) => frame.readUInt16LE(2 + index * 2)
  const vnet = {
    ...{ flags: frame[0] ?? 0, gsoType: frame[1] ?? 0 },
    ...{ hdrLen: word(0), gsoSize: word(1), csumStart: word(2), csumOffset: word(3) },
  }
  return { vnet, ...packetOf(frame.subarray(10)) }
}

export function packetOf(bytes: Buffer): Omit<Frame, 'vnet'> {
  const family = (bytes[0] ?? 0) >> 4
  const shared = (upper: Buffer, protocol: number, source: string, destination: string) => ({
    ...{ bytes, family, protocol, upper, source, destination },
    from: upper.length > 1 ? upper.readUInt16BE(0) : 0,
    to: upper.length > 3 ? upper.readUInt16BE(2) : 0,
    toString: () => `${source} ${destination} ${protocol} ${upper.subarray(0, 16).toString('hex')}`,
  })
  if (family === 4) {
    const field = bytes.readUInt16BE(6)
    const fragment = { offset: (field & 0x1fff) * 8, more: (field & 0x2000) !== 0, id: bytes.readUInt16BE(4) }
    const whole = fragment.offset === 0 && !fragment.more
    const upper = bytes.subarray(((bytes[0] ?? 0) & 15) * 4, bytes.readUInt16BE(2))
    return {
      ...shared(upper, bytes[9] ?? 0, textOf(bytes.subarray(12, 16)), textOf(bytes.subarray(16, 20))),
      ...{ hop: bytes[8] ?? 0, tos: bytes[1] ?? 0, df: (field & 0x4000) !== 0, id: fragment.id },
      fragment: whole ? undefined : fragment,
    }
  }
  const fragmented = bytes[6] === 44
  const upper = bytes.subarray(fragmented ? 48 : 40, 40 + bytes.readUInt16BE(4))
  const protocol = (fragmented ? bytes[40] : bytes[6]) ?? 0
  const field = fragmented ? bytes.readUInt16BE(42) : 0
  const id = fragmented ? bytes.readUInt32BE(44) : 0
  return {
    ...shared(upper, protocol, textOf(bytes.subarray(8, 24)), textOf(bytes.subarray(24, 40))),
    ...{ hop: bytes[7] ?? 0, tos: (bytes.readUInt16BE(0) >> 4) & 0xff, df: false, id },
    fragment: fragmented ? { offset: field & 0xfff8, more: (field & 1) === 1, id } : undefined,
  }
}

/** Whether the checksums a receiver would look at are right; a partial one must hold the pseudo header's sum. */
export function isSound(packet: Omit<Frame, 'vnet'> & { vnet?: Vnet }, upper: Buffer = packet.upper): boolean {
  if (packet.family === 4 && checksum(packet.bytes.subarray(0, ((packet.bytes[0] ?? 0) & 15) * 4)) !== 0) return false
  const front = pseudo(packet.source, packet.destination, packet.protocol, upper.length)
  if (packet.vnet && packet.vnet.flags & NEEDS_CSUM) {
    const at = packet.vnet.csumOffset
    return upper.readUInt16BE(at) === (~checksum(front) & 0xffff)
  }
  return packet.protocol === PROTOCOLS.icmp ? checksum(upper) === 0 : checksum(front, upper) === 0
}
