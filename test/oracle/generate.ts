// SPDX-License-Identifier: Apache-2.0
/** Packets of all kinds, valid, odd and spoilt, as command lines of test/vectors/run.c. */
import { format4, format6, parse4, parse6 } from './address.ts'
import { checksum, concat, longs, setWord, sum, word, words } from './bytes.ts'
import type { Random } from './random.ts'
import { ICMP, ICMP6, TCP, UDP } from './read.ts'

const HOSTS4 = ['192.0.2.33', '198.51.100.64', '203.0.113.9', '0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1']
const HOSTS6 = ['2001:db8:1::5', '64:ff9b::c000:221', '2001:db8:ffff:ffff:ffff:ffff:ffff:fffe', '::', 'ff02::1', '::1']
const PORTS = [0, 1, 53, 80, 1234, 40000, 65535]
const OTHERS = [1, 2, 4, 41, 47, 50, 51, 58, 59, 89, 132, 135, 136, 139, 140, 253, 254, 0, 43, 44, 60]
const LENGTHS = [0, 1, 7, 8, 9, 16, 33, 100, 101, 128, 200]
/** Around 1260, 1280 and 1500 bytes with each set of headers. */
const TIGHT = [1212, 1220, 1221, 1232, 1233, 1240, 1241, 1252, 1253, 1260, 1261, 1440, 1452, 1473, 1480]

type Family = 4 | 6

const address = (random: Random, family: Family) => {
  if (random.once(8)) return random.bytes(family === 4 ? 4 : 16)
  const usual = random.once(8) ? undefined : 3
  return family === 4 ? parse4(random.of(HOSTS4.slice(0, usual))) : parse6(random.of(HOSTS6.slice(0, usual)))
}

const hopLimit = (random: Random) => (random.once(10) ? random.of([0, 1, 2, 255]) : 64)

const port = (random: Random) => (random.once(3) ? random.below(65536) : random.of(PORTS))

function length(random: Random): number {
  const kind = random.below(1000)
  if (kind < 800) return random.of(LENGTHS)
  if (kind < 950) return random.of(TIGHT) + random.below(9) - 4
  return kind < 998 ? random.below(3000) : random.below(65000)
}

/** Random bytes cost time: a pattern with a random start does for the rest of a long payload. */
function payload(random: Random, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  let value = random.below(256)
  for (let at = 0; at < size; at++) bytes[at] = value += 7
  return bytes
}

interface Shape {
  readonly family: Family
  readonly source: Uint8Array
  readonly destination: Uint8Array
  /** The sender left the checksum to a network card. */
  readonly partial: boolean
  /** How deep inside ICMP errors. */
  readonly depth: number
}

// ── upper layers ────────────────────────────────────────────────────────────

/** Right, or one of the wrong ones that mean something. */
function seal(random: Random, bytes: Uint8Array, field: number, protocol: number, shape: Shape): Uint8Array {
  const none = protocol === ICMP
  const pseudo = none ? [] : concat(shape.source, shape.destination, longs(bytes.length), words(protocol))
  const right = shape.partial ? 0xffff - checksum(pseudo) : checksum(pseudo, bytes)
  setWord(bytes, field, none && shape.partial ? 0 : right)
  if (random.once(12)) setWord(bytes, field, random.of([0, 0xffff, random.below(65536)]))
  return bytes
}

function tcp(random: Random, shape: Shape, size: number): Uint8Array {
  const options = random.once(3) ? random.of([4, 12, 20, 40]) : 0
  const offset = random.once(30) ? random.below(16) : 5 + options / 4
  const flags = random.of([2, 16, 18, 17, 4, 24, 0, 255])
  const head = concat(words(port(random), port(random)), random.bytes(8), [offset * 16, flags], words(8192, 0, 0))
  return seal(random, concat(head, payload(random, options + size)), 16, TCP, shape)
}

function udp(random: Random, shape: Shape, size: number): Uint8Array {
  const told = random.once(15) ? random.of([0, 7, 8, 9, size, size + 9, 65535]) : size + 8
  return seal(random, concat(words(port(random), port(random), told, 0), payload(random, size)), 6, UDP, shape)
}

const icmpOf = (family: Family) => (family === 4 ? ICMP : ICMP6)

