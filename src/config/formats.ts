// SPDX-License-Identifier: Apache-2.0
/**
 * What a schema's `format` means: a parser that refuses what is wrong and returns the canonical text.
 * A parser throws a GatewayError whose first fault says what is wrong and what to write instead.
 */
import { isAbsolute, normalize } from 'node:path'
import { GatewayError } from '../errors.ts'
import {
  type Address,
  type Family,
  Prefix,
  parseAddress,
  parseEndpoint,
  parseInterfaceAddress,
  parsePrefix,
} from '../net/address.ts'
import { parseNat64Prefix } from '../net/rfc6052.ts'
import { formatBitRate, formatDuration, formatSize, parseBitRate, parseDuration, parseSize } from './units.ts'

export interface Format {
  /** What to write, for config/REFERENCE.md and for a value of the wrong type. */
  readonly example: string
  /** One sentence for config/REFERENCE.md. */
  readonly meaning: string
  canonical(text: string): string
}

export interface PortRange {
  readonly first: number
  readonly last: number
}

export const FORMATS: Readonly<Record<string, Format>> = {
  ipv4: {
    example: '192.0.2.1',
    meaning: 'IPv4 address, four octets without leading zeros.',
    canonical: (text) => String(ofFamily(4, text, parseAddress(text))),
  },
  ipv6: {
    example: '2001:db8::1',
    meaning: 'IPv6 address in any spelling; a zone (`%eth0`) for link-local ones only.',
    canonical: (text) => String(ofFamily(6, text, parseAddress(text))),
  },
  prefix: {
    example: '2001:db8:1::/48',
    meaning: 'IPv4 or IPv6 prefix without host bits, or one address. IPv4-mapped ones are the IPv4 host.',
    canonical: (text) => String(unmapped(prefixOrHost(text))),
  },
  prefix4: {
    example: '198.51.100.64/28',
    meaning: 'IPv4 prefix without host bits, or one address.',
    canonical: (text) => String(ofFamily(4, text, prefixOrHost(text))),
  },
  prefix6: {
    example: '2001:db8:1::/64',
    meaning: 'IPv6 prefix without host bits, or one address.',
    canonical: (text) => String(ofFamily(6, text, prefixOrHost(text))),
  },
  'nat64-prefix': {
    example: '64:ff9b::/96',
    meaning: 'Prefix of 32, 40, 48, 56, 64 or 96 bits whose bits 64 to 71 are zero (RFC 6052 section 2.2).',
    canonical: (text) => String(parseNat64Prefix(text)),
  },
  endpoint: {
    example: '[2001:db8::1]:53',
    meaning: 'Address and port, with brackets around an IPv6 address.',
    canonical: (text) => String(parseEndpoint(text)),
  },
  endpoint4: {
    example: '192.0.2.1:80',
    meaning: 'IPv4 address and port.',
    canonical: (text) => String(endpointOf(4, text)),
  },
  endpoint6: {
    example: '[2001:db8::1]:80',
    meaning: 'IPv6 address in brackets, and port.',
    canonical: (text) => String(endpointOf(6, text)),
  },
  'port-range': {
    example: '1024-65535',
    meaning: 'First and last port, or one port, from 1 to 65535.',
    canonical: (text) => printPortRange(parsePortRange(text)),
  },
  duration: {
    example: '5m',
    meaning: 'Whole numbers with the units `d`, `h`, `m`, `s`, `ms`, from large to small, each once.',
    canonical: (text) => formatDuration(parseDuration(text)),
  },
  size: {
    example: '64MiB',
    meaning: 'Whole number with the unit `B`, `KiB`, `MiB` or `GiB`.',
    canonical: (text) => formatSize(parseSize(text)),
  },
  'bit-rate': {
    example: '10Mbit/s',
    meaning: 'Whole number with the unit `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`; 1kbit is 1000 bits.',
    canonical: (text) => formatBitRate(parseBitRate(text)),
  },
  mss: {
    example: '1360B',
    meaning: 'Bytes of a TCP segment, as a whole number with the unit `B`; or `off`, or `auto`.',
    canonical: (text) => (isWord(text) ? text : formatSize(parseSize(text))),
  },
  route: {
    example: '0.0.0.0/0 via 192.0.2.1',
    meaning: '`PREFIX via ADDRESS`, or `PREFIX` for a route on the link.',
    canonical: (text) => printRoute(parseRoute(text)),
  },
  'interface-name': {
    example: 'eth0',
    meaning: 'Name of a link as `ip link` shows it, at most 15 characters.',
    canonical: interfaceName,
  },
  'interface-address': {
    example: '2001:db8:1::1/64',
    meaning: 'Address of a host with the length of its prefix.',
    canonical: interfaceAddress,
  },
  path: {
    example: '/var/log/sixgate/bindings.jsonl',
    meaning: 'Absolute path of a file.',
    canonical: absolutePath,
  },
  sha256: { example: 'e3b0c442…', meaning: '64 hexadecimal digits.', canonical: sha256 },
  domain: { example: 'example.net', meaning: 'Domain in ASCII form; names below it match too.', canonical: domain },
}

function isWord(text: string): boolean {
  return text === 'off' || text === 'auto'
}

