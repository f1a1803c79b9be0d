// SPDX-License-Identifier: Apache-2.0
/** Rules about translation prefixes, pools and static bindings. */
import type { Fault } from '../errors.ts'
import {
  type Address,
  type Prefix,
  parseAddress,
  parseEndpoint,
  parseInterfaceAddress,
  parsePrefix,
} from '../net/address.ts'
import { isIllegal, kindOf } from '../net/kind.ts'
import { PrefixMap } from '../net/prefix-map.ts'
import { forbidsUnder, WELL_KNOWN_PREFIX } from '../net/rfc6052.ts'
import type { Check, Report } from './check-rule.ts'
import { type PortRange, parsePortRange, parseRoute } from './formats.ts'
import type { Config, PoolConfig } from './schema.ts'
import { parseDuration } from './units.ts'

/** Ports of 1024 and above that a host keeps on an address that it shares with a pool. */
const HOST_PORTS = 1024

const OWN_PREFIX = 'Choose a prefix that is used for nothing else.'

/** One prefix of one pool. */
interface Share {
  readonly path: string
  readonly prefix: Prefix
  readonly ports: PortRange
}

export const nat64Checks: readonly Check[] = [
  { needs: ['/nat64/prefixes'], run: prefixes },
  { needs: ['/nat64/prefixes', '/interfaces'], run: prefixesAgainstInterfaces },
  { needs: ['/nat64/prefixes', '/nat64/allowNonGlobal', '/nat64/pools'], run: wellKnownPrefix },
  { needs: ['/nat64/pools'], run: pools },
  { needs: ['/nat64/pools', '/interfaces'], run: poolsAgainstInterfaces },
  { needs: ['/nat64/pools', '/nat64/static'], run: staticOutside },
  { needs: ['/nat64/prefixes', '/nat64/static'], run: staticInside },
  { needs: ['/nat64/timeouts'], run: timeouts },
  { needs: ['/translation/icmpSourceV4', '/translation/icmpSourceV6'], run: icmpSources },
]

function prefixes(config: Config, report: Report): void {
  const seen = new PrefixList()
  for (const [index, text] of (config.nat64?.prefixes ?? []).entries()) {
    const path = `/nat64/prefixes/${index}`
    const prefix = parsePrefix(text)
    const other = seen.overlapping(prefix)
    if (other)
      report(path, `${prefix} overlaps ${other.prefix} at ${other.path}`, 'Choose prefixes that do not overlap.')
    else if (prefix.contains(WELL_KNOWN_PREFIX) && !prefix.equals(WELL_KNOWN_PREFIX))
      report(path, `${prefix} contains the well-known prefix`, `Write ${WELL_KNOWN_PREFIX} (RFC 6052 section 2.1).`)
    else if (isIllegal(prefix))
      report(path, `${prefix} holds addresses that cannot be routed`, 'Choose a global or a unique local prefix.')
    seen.add(prefix, path)
  }
}

/** A translation prefix on a link, or behind a route, would never reach the translator. */
function prefixesAgainstInterfaces(config: Config, report: Report): void {
  const own = new PrefixList()
  for (const [index, text] of (config.nat64?.prefixes ?? []).entries())
    own.add(parsePrefix(text), `/nat64/prefixes/${index}`)
  for (const [index, { addresses = [], routes = [] }] of config.interfaces.entries()) {
    for (const [at, text] of addresses.entries()) {
      const other = own.overlapping(parseInterfaceAddress(text).prefix)
      if (other)
        report(
          `/interfaces/${index}/addresses/${at}`,
          `${text} overlaps the translation prefix ${other.prefix}`,
          OWN_PREFIX,
        )
    }
    for (const [at, text] of routes.entries()) {
      const other = own.containing(parseRoute(text).prefix)
      if (other)
        report(
          `/interfaces/${index}/routes/${at}`,
          `${text} leads away from the translator what is under ${other.prefix}`,
          OWN_PREFIX,
        )
    }
  }
}