function echo(random: Random, shape: Shape, size: number): Uint8Array {
  const type = random.of(shape.family === 4 ? [8, 0] : [128, 129])
  const code = random.once(20) ? random.below(256) : 0
  const head = concat([type, code, 0, 0], words(port(random), random.below(65536)))
  return seal(random, concat(head, payload(random, size)), 2, icmpOf(shape.family), shape)
}

const POINTERS = [0, 1, 2, 4, 6, 7, 8, 9, 12, 16, 20, 24, 39, 40, 255]
const MTUS = [0, 60, 68, 88, 576, 1000, 1260, 1280, 1300, 1400, 1500, 9000, 65535]

/** Type, code and bytes 4 to 7 of an error, from where the tables of RFC 7915 have their edges. */
function errorHead(random: Random, family: Family): { head: number[]; extensible: boolean } {
  if (family === 4) {
    const type = random.of([3, 3, 3, 11, 12, 12, 4, 5])
    const code = type === 3 ? random.of([random.below(18), 4]) : random.below(type === 12 ? 4 : 2)
    const first = type === 12 ? random.of(POINTERS) : 0
    const low = type === 3 && code === 4 ? random.of(MTUS) : 0
    return { head: [type, code, 0, 0, first, 0, ...words(low)], extensible: [3, 11, 12].includes(type) }
  }
  const type = random.of([1, 1, 2, 3, 4, 4, random.below(128)])
  const code = type === 2 ? 0 : random.below(type === 1 ? 8 : 4)
  const rest = type === 4 ? random.of(POINTERS) : type === 2 ? random.of([...MTUS, 100000, 2 ** 32 - 1]) : 0
  return { head: [type, code, 0, 0, ...longs(rest)], extensible: type === 1 || type === 3 }
}

/** RFC 4884: a datagram padded to at least 128 bytes, its length in the header, then objects. Now and then wrong. */
function extend(random: Random, family: Family, head: number[], datagram: Uint8Array): Uint8Array {
  const unit = family === 4 ? 4 : 8
  const padded = Math.max(128, Math.ceil(datagram.length / unit) * unit)
  const told = random.once(10) ? random.below(256) : Math.min(255, padded / unit)
  head[family === 4 ? 5 : 4] = told
  const extensions = random.of([4, 8, 12, 20, 21, 100, 300, 420, 428, 1100, 1104])
  return concat(datagram, new Uint8Array(padded - datagram.length), payload(random, extensions))
}

function icmpError(random: Random, shape: Shape): Uint8Array {
  const { family } = shape
  const { head, extensible } = errorHead(random, family)
  const odd = random.once(25)
  const inner = packet(random, odd ? random.of([4, 6]) : family, shape.depth + 1, false)
  const cut = random.once(2)
    ? inner.length
    : random.of([20, 28, 40, 48, 56, 128, 136, 508, 548, 1232, random.below(200)])
  const datagram = inner.subarray(0, cut)
  const body = random.once(extensible ? 3 : 12) ? extend(random, family, head, datagram) : datagram
  return seal(random, concat(head, body), 2, icmpOf(family), shape)
}

function otherIcmp(random: Random, shape: Shape): Uint8Array {
  const type = random.of(shape.family === 4 ? [9, 10, 13, 17, 40, 42] : [130, 133, 135, 136, 137, 143, 160])
  return seal(random, concat([type, 0, 0, 0], random.bytes(8)), 2, icmpOf(shape.family), shape)
}

interface Upper {
  readonly protocol: number
  readonly bytes: Uint8Array
}

function upper(random: Random, shape: Shape): Upper {
  const kind = random.below(20)
  const size = length(random)
  if (kind < 5) return { protocol: TCP, bytes: tcp(random, shape, size) }
  if (kind < 10) return { protocol: UDP, bytes: udp(random, shape, size) }
  if (kind < 12) return { protocol: icmpOf(shape.family), bytes: echo(random, shape, size) }
  if (kind < 18 && shape.depth < 2) return { protocol: icmpOf(shape.family), bytes: icmpError(random, shape) }
  if (kind < 19) return { protocol: icmpOf(shape.family), bytes: otherIcmp(random, shape) }
  return { protocol: random.of(OTHERS), bytes: payload(random, size) }
}

// ── IP ──────────────────────────────────────────────────────────────────────