/** `1024-65535`, or one port. */
export function parsePortRange(text: string): PortRange {
  const remedy = 'Write FIRST-LAST, as in 1024-65535.'
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text)
  if (!match) refuse(text, 'is no range of ports', remedy)
  const [first, last] = [match[1] ?? '', match[2] ?? match[1] ?? '']
  for (const port of [first, last]) {
    if (port.length > 1 && port.startsWith('0')) refuse(text, 'has a leading zero', 'Take the leading zero out.')
    if (Number(port) < 1 || Number(port) > 65535)
      refuse(text, `has the port ${port}, out of range`, 'Write ports from 1 to 65535.')
  }
  if (Number(first) > Number(last)) refuse(text, 'ends before it begins', `Write ${last}-${first}.`)
  return { first: Number(first), last: Number(last) }
}

export interface Route {
  readonly prefix: Prefix
  readonly via?: Address
}

/** `PREFIX via ADDRESS`, or `PREFIX` for a route on the link. */
export function parseRoute(text: string): Route {
  const match = /^(\S{1,70})(?: +via +(\S{1,70}))?$/.exec(text.trim() === text ? text : '')
  if (!match) refuse(text, 'is no route', 'Write PREFIX via ADDRESS, as in 0.0.0.0/0 via 192.0.2.1.')
  if (match[1] === 'default') refuse(text, 'does not tell IPv4 from IPv6', 'Write 0.0.0.0/0 or ::/0 for default.')
  const prefix = parsePrefix(match[1] ?? '')
  if (match[2] === undefined) return { prefix }
  const via = parseAddress(match[2])
  if (via.family !== prefix.family) refuse(text, 'mixes IPv4 and IPv6', 'Write a next hop of the family of the prefix.')
  if (via.zone !== undefined) refuse(text, 'has a zone, but the interface names the link', 'Take the zone out.')
  return { prefix, via }
}

function printRoute({ prefix, via }: Route): string {
  return via ? `${prefix} via ${via}` : String(prefix)
}

function printPortRange({ first, last }: PortRange): string {
  return `${first}-${last}`
}

/** A prefix, or an address as the prefix of one host. */
function prefixOrHost(text: string): Prefix {
  if (text.includes('/')) return parsePrefix(text)
  const address = parseAddress(text)
  if (address.zone !== undefined) refuse(text, 'has a zone, which a prefix cannot have', 'Take the zone out.')
  return new Prefix(address, address.family === 4 ? 32 : 128)
}

/** Clients that arrive as ::ffff:a.b.c.d are known by their IPv4 address. */
function unmapped(prefix: Prefix): Prefix {
  const host = prefix.length >= 96 ? prefix.address.unmapped() : prefix.address
  return host.family === prefix.family ? prefix : new Prefix(host, prefix.length - 96)
}

function ofFamily<T extends { readonly family: Family }>(family: Family, text: string, value: T): T {
  if (value.family !== family) refuse(text, `is not IPv${family}`, `Write IPv${family} here.`)
  return value
}

function endpointOf(family: Family, text: string) {
  const endpoint = parseEndpoint(text)
  ofFamily(family, text, endpoint.address)
  return endpoint
}

/**
 * What Linux takes for a name (dev_valid_name), less what `ip -batch`, nftables and radvd would read as
 * something else.
 */
function interfaceName(text: string): string {
  if (text.length > 15) refuse(text, 'is longer than 15 characters', 'Write the name as `ip link` shows it.')
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/.test(text))
    refuse(text, 'is no interface name', 'Write letters, digits, and `_`, `.`, `@`, `-` behind the first.')
  return text
}

function interfaceAddress(text: string): string {
  const parsed = parseInterfaceAddress(text)
  const { address, prefix } = parsed
  const hostBits = (address.family === 4 ? 32 : 128) - prefix.length
  if (
    address.value === 0n ||
    address.value >> (address.family === 4 ? 28n : 120n) === (address.family === 4 ? 14n : 0xffn)
  )
    refuse(text, 'cannot be the address of an interface', 'Write a unicast address.')
  // RFC 4291 section 2.6.1: the lowest address is the subnet-router anycast address; in IPv4 it is the network.
  if (hostBits > 1 && address.equals(prefix.address))
    refuse(text, 'names the network, not a host in it', 'Write the address of the interface with the length.')
  if (hostBits > 1 && address.family === 4 && address.equals(prefix.last))
    refuse(text, 'is the broadcast address of its network', 'Write the address of the interface with the length.')
  return String(parsed)
}

function absolutePath(text: string): string {
  if (!isAbsolute(text)) refuse(text, 'is no absolute path', 'Write the path from the root, as in /var/log/FILE.')
  if (text.endsWith('/')) refuse(text, 'names a directory', 'Write the path of the file in it.')
  // PATH_MAX, with room for what logrotate appends
  if (text.length > 4000 || text.includes('\0')) refuse(text, 'cannot be a path', 'Write a shorter one.')
  return normalize(text)
}

function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text))
    refuse(text, 'is no SHA-256 in hexadecimal', 'Write the 64 digits that `printf %s TOKEN | sha256sum` prints.')
  return text.toLowerCase()
}

/** A domain without a trailing dot, in lower case. */
function domain(text: string): string {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  if (name.startsWith('*.')) refuse(text, 'has a wildcard', `Write ${name.slice(2)}; names below a domain match.`)
  if (
    name === '' ||
    name.length > 253 ||
    !name.split('.').every((label) => /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label))
  )
    refuse(text, 'is no domain', 'Write labels of letters, digits and hyphens, in ASCII form (xn--…), joined by dots.')
  return name.toLowerCase()
}

function refuse(text: string, why: string, remedy: string): never {
  const message = `${JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)} ${why}`
  throw new GatewayError('CONFIG_INVALID', { detail: message, faults: [{ path: '', message, remedy }] })
}
