// SPDX-License-Identifier: Apache-2.0
/** IPv6 addresses that name an IPv4 host: 6to4 (RFC 3056), 6rd (RFC 5969) and ISATAP (RFC 5214). */
import { Address, Prefix, parsePrefix } from './address.ts'
import { kindOf } from './kind.ts'

export const SIX_TO_FOUR = parsePrefix('2002::/16')
const LINK_LOCAL = parsePrefix('fe80::/64')

/** The second half of an ISATAP interface identifier's first word, below the u bit (RFC 5214 section 6.1). */
const ISATAP = 0x5efen
const UNIVERSAL = 0x0200n << 48n
const LOW32 = 0xffff_ffffn

/** A 6rd domain; 6to4 is the one under 2002::/16 whose sites have all 32 bits. */
export interface Domain {
  readonly prefix: Prefix
  /** The bits that all sites share are not in their prefixes (IPv4MaskLen, RFC 5969 section 4). */
  readonly ipv4Prefix: Prefix
}

export const SIX_TO_FOUR_DOMAIN: Domain = { prefix: SIX_TO_FOUR, ipv4Prefix: parsePrefix('0.0.0.0/0') }

/** How long a site's prefix is. */
export function delegatedLength({ prefix, ipv4Prefix }: Domain): number {
  return prefix.length + 32 - ipv4Prefix.length
}

/** The prefix of the site behind an IPv4 address, which lies in the domain (RFC 5969 section 4). */
export function delegatedPrefix(domain: Domain, ipv4: Address): Prefix {
  const length = delegatedLength(domain)
  if (!domain.ipv4Prefix.contains(ipv4) || length > 128) throw new RangeError(`${ipv4} is not of the domain`)
  const suffix = ipv4.value - domain.ipv4Prefix.address.value
  return new Prefix(new Address(6, domain.prefix.address.value | (suffix << BigInt(128 - length))), length)
}

/** The IPv4 address that an address of the domain names. */
export function siteOf(domain: Domain, ipv6: Address): Address | undefined {
  if (!domain.prefix.contains(ipv6)) return undefined
  const bits = BigInt(32 - domain.ipv4Prefix.length)
  const suffix = (ipv6.value >> BigInt(128 - delegatedLength(domain))) & ((1n << bits) - 1n)
  return new Address(4, domain.ipv4Prefix.address.value | suffix)
}

/** RFC 5214 section 6.1: the u bit says that the IPv4 address is globally unique. */
export function isatapIdentifier(ipv4: Address): bigint {
  const universal = kindOf(ipv4) === 'global unicast' ? UNIVERSAL : 0n
  return universal | (ISATAP << 32n) | ipv4.value
}

export function isatapAddress(prefix: Prefix, ipv4: Address): Address {
  return new Address(6, prefix.address.value | isatapIdentifier(ipv4))
}

/** The IPv4 address in an ISATAP interface identifier, with either value of the u bit. */
export function isatapHost(ipv6: Address): Address | undefined {
  const identifier = ipv6.value & 0xffff_ffff_ffff_ffffn
  if ((identifier & ~UNIVERSAL) >> 32n !== ISATAP) return undefined
  return new Address(4, identifier & LOW32)
}

/** `::a.b.c.d`, by which the kernel's sit names a next hop. */
export function compatible(ipv4: Address): Address {
  return new Address(6, ipv4.value)
}

export function compatibleHost(ipv6: Address): Address | undefined {
  return ipv6.value >> 32n === 0n && ipv6.value > 1n ? new Address(4, ipv6.value) : undefined
}

/** The link-local address of a tunnel's end (RFC 4213 section 3.7). */
export function tunnelLinkLocal(ipv4: Address): Address {
  return new Address(6, LINK_LOCAL.address.value | ipv4.value)
}

export function isatapLinkLocal(ipv4: Address): Address {
  return isatapAddress(LINK_LOCAL, ipv4)
}
