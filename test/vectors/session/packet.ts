// SPDX-License-Identifier: Apache-2.0
/**
 * Packets of the session vectors: read from one line, made byte by byte without the code under test.
 *
 *     udp C1:5000 > S1:80 data=100 hop=63          tcp C1:5000 > S1:80 SA seq=7
 *     echo C1 > S1 id=7 seq=1                      reply S1 > P1 id=$i
 *     icmp R > P1 3/4 mtu=1400 [udp P1:40000 > S1:80 keep=8]
 *     udp C1:5000 > S1:80 data=3000 bytes=0-1000 frag=9
 *
 * An IPv4 host in an IPv6 packet is under 64:ff9b::/96. `bytes` is the fragment of these bytes of the datagram, `keep`
 * what of a quoted packet is left behind its IP header, `$p` a port, an identifier or an address that the first packet
 * to leave with it decides. Without `hop` a packet arrives with 64 and leaves with 63.
 */
import { bytesOf, checksum, ip, type packetOf } from '../../unit/dataplane-packets.ts'

export type Family = 4 | 6
/** What the `$` names stand for. */
export type Bound = Map<string, string>
export type Actual = ReturnType<typeof packetOf>

/** Who plays: clients of one site and of another, servers, routers, pool addresses, the gateway itself. */
const HOSTS: Readonly<Record<string, string>> = {
  ...{ C1: '2001:db8:1::1', C2: '2001:db8:1::2', C3: '2001:db8:1::3', D1: '2001:db8:2::1' },
  ...{ R6: '2001:db8:9::1', G6: '2001:db8:1::ffff', R4: '203.0.113.9', G4: '203.0.113.1' },
  ...{ S1: '192.0.2.33', S2: '192.0.2.34', P1: '198.51.100.64', P2: '198.51.100.65' },
}

export const address = (name: string, bound: Bound = new Map()) => bound.get(name) ?? HOSTS[name] ?? name

interface Endpoint {
  readonly host: string
  readonly port: string
}

export interface Packet {
  readonly kind: string
  readonly from: Endpoint
  readonly to: Endpoint
  readonly flags: string
  readonly type: readonly [number, number]
  readonly words: ReadonlyMap<string, string>
  readonly inner?: Packet
}

function endpoint(text: string): Endpoint {
  const [, bracketed, plain, port = ''] = /^(?:\[(.*?)\]|([^:]+))(?::([\d$]\w*))?$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (!host) throw new Error(`not an endpoint: ${text}`)
  return { host, port }
}

const KINDS = ['tcp', 'udp', 'echo', 'reply', 'icmp', 'other']
const WORDS = 'data hop tos df id seq ack window bytes frag mtu keep zero proto bad broken options'.split(' ')

export function parsePacket(text: string): Packet {
  const [, outer = text, inside] = /^(.*?) \[([a-z].*)\]$/.exec(text) ?? []
  const [kind = '', from = '', arrow, to = '', ...rest] = outer.trim().split(/\s+/)
  if (!KINDS.includes(kind) || arrow !== '>') throw new Error(`not a packet: ${text}`)
  let flags = ''
  let type: [number, number] = [0, 0]
  const words = new Map<string, string>()
  for (const word of rest) {
    const [key = '', value = ''] = word.split('=')
    const [, major, minor] = /^(\d+)\/(\d+)$/.exec(word) ?? []
    if (WORDS.includes(key)) words.set(key, value)
    else if (kind === 'tcp' && /^[FSRPA]+$/.test(word)) flags = word
    else if (kind === 'icmp' && major && minor) type = [Number(major), Number(minor)]
    else throw new Error(`not a word of a packet: ${word}`)
  }
  const parts = { kind, from: endpoint(from), to: endpoint(to), flags, type, words }
  return inside ? { ...parts, inner: parsePacket(inside) } : parts
}

function hostBytes(family: Family, name: string, bound: Bound): Buffer {
  const bytes = bytesOf(address(name, bound))
  if (family === 4 || bytes.length === 16) return bytes
  return Buffer.concat([Buffer.from('0064ff9b0000000000000000', 'hex'), bytes])
}

const text = (bytes: Buffer) =>
  bytes.length === 4 ? [...bytes].join('.') : (bytes.toString('hex').match(/..../g) ?? []).join(':')

const pattern = (length: number) => Buffer.from(Array.from({ length }, (_, at) => (at * 7 + 1) & 0xff))

/** Writes the checksum over the pseudo header and everything; ICMPv4 has no pseudo header. */
function seal(upper: Buffer, at: number, hosts: readonly Buffer[], protocol: number): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(upper.length)
  tail[7] = protocol
  const front = protocol === 1 ? [] : [...hosts, tail]
  upper.writeUInt16BE(checksum(...front, upper) || (protocol === 17 ? 0xffff : 0), at)
  return upper
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17 }
const QUERIES: Readonly<Record<string, readonly [number, number]>> = { echo: [8, 128], reply: [0, 129] }

