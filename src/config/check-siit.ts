// SPDX-License-Identifier: Apache-2.0
/** Rules about stateless translation: its prefix and the explicit address mappings (RFC 7757). */
import { type Prefix, parseInterfaceAddress, parsePrefix } from '../net/address.ts'
import { isIllegal, kindOf } from '../net/kind.ts'
import { PrefixMap } from '../net/prefix-map.ts'
import { WELL_KNOWN_PREFIX } from '../net/rfc6052.ts'
import type { Check, Report } from './check-rule.ts'
import { parseRoute } from './formats.ts'
import type { Config } from './schema.ts'

const OWN_PREFIX = 'Choose a prefix that is used for nothing else.'
const OTHER_ADDRESSES = 'Map IPv4 addresses that are used for nothing else.'

export const siitChecks: readonly Check[] = [
  { needs: ['/siit'], run: something },
  { needs: ['/siit/prefix', '/nat64/prefixes', '/interfaces'], run: prefix },
  { needs: ['/siit/map'], run: suffixes },
  { needs: ['/siit/map'], run: identical },
  { needs: ['/siit/map', '/siit/prefix', '/nat64/prefixes'], run: mappedIpv6 },
  { needs: ['/siit/map', '/nat64/pools', '/interfaces'], run: mappedIpv4 },
]

function something({ siit }: Config, report: Report): void {
  if (siit && siit.prefix === undefined && siit.map.length === 0)
    report('/siit', 'has neither a prefix nor a map', 'Write siit.prefix, siit.map, or leave siit out.')
}

function prefix({ siit, nat64, interfaces }: Config, report: Report): void {
  if (siit?.prefix === undefined) return
  const path = '/siit/prefix'
  const own = parsePrefix(siit.prefix)
  const index = (nat64?.prefixes ?? []).findIndex((text) => parsePrefix(text).overlaps(own))
  if (index >= 0) report(path, `${own} overlaps ${nat64?.prefixes[index]} at /nat64/prefixes/${index}`, OWN_PREFIX)
  if (own.contains(WELL_KNOWN_PREFIX) && !own.equals(WELL_KNOWN_PREFIX))
    report(path, `${own} contains the well-known prefix`, `Write ${WELL_KNOWN_PREFIX} (RFC 6052 section 2.1).`)
  else if (isIllegal(own))
    report(path, `${own} holds addresses that cannot be routed`, 'Choose a global or a unique local prefix.')
  for (const [link, { addresses = [], routes = [] }] of interfaces.entries()) {
    for (const [at, text] of addresses.entries())
      if (parseInterfaceAddress(text).prefix.overlaps(own))
        report(`/interfaces/${link}/addresses/${at}`, `${text} overlaps the translation prefix ${own}`, OWN_PREFIX)
    for (const [at, text] of routes.entries())
      if (own.contains(parseRoute(text).prefix))
        report(
          `/interfaces/${link}/routes/${at}`,
          `${text} leads away from the translator what is under ${own}`,
          OWN_PREFIX,
        )
  }
}

/** RFC 7757 section 3.1: the IPv6 suffix must have room for the IPv4 suffix. */
function suffixes({ siit }: Config, report: Report): void {
  for (const [index, { ipv6, ipv4 }] of (siit?.map ?? []).entries()) {
    const six = parsePrefix(ipv6)
    const four = parsePrefix(ipv4)
    const room = 128 - six.length
    const need = 32 - four.length
    if (room < need)
      report(
        `/siit/map/${index}/ipv6`,
        `${six} leaves ${room} bits for the ${need} that tell the hosts of ${four} apart`,
        `Write an IPv6 prefix of ${128 - need} bits or fewer, or an IPv4 prefix of ${32 - room} bits or more.`,
      )
  }
}