/** RFC 6052 section 3.1: pool addresses appear under the prefix when a client calls another (hairpinning). */
function wellKnownPrefix({ nat64 }: Config, report: Report): void {
  if (!nat64?.prefixes.every((text) => parsePrefix(text).equals(WELL_KNOWN_PREFIX))) return
  for (const { prefix, path } of shares(nat64.pools)) {
    if (!forbidsUnder(WELL_KNOWN_PREFIX, prefix, nat64.allowNonGlobal)) continue
    report(
      path,
      `${prefix} (${kindOf(prefix.address)}) is not global, and ${WELL_KNOWN_PREFIX} must not carry it (RFC 6052 section 3.1)`,
      'Set nat64.allowNonGlobal: true, or use a network-specific prefix in nat64.prefixes.',
    )
  }
}

function pools({ nat64 }: Config, report: Report): void {
  const seen = new PrefixMap<Share[]>()
  // Shortest first, so that whatever overlaps a prefix is already there and contains it.
  const all = [...shares(nat64?.pools ?? [])].sort((a, b) => a.prefix.length - b.prefix.length)
  for (const share of all) {
    const { path, prefix, ports } = share
    if (isIllegal(prefix))
      report(
        path,
        `${prefix} (${kindOf(prefix.address)}) cannot be the source of a packet`,
        'Choose unicast addresses.',
      )
    const other = [...seen.matches(prefix)].flatMap(({ value }) => value).find((one) => overlap(one.ports, ports))
    if (other) reportOverlap(share, other, report)
    const same = seen.exact(prefix)
    if (same) same.push(share)
    else seen.set(prefix, [share])
  }
}

/** The fault stands at the one written later. */
function reportOverlap(one: Share, other: Share, report: Report): void {
  const [first, second] = isBefore(one.path, other.path) ? [one, other] : [other, one]
  const ports = `${Math.max(first.ports.first, second.ports.first)}-${Math.min(first.ports.last, second.ports.last)}`
  report(
    second.path,
    `${second.prefix} shares the ports ${ports} with ${first.prefix} at ${first.path}`,
    'Choose addresses or ports that do not overlap.',
  )
}

function isBefore(a: string, b: string): boolean {
  return a.localeCompare(b, 'en', { numeric: true }) < 0
}

function poolsAgainstInterfaces(config: Config, report: Report): void {
  if (!config.nat64) return
  const addresses = config.interfaces.flatMap((link) => (link.addresses ?? []).map(parseInterfaceAddress))
  for (const { path, message, remedy } of checkPoolsAgainstHost(
    config,
    addresses.map(({ address }) => String(address)),
  ))
    report(path, message, remedy ?? '')
  const nextHops = config.interfaces.flatMap((link) => (link.routes ?? []).map((text) => parseRoute(text).via))
  const broadcasts = addresses
    .filter(({ prefix }) => prefix.family === 4 && prefix.length < 31)
    .map(({ prefix }) => prefix.last)
  for (const { path, prefix } of shares(config.nat64.pools)) {
    const router = nextHops.find((via) => via && prefix.contains(via))
    if (router)
      report(path, `${prefix} contains ${router}, the next hop of a route`, 'Leave that address out of the pool.')
    const broadcast = broadcasts.find((address) => prefix.contains(address))
    if (broadcast)
      report(
        path,
        `${prefix} contains ${broadcast}, the broadcast address of a link`,
        'Leave that address out of the pool.',
      )
  }
  for (const [index, pool] of config.nat64.pools.entries())
    if (pool.announce && !config.interfaces.some(({ role }) => role === 'outside'))
      report(
        `/nat64/pools/${index}/announce`,
        'is set, but no interface has the role outside',
        'Add the outside link to interfaces, or leave announce out.',
      )
}

/**
 * A pool may share an address with the host, when the host keeps ports of its own on it. The caller gives the
 * addresses that the host has; those in the configuration are checked without it.
 */
export function checkPoolsAgainstHost(config: Config, hostAddresses: readonly string[]): Fault[] {
  const faults: Fault[] = []
  const all = [...shares(config.nat64?.pools ?? [])]
  for (const host of new Set(hostAddresses.map((text) => String(parseAddress(text))))) {
    const sharing = all.filter(({ prefix }) => prefix.contains(parseAddress(host)))
    const taken = sharing.reduce((sum, { ports }) => sum + Math.max(0, ports.last - Math.max(ports.first, 1024) + 1), 0)
    const [first] = sharing
    if (!first || 65536 - 1024 - taken >= HOST_PORTS) continue
    const { ports, path, prefix } = first
    faults.push({
      path,
      message: `${prefix} contains ${host}, an address of this host, and the ports ${ports.first}-${ports.last} leave the host ${65536 - 1024 - taken} of its own`,
      remedy: `Write ports: "10000-59999" for this pool, or choose addresses that the host does not have.`,
    })
  }
  return faults
}