const OPTIONS = [
  [7, 7, 4, 0, 0, 0, 0, 0],
  [148, 4, 0, 0],
  [1, 1, 1, 1],
  [0, 255, 255, 255],
  [131, 7, 4, 192, 0, 2, 1, 0],
  [137, 7, 8, 192, 0, 2, 1, 1],
  [1, 131, 7, 4, 192, 0, 2, 1],
  [68, 0, 0, 0],
  [68, 1, 0, 0],
  [130, 11, 0, 0],
  [131, 2, 1, 131],
  [1, 1, 1, 131],
]

function options(random: Random): Uint8Array {
  if (!random.once(12)) return new Uint8Array(0)
  const list = Array.from({ length: 1 + random.below(3) }, () => random.of(OPTIONS))
  return concat(...list)
}

/** Offset in units of 8 bytes, and whether more follow. */
function fragmentField(random: Random): { offset: number; more: boolean } {
  const offset = random.of([0, 0, 1, 154, 185, 7000, 8000, 8191, random.below(8192)])
  return { offset, more: random.once(2) }
}

function ipv4(random: Random, shape: Shape, { protocol, bytes }: Upper): Uint8Array {
  const list = options(random)
  const fragment = random.once(8) ? fragmentField(random) : { offset: 0, more: false }
  const flags = (random.once(2) ? 0x4000 : 0) + (fragment.more ? 0x2000 : 0) + (random.once(40) ? 0x8000 : 0)
  const header = concat(
    [0x45 + list.length / 4, random.once(3) ? random.below(256) : 0],
    words(Math.min(65535, 20 + list.length + bytes.length), random.below(65536), flags + fragment.offset),
    [hopLimit(random), protocol, 0, 0],
    shape.source,
    shape.destination,
    list,
  )
  setWord(header, 10, checksum(header))
  return concat(header, bytes).subarray(0, 65535)
}

/** A header of RFC 8200 §4 before `next`. */
function extension(random: Random, kind: number, next: number): Uint8Array {
  if (kind === 44) {
    const { offset, more } = fragmentField(random)
    return concat([next, 0], words(offset * 8 + (more ? 1 : 0) + (random.once(10) ? 6 : 0)), random.bytes(4))
  }
  const segments = kind === 43 && random.once(3) ? 1 : 0
  const size = random.once(10) ? 3 : 0
  const told = random.once(40) ? random.below(256) : size
  return concat([next, told, 0, segments, 0, 0, 0, 0], new Uint8Array(size * 8))
}

function chain(random: Random): number[] {
  if (!random.once(4)) return []
  if (random.once(2)) return [44]
  const count = random.once(8) ? 7 + random.below(4) : 1 + random.below(3)
  return Array.from({ length: count }, () => random.of([0, 43, 44, 60, 60]))
}

function ipv6(random: Random, shape: Shape, { protocol, bytes }: Upper): Uint8Array {
  const kinds = chain(random)
  const extensions = kinds.map((kind, i) => extension(random, kind, kinds[i + 1] ?? protocol))
  const body = concat(...extensions, bytes).subarray(0, 65535)
  const first = 0x6000 + (random.once(3) ? random.below(4096) : 0)
  const label = random.once(4) ? random.below(65536) : 0
  return concat(
    words(first, label, body.length),
    [kinds[0] ?? protocol, hopLimit(random)],
    shape.source,
    shape.destination,
    body,
  )
}

function packet(random: Random, family: Family, depth: number, partial: boolean): Uint8Array {
  const shape = { family, source: address(random, family), destination: address(random, family), partial, depth }
  return (family === 4 ? ipv4 : ipv6)(random, shape, upper(random, shape))
}

// ── harm ────────────────────────────────────────────────────────────────────

const TELLING = [0, 1, 4, 5, 6, 8, 17, 20, 40, 43, 44, 50, 51, 58, 60, 64, 127, 128, 255]

function repair(random: Random, bytes: Uint8Array): void {
  const header = ((bytes[0] ?? 0) & 15) * 4
  if (bytes.length < 20 || (bytes[0] ?? 0) >> 4 !== 4 || header > bytes.length || random.once(8)) return
  if (random.once(2)) setWord(bytes, 2, bytes.length)
  setWord(bytes, 10, 0)
  setWord(bytes, 10, checksum(bytes.subarray(0, header)))
}

