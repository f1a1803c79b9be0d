// SPDX-License-Identifier: Apache-2.0
/** What works and is yet hardly what was meant. A configuration is used with its warnings; the operator is told. */
import type { Fault } from '../errors.ts'
import { type Prefix, parseAddress, parseEndpoint, parsePrefix } from '../net/address.ts'
import { kindOf } from '../net/kind.ts'
import { PrefixMap } from '../net/prefix-map.ts'
import type { Check, Report } from './check-rule.ts'
import type { Config } from './schema.ts'
import { parseDuration } from './units.ts'

/** Of one kind; a table of thousands of mappings makes no thousands of lines. */
const MOST = 10

const WARNINGS: readonly Check['run'][] = [
  ...[
    nested,
    pref64,
    synthesis,
    privateSources,
    idleAmend,
    idlePolicy,
    unreached,
    shortTimeouts,
    openResolver,
    nobodyMayAsk,
    noBlocks,
  ],
]

/** Of a configuration that is valid. */
export function warningsOf(config: Config): Fault[] {
  return WARNINGS.flatMap((look) => {
    const found: Fault[] = []
    look(config, (path, message, remedy) => found.push({ path, message, remedy }))
    const rest = found.length - MOST
    const last = found[MOST - 1]
    if (rest > 0 && last) found[MOST - 1] = { ...last, message: `${last.message} (and ${rest} more like this)` }
    return found.slice(0, MOST)
  })
}

interface Place {
  readonly prefix: Prefix
  readonly path: string
}

/** RFC 7757 section 5: of two mappings that overlap the longer wins, and a host may come back as another. */
function nested({ siit }: Config, report: Report): void {
  for (const key of ['ipv4', 'ipv6'] as const) {
    const all = (siit?.map ?? []).map((entry, index) => ({
      prefix: parsePrefix(entry[key]),
      path: `/siit/map/${index}/${key}`,
    }))
    const paths = new PrefixMap(all.map(({ prefix, path }) => [prefix, path] as const))
    for (const [outer, inner] of groups(all, paths)) {
      const [first] = inner
      const others = inner.length > 1 ? ` and ${inner.length - 1} more` : ''
      report(
        paths.exact(outer) ?? '',
        `${outer} contains ${first?.prefix} at ${first?.path}${others}; the longer prefix wins, so that a host may be translated to one address and back to another (RFC 7757 section 5)`,
        'Write mappings that do not overlap, or see that no host uses what the longer one takes out.',
      )
    }
  }
}

/** Each prefix that holds others, with those that lie in it directly. */
function groups(all: readonly Place[], paths: PrefixMap<string>): Map<Prefix, Place[]> {
  const found = new Map<Prefix, Place[]>()
  for (const place of all) {
    const outer = [...paths.matches(place.prefix)].find(({ prefix }) => prefix.length < place.prefix.length)?.prefix
    if (!outer) continue
    const group = found.get(outer)
    if (group) group.push(place)
    else found.set(outer, [place])
  }
  return found
}

/** Clients would send what nobody here translates; another gateway may. */
function pref64(config: Config, report: Report): void {
  const known = [...translated(config), ...(config.dns64?.prefixes ?? [])]
  for (const [index, { pref64: own }] of config.advertise.entries())
    if (own !== undefined && known.length > 0 && !known.includes(own))
      report(
        `/advertise/${index}/pref64`,
        `${own} is not a translation prefix of this gateway`,
        `Write ${[...new Set(known)].join(' or ')}, unless another gateway translates it.`,
      )
}

/** DNS64 alone serves a translator elsewhere; beside one of our own the prefixes are hardly apart on purpose. */
function synthesis(config: Config, report: Report): void {
  const known = translated(config)
  const { dns64 } = config
  if (!dns64 || known.length === 0) return
  const written = [
    ...(dns64.prefixes ?? []).map((prefix, index) => [prefix, `/dns64/prefixes/${index}`] as const),
    ...dns64.rules.map(({ prefix }, index) => [prefix, `/dns64/rules/${index}/prefix`] as const),
  ]
  for (const [prefix, path] of written)
    if (!known.includes(prefix))
      report(
        path,
        `${prefix} is synthesised here, but not translated`,
        `Write ${known.join(' or ')}, unless another gateway translates it.`,
      )
}