/** Of two mappings that overlap the longer wins; of two with one prefix none would. */
function identical({ siit }: Config, report: Report): void {
  const seen = new Map<string, string>()
  for (const [index, entry] of (siit?.map ?? []).entries())
    for (const key of ['ipv6', 'ipv4'] as const) {
      const path = `/siit/map/${index}/${key}`
      const before = seen.get(entry[key])
      if (before) report(path, `${entry[key]} is mapped already at ${before}`, 'Map each prefix once.')
      else seen.set(entry[key], path)
    }
}

/** A mapped host must not lie where IPv4 hosts appear: its packets would be routed to the translator. */
function mappedIpv6({ siit, nat64 }: Config, report: Report): void {
  if (!siit) return
  const taken: [Prefix, string][] = (nat64?.prefixes ?? []).map((text, at) => [
    parsePrefix(text),
    `/nat64/prefixes/${at}`,
  ])
  if (siit.prefix !== undefined) taken.push([parsePrefix(siit.prefix), '/siit/prefix'])
  for (const [index, { ipv6 }] of siit.map.entries()) {
    const path = `/siit/map/${index}/ipv6`
    const six = parsePrefix(ipv6)
    if (isIllegal(six)) report(path, `${six} (${kindOf(six.address)}) cannot be a host`, 'Write unicast addresses.')
    const other = taken.find(([one]) => one.overlaps(six))
    if (other)
      report(path, `${six} overlaps the translation prefix ${other[0]} at ${other[1]}`, 'Map the addresses of hosts.')
  }
}

/** IPv4 addresses that mean something else already: a pool's, the gateway's own, a router's, a broadcast. */
function mappedIpv4({ siit, nat64, interfaces }: Config, report: Report): void {
  if (!siit) return
  const mapped = new PrefixMap<string>()
  for (const [index, { ipv4 }] of siit.map.entries()) {
    const path = `/siit/map/${index}/ipv4`
    const four = parsePrefix(ipv4)
    if (isIllegal(four)) report(path, `${four} (${kindOf(four.address)}) cannot be a host`, 'Write unicast addresses.')
    if (mapped.exact(four) === undefined) mapped.set(four, path)
  }
  const taken = [
    ...(nat64?.pools ?? []).flatMap(({ addresses }, pool) =>
      addresses.map((text, at) => ({
        prefix: parsePrefix(text),
        what: (one: Prefix) => `overlaps the pool ${one} at /nat64/pools/${pool}/addresses/${at}`,
      })),
    ),
    ...interfaces.flatMap(({ addresses = [], routes = [] }) => [
      ...addresses.map(parseInterfaceAddress).flatMap(({ address, prefix: subnet }) => [
        { prefix: hostOf(String(address)), what: () => `contains ${address}, an address of this host` },
        ...(subnet.family === 4 && subnet.length < 31
          ? [
              {
                prefix: hostOf(String(subnet.last)),
                what: () => `contains ${subnet.last}, the broadcast address of a link`,
              },
            ]
          : []),
      ]),
      ...routes
        .map((text) => parseRoute(text).via)
        .flatMap((via) =>
          via ? [{ prefix: hostOf(String(via)), what: () => `contains ${via}, the next hop of a route` }] : [],
        ),
    ]),
  ]
  for (const { prefix: other, what } of taken) {
    if (other.family !== 4) continue
    for (const [four, path] of overlapping(mapped, other)) report(path, `${four} ${what(other)}`, OTHER_ADDRESSES)
  }
}

function hostOf(address: string): Prefix {
  return parsePrefix(`${address}/${address.includes(':') ? 128 : 32}`)
}

/** Mapped prefixes that contain the other, or lie in it. */
function* overlapping(mapped: PrefixMap<string>, other: Prefix): Generator<[Prefix, string]> {
  let around = false
  for (const { prefix: one, value } of mapped.matches(other)) {
    around = true
    yield [one, value]
  }
  if (!around && other.length < 32) for (const [one, path] of mapped) if (other.contains(one)) yield [one, path]
}
