// SPDX-License-Identifier: Apache-2.0
/**
 * Addresses, prefixes and endpoints: many spellings in, one 128-bit (or 32-bit) value, one RFC 5952 text out.
 *
 * The only importer of `ip6addr`. The library reads hexadecimal groups and finds the longest run of zeros
 * rightly; what it gets wrong is done here: the grammar (it accepts `1:2:3:4::5:6:7:8`, `00000::1` and
 * `::ffff:192.0.02.1`), IPv4 tails outside ::ffff:0:0/96, zones, the 45-character form, and the single group
 * of zeros, which RFC 5952 section 4.2.2 forbids to shorten.
 */
import ip6addr from 'ip6addr'
import { GatewayError } from '../errors.ts'

export type Family = 4 | 6

/** The longest text that can be right: `[` 45-character form `%` 15-character zone `]:65535`, or a prefix. */
const MAX_TEXT = 70

/** Linux's IFNAMSIZ - 1. */
const MAX_ZONE = 15

const WIDTH = { 4: 32, 6: 128 } as const

/** An immutable address; compare `value` (and `zone`), or the texts. */
export class Address {
  readonly family: Family
  readonly value: bigint
  readonly zone?: string
  #text: string | undefined

  constructor(family: Family, value: bigint, zone?: string) {
    if (value < 0n || value >> BigInt(WIDTH[family]) !== 0n) throw new RangeError(`no IPv${family} address: ${value}`)
    this.family = family
    this.value = value
    if (zone !== undefined) this.zone = zone
    Object.freeze(this)
  }

  /** The canonical text: RFC 5952 for IPv6, dotted decimal for IPv4. */
  toString(): string {
    this.#text ??= printAddress(this)
    return this.#text
  }

  toJSON(): string {
    return this.toString()
  }

  equals(other: Address): boolean {
    return this.family === other.family && this.value === other.value && this.zone === other.zone
  }

  /** 4 or 16 bytes in network order. */
  toBytes(): Uint8Array {
    const hex = this.value.toString(16).padStart(WIDTH[this.family] / 4, '0')
    return Uint8Array.from(Buffer.from(hex, 'hex'))
  }

  /** The IPv4 host of an IPv4-mapped address (RFC 4291 section 2.5.5.2), else the address itself. */
  unmapped(): Address {
    return this.family === 6 && this.value >> 32n === 0xffffn ? new Address(4, this.value & 0xffffffffn) : this
  }
}

/** An immutable prefix without host bits. */
export class Prefix {
  readonly family: Family
  readonly address: Address
  readonly length: number

  constructor(address: Address, length: number) {
    const width = WIDTH[address.family]
    if (!Number.isInteger(length) || length < 0 || length > width) throw new RangeError(`no prefix length: ${length}`)
    this.family = address.family
    this.length = length
    this.address = new Address(address.family, clearHostBits(address, length))
    Object.freeze(this)
  }

  contains(other: Address | Prefix): boolean {
    const [address, length] = other instanceof Prefix ? [other.address, other.length] : [other, WIDTH[other.family]]
    if (address.family !== this.family || length < this.length) return false
    const shift = BigInt(WIDTH[this.family] - this.length)
    return address.value >> shift === this.address.value >> shift
  }

  overlaps(other: Prefix): boolean {
    return this.contains(other) || other.contains(this)
  }

  equals(other: Prefix): boolean {
    return this.length === other.length && this.address.equals(other.address)
  }

  /** The highest address in the prefix. */
  get last(): Address {
    return new Address(this.family, this.address.value | ((1n << BigInt(WIDTH[this.family] - this.length)) - 1n))
  }

  toString(): string {
    // A prefix of the mapped addresses themselves is `::ffff:0:0/96`: no IPv4 address is in it yet.
    const text = this.family === 6 && this.length <= 96 ? printGroups(this.address.value) : this.address
    return `${text}/${this.length}`
  }

  toJSON(): string {
    return this.toString()
  }
}