function translated({ nat64, siit }: Config): string[] {
  return [...(nat64?.prefixes ?? []), ...(siit?.prefix === undefined ? [] : [siit.prefix])]
}

/** RFC 6791 section 3.1: filters on the way drop what comes from there (RFC 3704). */
function privateSources({ translation }: Config, report: Report): void {
  for (const [index, text] of translation.icmpSourceV4.entries()) {
    const kind = kindOf(parseAddress(text))
    if (kind === 'private' || kind === 'shared')
      report(
        `/translation/icmpSourceV4/${index}`,
        `${text} (${kind}) may be filtered on its way (RFC 6791 section 3.1)`,
        'Write a public address of yours, unless no IPv4 host is outside your network.',
      )
  }
}

/** NAT64 always computes them (RFC 6146 section 3.4). */
function idleAmend({ siit, translation }: Config, report: Report): void {
  if (translation.amendUdpChecksumZero && !siit)
    report('/translation/amendUdpChecksumZero', 'is set, but there is no siit', 'Add siit, or leave it out.')
}

function idlePolicy({ nat64, siit, policy }: Config, report: Report): void {
  if (policy.length > 0 && !nat64 && !siit)
    report('/policy', 'is about what is translated, but there is neither nat64 nor siit', 'Add one, or leave it out.')
}

/** Behind a verdict on everything. */
function unreached({ policy }: Config, report: Report): void {
  const end = policy.findIndex(
    ({ verdict, clients, to, protocol }) =>
      verdict !== undefined && clients.length === 0 && to.length === 0 && protocol === undefined,
  )
  for (const index of end < 0 ? [] : policy.keys())
    if (index > end)
      report(
        `/policy/${index}`,
        `is never asked: /policy/${end} decides about everything`,
        'Write it before that node.',
      )
}

/** What the RFCs ask for at least; shorter ones save state and cut off the patient. */
function shortTimeouts({ nat64 }: Config, report: Report): void {
  if (!nat64) return
  const least = { tcpEstablished: '2h4m', tcpTransitory: '4m', icmp: '1m' } as const
  const source = { tcpEstablished: 'RFC 5382 REQ-5', tcpTransitory: 'RFC 5382 REQ-5', icmp: 'RFC 5508 REQ-2' } as const
  for (const key of ['tcpEstablished', 'tcpTransitory', 'icmp'] as const)
    if (parseDuration(nat64.timeouts[key]) < parseDuration(least[key]))
      report(
        `/nat64/timeouts/${key}`,
        `is ${nat64.timeouts[key]}, less than the ${least[key]} of ${source[key]}`,
        `Write ${least[key]} or more, unless the table is too small for it.`,
      )
}

/** Whoever sends with a forged source makes such a resolver flood the one who has that address. */
function openResolver({ dns64 }: Config, report: Report): void {
  for (const [index, text] of (dns64?.clients ?? []).entries())
    if (parsePrefix(text).length === 0)
      report(`/dns64/clients/${index}`, `${text} lets anyone ask`, 'Write the prefixes of your own clients.')
}

function nobodyMayAsk({ api }: Config, report: Report): void {
  if (api.tokens.length > 0) return
  for (const [index, text] of api.listen.entries())
    if (kindOf(parseEndpoint(text).address.unmapped()) !== 'loopback')
      report(
        `/api/listen/${index}`,
        `${text} is reached from other hosts, but there is no token to use it with`,
        'Add a token to api.tokens, or listen on [::1] only.',
      )
}

/** The single ports of a pool without blocks would be in no line of the log. */
function noBlocks({ log, nat64 }: Config, report: Report): void {
  if (log.bindings?.events !== 'blocks') return
  for (const [index, { blockSize }] of (nat64?.pools ?? []).entries())
    if (blockSize === 0)
      report(
        '/log/bindings/events',
        `is blocks, but /nat64/pools/${index} lends single ports, of which nothing is logged`,
        'Give the pool a blockSize, or write events: bindings.',
      )
}
