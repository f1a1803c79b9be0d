// SPDX-License-Identifier: Apache-2.0
/** What an address is for: the IANA special-purpose registries (RFC 6890) as one table. */
import { Address, Prefix, parsePrefix } from './address.ts'
import { PrefixMap } from './prefix-map.ts'

/** prefix, kind, RFC; the longest match names the kind. */
const KINDS = [
  ['0.0.0.0/0', 'global unicast', 'RFC 791'],
  ['0.0.0.0/8', 'this network', 'RFC 791'],
  ['0.0.0.0/32', 'unspecified', 'RFC 1122'],
  ['10.0.0.0/8', 'private', 'RFC 1918'],
  ['100.64.0.0/10', 'shared', 'RFC 6598'],
  ['127.0.0.0/8', 'loopback', 'RFC 1122'],
  ['169.254.0.0/16', 'link-local', 'RFC 3927'],
  ['172.16.0.0/12', 'private', 'RFC 1918'],
  ['192.0.0.0/24', 'protocol assignment', 'RFC 6890'],
  ['192.0.0.0/29', 'IPv4 service continuity', 'RFC 7335'],
  ['192.0.0.170/31', 'ipv4only.arpa', 'RFC 7050'],
  ['192.0.2.0/24', 'documentation', 'RFC 5737'],
  ['192.88.99.0/24', '6to4 relay anycast', 'RFC 7526'],
  ['192.168.0.0/16', 'private', 'RFC 1918'],
  ['198.18.0.0/15', 'benchmarking', 'RFC 2544'],
  ['198.51.100.0/24', 'documentation', 'RFC 5737'],
  ['203.0.113.0/24', 'documentation', 'RFC 5737'],
  ['224.0.0.0/4', 'multicast', 'RFC 5771'],
  ['240.0.0.0/4', 'reserved', 'RFC 1112'],
  ['255.255.255.255/32', 'broadcast', 'RFC 919'],
  ['::/0', 'reserved', 'RFC 4291'],
  ['::/96', 'IPv4-compatible', 'RFC 4291'],
  ['::/128', 'unspecified', 'RFC 4291'],
  ['::1/128', 'loopback', 'RFC 4291'],
  ['::ffff:0:0/96', 'IPv4-mapped', 'RFC 4291'],
  ['::ffff:0:0:0/96', 'IPv4-translated', 'RFC 2765'],
  ['64:ff9b::/96', 'NAT64 well-known prefix', 'RFC 6052'],
  ['64:ff9b:1::/48', 'NAT64 local-use prefix', 'RFC 8215'],
  ['100::/64', 'discard', 'RFC 6666'],
  ['2000::/3', 'global unicast', 'RFC 4291'],
  ['2001::/23', 'protocol assignment', 'RFC 2928'],
  ['2001::/32', 'Teredo', 'RFC 4380'],
  ['2001:2::/48', 'benchmarking', 'RFC 5180'],
  ['2001:10::/28', 'ORCHID', 'RFC 4843'],
  ['2001:20::/28', 'ORCHIDv2', 'RFC 7343'],
  ['2001:db8::/32', 'documentation', 'RFC 3849'],
  ['2002::/16', '6to4', 'RFC 3056'],
  ['3fff::/20', 'documentation', 'RFC 9637'],
  ['5f00::/16', 'segment routing', 'RFC 9602'],
  ['fc00::/7', 'unique local', 'RFC 4193'],
  ['fe80::/10', 'link-local', 'RFC 4291'],
  ['fec0::/10', 'site-local', 'RFC 3879'],
  ['ff00::/8', 'multicast', 'RFC 4291'],
] as const

export type Kind = (typeof KINDS)[number][1]

const TABLE = new PrefixMap<Kind>(KINDS.map(([prefix, kind]) => [parsePrefix(prefix), kind]))

export function kindOf(address: Address): Kind {
  // The table covers both families whole.
  return TABLE.get(address) as Kind
}

/** Addresses that no packet to or from another host may carry (RFC 1122 section 3.2.1.3, RFC 4291 section 2). */
const ILLEGAL = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/96',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map(parsePrefix)

/** Whether the address, or any address of the prefix, cannot be the unicast address of a host off the link. */
export function isIllegal(what: Address | Prefix): boolean {
  return ILLEGAL.some((range) => (what instanceof Prefix ? range.overlaps(what) : range.contains(what)))
}