/** An immutable transport address. */
export class Endpoint {
  readonly address: Address
  readonly port: number

  constructor(address: Address, port: number) {
    this.address = address
    this.port = port
    Object.freeze(this)
  }

  toString(): string {
    return this.address.family === 6 ? `[${this.address}]:${this.port}` : `${this.address}:${this.port}`
  }

  toJSON(): string {
    return this.toString()
  }
}

/** An address on a link: the address itself and the prefix it lies in, `2001:db8:1::1/64`. */
export class InterfaceAddress {
  readonly address: Address
  readonly prefix: Prefix

  constructor(address: Address, length: number) {
    this.address = address
    this.prefix = new Prefix(address, length)
    Object.freeze(this)
  }

  toString(): string {
    return `${this.address}/${this.prefix.length}`
  }

  toJSON(): string {
    return this.toString()
  }
}

export function parseAddress(text: string): Address {
  checkText(text, 'Write an IPv4 or IPv6 address.')
  return readAddress(text, text)
}

/** `2001:db8::/32`, `192.0.2.0/24`; the length is part of it and no host bit may be set. */
export function parsePrefix(text: string): Prefix {
  const [address, length] = readAddressAndLength(text)
  const prefix = new Prefix(address, length)
  if (prefix.address.value !== address.value)
    refuse(text, `has bits set behind its length; the prefix is ${prefix}`, `Write ${prefix}.`)
  return prefix
}

/** `2001:db8::1/64`: an address with the length of its prefix. */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const [address, length] = readAddressAndLength(text)
  return new InterfaceAddress(address, length)
}

/** `192.0.2.1:53` or `[2001:db8::1]:53` (RFC 3986 section 3.2.2). */
export function parseEndpoint(text: string): Endpoint {
  const shape = 'Write 192.0.2.1:53 or [2001:db8::1]:53.'
  checkText(text, shape)
  if (text.startsWith('[')) {
    const close = text.indexOf(']')
    if (close < 0) refuse(text, 'has no closing bracket', shape)
    const address = readAddress(text.slice(1, close), text)
    if (address.family === 4)
      refuse(text, 'has brackets around an IPv4 address', `Write ${address}${text.slice(close + 1)}.`)
    if (text[close + 1] !== ':') refuse(text, 'has no port behind the bracket', `Write [${address}]:PORT.`)
    return new Endpoint(address, readPort(text.slice(close + 2), text))
  }
  const colon = text.lastIndexOf(':')
  if (colon < 0) refuse(text, 'has no port', shape)
  const host = text.slice(0, colon)
  if (host.includes(':'))
    refuse(text, 'is an IPv6 address without brackets, so that no port can be told', 'Write [ADDRESS]:PORT.')
  return new Endpoint(readAddress(host, text), readPort(text.slice(colon + 1), text))
}

/** The identity of a client: an IPv4-mapped address is the IPv4 host, every spelling is one address. */
export function canonicalHost(text: string): Address {
  return parseAddress(text).unmapped()
}

/** 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length !== 4 && bytes.length !== 16) throw new RangeError(`no address has ${bytes.length} bytes`)
  return new Address(bytes.length === 4 ? 4 : 6, BigInt(`0x${Buffer.from(bytes).toString('hex')}`))
}

function clearHostBits(address: Address, length: number): bigint {
  const shift = BigInt(WIDTH[address.family] - length)
  return (address.value >> shift) << shift
}

/** Refuses an input with a sentence that names it; the fault is what the configuration's check reports. */
function refuse(input: unknown, why: string, remedy: string): never {
  const message = `${quote(input)} ${why}`
  throw new GatewayError('ADDRESS_INVALID', {
    detail: `${message}. ${remedy}`,
    faults: [{ path: '', message, remedy }],
  })
}

function quote(input: unknown): string {
  if (typeof input !== 'string') return input === null ? 'null' : `a value of type ${typeof input}`
  return JSON.stringify(input.length > MAX_TEXT ? `${input.slice(0, MAX_TEXT)}…` : input)
}