/** The upper layer and its protocol number. */
function upperOf(packet: Packet, family: Family, bound: Bound): { protocol: number; upper: Buffer } {
  const number = (key: string, otherwise: number) =>
    Number(bound.get(packet.words.get(key) ?? '') ?? packet.words.get(key) ?? otherwise)
  const port = (text: string) => Number(bound.get(text) ?? text)
  const hosts = [packet.from, packet.to].map(({ host }) => hostBytes(family, host, bound))
  const { kind } = packet
  const protocol = PROTOCOLS[kind] ?? number('proto', family === 4 ? 1 : 58)
  const load = pattern(number('data', kind === 'tcp' ? 0 : 8))
  if (kind === 'other') return { protocol, upper: load }
  const header = Buffer.alloc(kind === 'tcp' ? 20 : 8)
  const inner = packet.inner ? encode(packet.inner, family, bound, { hop: 64 }) : undefined
  const upper = Buffer.concat([header, inner ?? load])
  if (kind === 'tcp' || kind === 'udp') {
    upper.writeUInt16BE(port(packet.from.port), 0)
    upper.writeUInt16BE(port(packet.to.port), 2)
  }
  if (kind === 'tcp') {
    upper.writeUInt32BE(number('seq', 1), 4)
    upper.writeUInt32BE(number('ack', 0), 8)
    upper[12] = 0x50
    upper[13] = [...packet.flags].reduce((bits, flag) => bits | (1 << 'FSRPA'.indexOf(flag)), 0)
    upper.writeUInt16BE(number('window', 0xffff), 14)
  } else if (kind === 'udp') {
    upper.writeUInt16BE(upper.length, 4)
    if (packet.words.has('zero')) return { protocol, upper }
  } else {
    const [type, code] = QUERIES[kind] ? [QUERIES[kind][family === 4 ? 0 : 1], 0] : packet.type
    upper[0] = type
    upper[1] = code
    if (QUERIES[kind]) {
      upper.writeUInt16BE(number('id', 1), 4)
      upper.writeUInt16BE(number('seq', 1), 6)
    } else upper.writeUInt32BE(number('mtu', 0), 4)
  }
  const at = kind === 'tcp' ? 16 : kind === 'udp' ? 6 : 2
  seal(upper, at, hosts, protocol)
  // a wrong checksum stays wrong by as much
  if (packet.words.has('bad')) upper.writeUInt16BE((upper.readUInt16BE(at) + 1) % 0xffff, at)
  return { protocol, upper }
}

const NAMES: Readonly<Record<number, 'tcp' | 'udp' | 'icmp' | 'icmp6' | 'sctp'>> = {
  ...{ 6: 'tcp', 17: 'udp', 1: 'icmp', 58: 'icmp6', 132: 'sctp' },
}

export interface Outer {
  readonly hop: number
  /** The identification of an IPv4 packet that is not a fragment. */
  readonly id?: number
}

export function encode(packet: Packet, family: Family, bound: Bound, { hop, id = 0 }: Outer): Buffer {
  const { protocol, upper } = upperOf(packet, family, bound)
  const [first, end] = (packet.words.get('bytes') ?? `0-${upper.length}`).split('-').map(Number) as [number, number]
  const name = NAMES[protocol]
  if (!name) throw new Error(`no name for protocol ${protocol}`)
  const frag = packet.words.get('frag')
  const header = {
    source: text(hostBytes(family, packet.from.host, bound)),
    destination: text(hostBytes(family, packet.to.host, bound)),
    hop: Number(packet.words.get('hop') ?? hop),
    tos: Number(packet.words.get('tos') ?? 0),
    df: packet.words.has('df'),
    id,
    // Router Alert and two times no operation
    ...(packet.words.has('options') && { options: Buffer.from('9404000001010101', 'hex') }),
    ...(frag !== undefined && { fragment: { offset: first, more: end < upper.length, id: Number(frag) } }),
  }
  const whole = ip(header, name, upper.subarray(first, end))
  if (packet.words.has('broken')) whole[11] = (whole[11] ?? 0) ^ 1
  const keep = packet.words.get('keep')
  return keep === undefined ? whole : whole.subarray(0, (family === 4 ? 20 : 40) + Number(keep))
}

/** Takes from a packet that left what the names in it stand for. */
export function bind(packet: Packet, actual: Actual, bound: Bound): void {
  const learn = (name: string | undefined, value: string | number) => {
    if (name?.startsWith('$') && !bound.has(name)) bound.set(name, String(value))
  }
  learn(packet.from.host, actual.source)
  learn(packet.to.host, actual.destination)
  learn(packet.from.port, actual.from)
  learn(packet.to.port, actual.to)
  if (actual.upper.length >= 6) learn(packet.words.get('id'), actual.upper.readUInt16BE(4))
}