function staticOutside({ nat64 }: Config, report: Report): void {
  const pool = new PrefixMap<Share[]>()
  for (const share of shares(nat64?.pools ?? [])) pool.set(share.prefix, [...(pool.exact(share.prefix) ?? []), share])
  const seen = new Map<string, number>()
  for (const [index, { protocol, outside }] of (nat64?.static ?? []).entries()) {
    const path = `/nat64/static/${index}/outside`
    const { address, port } = parseEndpoint(outside)
    const around = [...pool.matches(address)].flatMap(({ value }) => value)
    if (around.length === 0)
      report(path, `${address} is in no pool`, 'Add the address to a pool, or choose one from a pool.')
    else if (!around.some(({ ports }) => ports.first <= port && port <= ports.last))
      report(
        path,
        `port ${port} is not among the ports of its pool, ${around.map(({ ports }) => `${ports.first}-${ports.last}`).join(', ')}`,
        'Choose a port of the pool, or widen its ports.',
      )
    once(seen, `${protocol} ${outside}`, index, path, '/outside', report)
  }
}

function staticInside({ nat64 }: Config, report: Report): void {
  const translated = (nat64?.prefixes ?? []).map(parsePrefix)
  const seen = new Map<string, number>()
  for (const [index, { protocol, inside }] of (nat64?.static ?? []).entries()) {
    const path = `/nat64/static/${index}/inside`
    const { address } = parseEndpoint(inside)
    if (isIllegal(address))
      report(path, `${address} (${kindOf(address)}) cannot be a client`, 'Write a global or unique local address.')
    if (translated.some((prefix) => prefix.contains(address)))
      report(path, `${address} is under a translation prefix`, 'Write the address of an IPv6 host.')
    once(seen, `${protocol} ${inside}`, index, path, '/inside', report)
  }
}

function once(seen: Map<string, number>, what: string, index: number, path: string, key: string, report: Report): void {
  const before = seen.get(what)
  if (before === undefined) seen.set(what, index)
  else report(path, `${what} is bound already at /nat64/static/${before}${key}`, 'Bind each transport address once.')
}

function timeouts({ nat64 }: Config, report: Report): void {
  if (!nat64) return
  const { tcpEstablished, tcpTransitory } = nat64.timeouts
  if (parseDuration(tcpTransitory) > parseDuration(tcpEstablished))
    report(
      '/nat64/timeouts/tcpTransitory',
      `is ${tcpTransitory}, longer than tcpEstablished, ${tcpEstablished}`,
      `Write ${tcpEstablished} or less.`,
    )
}

function icmpSources({ translation }: Config, report: Report): void {
  for (const key of ['icmpSourceV4', 'icmpSourceV6'] as const)
    for (const [index, text] of translation[key].entries()) {
      const address = parseAddress(text)
      if (isIllegal(address))
        report(
          `/translation/${key}/${index}`,
          `${text} (${kindOf(address)}) cannot be the source of a packet`,
          'Write a unicast address.',
        )
    }
}

function* shares(all: readonly PoolConfig[]): Generator<Share> {
  for (const [index, pool] of all.entries()) {
    const ports = parsePortRange(pool.ports)
    for (const [at, text] of pool.addresses.entries())
      yield { path: `/nat64/pools/${index}/addresses/${at}`, prefix: parsePrefix(text), ports }
  }
}

function overlap(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last
}

/** A short list of prefixes and where they are written. */
class PrefixList {
  readonly #entries: { readonly prefix: Prefix; readonly path: string }[] = []

  add(prefix: Prefix, path: string): void {
    this.#entries.push({ prefix, path })
  }

  overlapping(prefix: Prefix) {
    return this.#entries.find((entry) => entry.prefix.overlaps(prefix))
  }

  containing(what: Prefix | Address) {
    return this.#entries.find((entry) => entry.prefix.contains(what))
  }
}