/** What no address has, whatever its form; after this, work is bounded by MAX_TEXT. */
function checkText(text: unknown, remedy: string): asserts text is string {
  if (typeof text !== 'string') refuse(text, 'is not text', remedy)
  if (text === '') refuse(text, 'is empty', remedy)
  if (text.length > MAX_TEXT) refuse(text, `is ${text.length} characters long`, remedy)
  if (/\s/u.test(text)) refuse(text, 'has a stray space', 'Take the space out.')
}

function readAddressAndLength(text: string): [Address, number] {
  checkText(text, 'Write ADDRESS/LENGTH.')
  const slash = text.indexOf('/')
  if (slash < 0) refuse(text, 'has no prefix length', 'Write ADDRESS/LENGTH.')
  const address = readAddress(text.slice(0, slash), text)
  if (address.zone !== undefined) refuse(text, 'has a zone, which a prefix cannot have', 'Take the zone out.')
  const digits = text.slice(slash + 1)
  const width = WIDTH[address.family]
  if (!/^[0-9]+$/.test(digits))
    refuse(
      text,
      `has the prefix length ${JSON.stringify(digits)}, which is no number`,
      `Write a length from 0 to ${width}.`,
    )
  if (digits.length > 1 && digits.startsWith('0'))
    refuse(text, 'has a prefix length with a leading zero', `Write ${address}/${digits.replace(/^0+(?=.)/, '')}.`)
  const length = Number(digits)
  if (length > width)
    refuse(
      text,
      `has the prefix length ${digits}, but IPv${address.family} ends at ${width}`,
      `Write a length from 0 to ${width}.`,
    )
  return [address, length]
}

function readPort(digits: string, input: string): number {
  if (!/^[0-9]+$/.test(digits))
    refuse(
      input,
      digits === '' ? 'has an empty port' : `has the port ${JSON.stringify(digits)}, which is no number`,
      'Write a port from 1 to 65535.',
    )
  if (digits.length > 1 && digits.startsWith('0'))
    refuse(input, 'has a port with a leading zero', 'Take the leading zero out.')
  const port = Number(digits)
  if (port < 1 || port > 65535) refuse(input, `has the port ${digits}, out of range`, 'Write a port from 1 to 65535.')
  return port
}

/** Reads `text`, a part of `input`; the errors name the input. */
function readAddress(text: string, input: string): Address {
  const percent = text.indexOf('%')
  const host = percent < 0 ? text : text.slice(0, percent)
  if (host === '') refuse(input, 'has no address', 'Write an IPv4 or IPv6 address.')
  const address = host.includes(':') ? new Address(6, readIPv6(host, input)) : new Address(4, readIPv4(host, input))
  return percent < 0 ? address : withZone(address, text.slice(percent + 1), input)
}

/** RFC 4007 section 11: a zone tells the link of an address of link-local scope; any other address has one zone. */
function withZone(address: Address, zone: string, input: string): Address {
  const linkLocal = address.family === 6 && (address.value >> 118n === 0x3fan || isLinkLocalMulticast(address.value))
  if (!linkLocal) refuse(input, `has a zone, but ${address} is not link-local`, `Write ${address}.`)
  if (zone === '') refuse(input, 'has an empty zone', `Write ${address}%INTERFACE.`)
  if (zone.length > MAX_ZONE || !/^[A-Za-z0-9._@-]+$/.test(zone))
    refuse(input, `has the zone ${JSON.stringify(zone)}, which is no interface name`, `Write ${address}%INTERFACE.`)
  return new Address(6, address.value, zone)
}

/** ffX2::/16, RFC 4291 section 2.7. */
function isLinkLocalMulticast(value: bigint): boolean {
  return value >> 120n === 0xffn && ((value >> 112n) & 0xfn) === 2n
}