/** Bytes changed where headers are, the end cut off, padding added. */
function spoil(random: Random, whole: Uint8Array): Uint8Array {
  const kind = random.below(24)
  if (kind === 0) return concat(whole, payload(random, 1 + random.below(40)))
  if (kind === 1) return whole.subarray(0, random.below(whole.length + 1))
  if (kind > 4) return whole
  const bytes = whole.slice(0, random.once(3) ? random.below(whole.length + 1) : whole.length)
  for (let times = random.below(4); times > 0 && bytes.length > 0; times--)
    bytes[random.below(Math.min(bytes.length, 120))] = random.once(2) ? random.of(TELLING) : random.below(256)
  repair(random, bytes)
  return bytes
}

// ── commands ────────────────────────────────────────────────────────────────

function flow(random: Random, family: Family): string {
  const format = family === 4 ? format4 : format6
  const [source, destination] = [address(random, family), address(random, family)].map(format)
  return `${source},${destination},${port(random)},${port(random)}`
}

function settings(random: Random, partial: boolean): string[] {
  const choice = (times: number, key: string, values: readonly number[]) =>
    random.once(times) ? [`${key}=${random.of(values)}`] : []
  return [
    ...choice(4, 'hop', [1, 0, -2, 1, 127]),
    ...choice(4, 'tc', [0]),
    ...choice(8, 'tos', [0x28, 255]),
    ...choice(2, 'amend', [1]),
    ...choice(3, 'id', [7, 65535]),
    ...choice(6, 'gso', [1, 536, 1220, 1221, 1232, 1440]),
    ...choice(3, 'mss', [1, 536, 1220, 1360, 65535]),
    ...choice(6, 'lowest', [0, 68, 1281, 1400, 1500, 9000]),
    ...choice(5, 'mtu6', [1280, 1400, 1500, 65535]),
    ...choice(5, 'mtu4', [68, 576, 1260, 1261, 1400, 1500]),
    ...choice(6, 'delta', [1]),
    ...(partial ? ['partial=1'] : []),
  ]
}

function answerCommand(random: Random, family: Family): string {
  const [format, hosts] = family === 4 ? [format4, parse4('198.51.100.2')] : [format6, parse6('2001:db8:1::1')]
  const { head } = errorHead(random, family)
  const data = sum(head.slice(4, 6)) * 65536 + word(Uint8Array.from(head), 6)
  const message = `type=${head[0]} code=${head[1]} data=${data}`
  return `answer${family} source=${format(hosts)} ${message} id=${random.below(65536)}`
}

/** A finished ICMPv4 error, with extensions now and then, of all lengths that one may have. */
function originCommand(random: Random): string {
  const size = random.of([0, 28, 47, 100, 127, 128, 129, 400, 519, 520, 521, 548, random.below(549)])
  const told = random.once(3) ? random.of([32, 33, Math.floor(size / 4), 130, random.below(138)]) : 0
  const body = payload(random, size)
  if (told * 4 + 4 <= size) body.set([random.once(8) ? 0x10 : 0x20, 0, ...(random.once(3) ? [0, 0] : [])], told * 4)
  const message = concat([random.of([3, 11, 12]), 0, 0, 0, 0, told, 0, 0], body)
  setWord(message, 2, random.once(5) ? random.below(65536) : checksum(message))
  const total = words(20 + message.length, 7, 0)
  const header = concat([0x45, 0], total, [63, ICMP, 0, 0], parse4('198.51.100.1'), parse4('192.0.2.33'))
  setWord(header, 10, checksum(header))
  return `origin ip6=${format6(address(random, 6))} in=${Buffer.from(concat(header, message)).toString('hex')}`
}

/** One line for test/vectors/run.c. */
export function generate(random: Random): string {
  if (random.once(100)) return originCommand(random)
  const family = random.of([4, 6] as const)
  const partial = random.once(10)
  const bytes = spoil(random, packet(random, family, 0, partial))
  const hex = `in=${Buffer.from(bytes).toString('hex')}`
  const kind = random.below(20)
  if (kind === 0) return `parse ${hex}`
  if (kind === 1) return `${answerCommand(random, family)} ${hex}`
  const way = random.once(50) ? random.of(['46', '64']) : family === 4 ? '46' : '64'
  const flows = `to=${flow(random, way === '46' ? 6 : 4)} inner=${flow(random, way === '46' ? 6 : 4)}`
  return [way, flows, ...settings(random, partial), hex].join(' ')
}
