// SPDX-License-Identifier: Apache-2.0
/** IPv4 addresses inside IPv6 addresses, RFC 6052 section 2.2. */
import { GatewayError } from '../errors.ts'
import { Address, Prefix, parsePrefix } from './address.ts'

export const LENGTHS: readonly number[] = [32, 40, 48, 56, 64, 96]

export const WELL_KNOWN_PREFIX = parsePrefix('64:ff9b::/96')

/** Bits 64 to 71, the "u" octet, are zero in every address of section 2.2. */
const U_OCTET = 0xffn << 56n

/** A translation prefix: one of six lengths, u octet zero. */
export function parseNat64Prefix(text: string): Prefix {
  const prefix = parsePrefix(text)
  const refuse = (why: string, remedy: string): never => {
    const message = `${JSON.stringify(text)} ${why}`
    throw new GatewayError('ADDRESS_INVALID', {
      detail: `${message}. ${remedy}`,
      faults: [{ path: '', message, remedy }],
    })
  }
  if (prefix.family === 4) refuse('is an IPv4 prefix', 'Write an IPv6 prefix, as in 64:ff9b::/96.')
  if (!LENGTHS.includes(prefix.length))
    refuse(`has the length ${prefix.length}`, `Write a length of 32, 40, 48, 56, 64 or 96 (RFC 6052 section 2.2).`)
  if ((prefix.address.value & U_OCTET) !== 0n)
    refuse('has bits 64 to 71 set', 'Choose a prefix where they are zero (RFC 6052 section 2.2).')
  return prefix
}

/** How many of the 32 IPv4 bits stand left of the u octet; the rest follows it. */
function bitsBeforeU(length: number): number {
  return length >= 64 ? 0 : 64 - length
}

/** The IPv6 address that stands for `ipv4` under the prefix, with a suffix of zeros. */
export function embed(prefix: Prefix, ipv4: Address): Address {
  if (ipv4.family !== 4) throw new TypeError(`not an IPv4 address: ${ipv4}`)
  if (!LENGTHS.includes(prefix.length)) throw new RangeError(`not a translation prefix: ${prefix}`)
  if (prefix.length === 96) return new Address(6, prefix.address.value | ipv4.value)
  const before = bitsBeforeU(prefix.length)
  const after = 32 - before
  const high = (ipv4.value >> BigInt(after)) << 64n
  // The rest begins at bit 72, that is 56 bits above the end, and is `after` bits wide.
  const low = (ipv4.value & ((1n << BigInt(after)) - 1n)) << BigInt(56 - after)
  return new Address(6, prefix.address.value | high | low)
}

/** The IPv4 address in an IPv6 address under the prefix; the suffix is ignored, a u octet other than zero is not. */
export function extract(prefix: Prefix, ipv6: Address): Address | undefined {
  if (!LENGTHS.includes(prefix.length)) throw new RangeError(`not a translation prefix: ${prefix}`)
  if (ipv6.family !== 6 || !prefix.contains(ipv6) || (ipv6.value & U_OCTET) !== 0n) return undefined
  if (prefix.length === 96) return new Address(4, ipv6.value & 0xffffffffn)
  const before = bitsBeforeU(prefix.length)
  const after = 32 - before
  const high = ((ipv6.value >> 64n) & ((1n << BigInt(before)) - 1n)) << BigInt(after)
  const low = (ipv6.value >> BigInt(56 - after)) & ((1n << BigInt(after)) - 1n)
  return new Address(4, high | low)
}

/**
 * IPv4 ranges that are not globally reachable: the IANA special-purpose registry (RFC 6890), and multicast,
 * which nothing here translates.
 */
const NON_GLOBAL = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map(parsePrefix)

/**
 * Exceptions within 192.0.0.0/24: PCP and TURN anycast are reachable (RFC 7723, RFC 8155), and the two
 * addresses of ipv4only.arpa exist to be synthesised (RFC 7050 section 8.1).
 */
const GLOBAL = ['192.0.0.9/32', '192.0.0.10/32', '192.0.0.170/31'].map(parsePrefix)

/** Whether this address, or any of this prefix, must not appear under the well-known prefix (RFC 6052 section 3.1). */
export function isNonGlobal(ipv4: Address | Prefix): boolean {
  const ranges = NON_GLOBAL.filter((range) => (ipv4 instanceof Prefix ? range.overlaps(ipv4) : range.contains(ipv4)))
  return ranges.length > 0 && !GLOBAL.some((range) => range.contains(ipv4))
}

/** Whether no address of the IPv4 prefix may appear under the well-known prefix. */
export function isWhollyNonGlobal(ipv4: Prefix): boolean {
  return NON_GLOBAL.some((range) => range.contains(ipv4)) && !GLOBAL.some((range) => range.overlaps(ipv4))
}

/** Whether RFC 6052 section 3.1 forbids this address, or any of this IPv4 prefix, under this translation prefix. */
export function forbidsUnder(prefix: Prefix, ipv4: Address | Prefix, allowNonGlobal: boolean): boolean {
  return !allowNonGlobal && prefix.equals(WELL_KNOWN_PREFIX) && isNonGlobal(ipv4)
}