function readIPv4(text: string, input: string): bigint {
  const octets = text.split('.')
  if (octets.length === 1 && !/^[0-9]+$/.test(text)) refuse(input, 'is no address', 'Write an IPv4 or IPv6 address.')
  if (octets.length !== 4)
    refuse(input, `has ${count(octets.length, 'octet')} instead of 4`, 'Write four octets, as in 192.0.2.1.')
  let value = 0n
  for (const octet of octets) {
    if (octet === '') refuse(input, 'has an empty octet', 'Write four octets, as in 192.0.2.1.')
    if (!/^[0-9]+$/.test(octet))
      refuse(input, `has the octet ${JSON.stringify(octet)}, which is no decimal number`, 'Write octets from 0 to 255.')
    // A leading zero is octal to inet_aton(3) and decimal to others: nobody can tell what was meant.
    if (octet.length > 1 && octet.startsWith('0'))
      refuse(input, `has the octet ${JSON.stringify(octet)}, which looks octal`, 'Take the leading zero out.')
    if (octet.length > 3 || Number(octet) > 255)
      refuse(input, `has the octet ${octet}, above 255`, 'Write octets from 0 to 255.')
    value = (value << 8n) | BigInt(octet)
  }
  return value
}

function readIPv6(text: string, input: string): bigint {
  const example = 'Write eight groups, or use :: once for the groups that are zero.'
  if (text.includes(':::')) refuse(input, 'has three colons in a row', example)
  const halves = text.split('::')
  if (halves.length > 2) refuse(input, 'has :: more than once', example)
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const last = groups.at(-1)
  const tail = last?.at(-1)
  if (last && tail?.includes('.')) last.splice(-1, 1, ...ipv4AsGroups(readIPv4(tail, input)))
  for (const group of groups.flat()) checkGroup(group, input, example)
  const written = groups.flat().length
  if (halves.length === 1 && written !== 8) refuse(input, `has ${count(written, 'group')} instead of 8`, example)
  if (halves.length === 2 && written > 8) refuse(input, `has ${written} groups and ::, but 8 is all there is`, example)
  if (halves.length === 2 && written === 8)
    refuse(input, 'has eight groups and a :: that stands for nothing', 'Write a colon instead of ::.')
  return readGroups(groups.map((half) => half.join(':')).join('::'))
}

function checkGroup(group: string, input: string, remedy: string): void {
  if (group === '') refuse(input, 'has a single colon at an end, or an empty group', remedy)
  if (group.includes('.')) refuse(input, `has the IPv4 part ${JSON.stringify(group)} before its end`, remedy)
  if (!/^[0-9a-f]+$/i.test(group))
    refuse(input, `has the group ${JSON.stringify(group)}, which is not hexadecimal`, remedy)
  if (group.length > 4)
    refuse(
      input,
      `has the group ${JSON.stringify(group)} of more than four digits`,
      'Write at most four digits a group.',
    )
}

function ipv4AsGroups(value: bigint): string[] {
  return [(value >> 16n).toString(16), (value & 0xffffn).toString(16)]
}

function count(number: number, noun: string): string {
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`
}

/** Checked groups, with or without `::`, to a value: the library's part. */
function readGroups(text: string): bigint {
  return BigInt(`0x${Buffer.from(ip6addr.parse(text).toBuffer(Buffer.alloc(16))).toString('hex')}`)
}

function printAddress({ family, value, zone }: Address): string {
  const text = family === 4 ? printIPv4(value) : printIPv6(value)
  return zone === undefined ? text : `${text}%${zone}`
}

function printIPv4(value: bigint): string {
  const number = Number(value)
  return [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255].join('.')
}

function printIPv6(value: bigint): string {
  // RFC 5952 section 5: mixed notation where the prefix itself says that an IPv4 address follows.
  if (value >> 32n === 0xffffn) return `::ffff:${printIPv4(value & 0xffffffffn)}`
  return printGroups(value)
}

function printGroups(value: bigint): string {
  const groups: string[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16))
  const text = groups.join(':')
  const hasRun = /(?:^|:)0:0(?::|$)/.test(text)
  return ip6addr.parse(text).toString({ format: 'v6', zeroElide: hasRun })
}
