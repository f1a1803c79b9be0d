// SPDX-License-Identifier: Apache-2.0
/** Rules about tunnels of IPv6 over IPv4. */
import { type Address, type Prefix, parseAddress, parseInterfaceAddress, parsePrefix } from '../net/address.ts'
import { delegatedLength } from '../net/embedded.ts'
import { isIllegal, kindOf } from '../net/kind.ts'
import { domainOf, whereTo } from '../tunnel-link.ts'
import type { Check, Report } from './check-rule.ts'
import { parseRoute } from './formats.ts'
import type { Config, TunnelConfig } from './schema.ts'

export const tunnelChecks: readonly Check[] = [
  { needs: ['/tunnels', '/interfaces'], run: names },
  { needs: ['/tunnels'], run: keys },
  { needs: ['/tunnels'], run: outer },
  { needs: ['/tunnels'], run: domains },
  { needs: ['/tunnels'], run: twins },
  { needs: ['/tunnels', '/interfaces'], run: addresses },
  { needs: ['/tunnels', '/interfaces'], run: routes },
  { needs: ['/tunnels', '/nat64', '/siit'], run: translated },
]

/** The keys that a mode has beside those that all have, and which of them it cannot be without. */
const KEYS: Readonly<Record<TunnelConfig['mode'], { has: readonly string[]; needs: readonly string[] }>> = {
  '6in4': { has: ['remote'], needs: ['remote'] },
  '6to4': { has: ['relay'], needs: [] },
  isatap: { has: ['prefix', 'routers'], needs: [] },
  '6rd': { has: ['prefix', 'ipv4Prefix', 'relay'], needs: ['prefix'] },
}
const SOME = ['remote', 'prefix', 'ipv4Prefix', 'relay', 'routers'] as const

function names({ tunnels, interfaces }: Config, report: Report): void {
  const seen = new Map(interfaces.map(({ name }, index) => [name, `/interfaces/${index}`]))
  for (const [index, { name }] of tunnels.entries()) {
    const path = `/tunnels/${index}/name`
    const before = seen.get(name)
    if (before) report(path, `${name} stands already at ${before}`, 'Give each link a name of its own.')
    else seen.set(name, `/tunnels/${index}`)
    if (name === 'lo' || /^sixgate\d/.test(name) || /^sit0$/.test(name))
      report(path, `${name} is the name of another link`, 'Choose another name.')
  }
}

function keys({ tunnels }: Config, report: Report): void {
  for (const [index, tunnel] of tunnels.entries()) {
    const { has, needs } = KEYS[tunnel.mode]
    for (const key of SOME) {
      const value = tunnel[key]
      const given = Array.isArray(value) ? value.length > 0 : value !== undefined
      if (given && !has.includes(key))
        report(`/tunnels/${index}/${key}`, `is not for ${tunnel.mode}`, 'Take it out, or choose another mode.')
      if (!given && needs.includes(key)) report(`/tunnels/${index}`, `${tunnel.mode} has no ${key}`, `Add ${key}: …`)
    }
  }
}

/** RFC 3964 section 5.3.1: what cannot be the end of a tunnel, and for 6to4 what is not unique either. */
const NOT_UNIQUE = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'].map(parsePrefix)

function cannotBeEnd(mode: TunnelConfig['mode'], address: Address): boolean {
  return isIllegal(address) || (mode === '6to4' && NOT_UNIQUE.some((range) => range.contains(address)))
}

function outer({ tunnels }: Config, report: Report): void {
  for (const [index, { mode, local, remote, relay, routers }] of tunnels.entries()) {
    const judge = (key: string, text: string | undefined) => {
      const address = text === undefined ? undefined : parseAddress(text)
      const path = `/tunnels/${index}/${key}`
      if (address && cannotBeEnd(mode, address))
        report(path, `${text} (${kindOf(address)}) cannot be an end of ${mode}`, 'Write the address of a host.')
      else if (key !== 'local' && text === local)
        report(path, `${text} is this end of the tunnel, too`, 'Write the address of the other end.')
    }
    judge('local', local)
    judge('remote', remote)
    judge('relay', relay)
    for (const [at, text] of routers.entries()) judge(`routers/${at}`, text)
  }
}

function domains({ tunnels }: Config, report: Report): void {
  for (const [index, tunnel] of tunnels.entries()) {
    if (tunnel.prefix === undefined) continue
    const path = `/tunnels/${index}/prefix`
    const prefix = parsePrefix(tunnel.prefix)
    if (isIllegal(prefix)) report(path, `${prefix} holds addresses that cannot be routed`, 'Choose another prefix.')
    if (tunnel.mode === 'isatap' && prefix.length !== 64)
      report(path, `${prefix} is no /64, as the interface identifier of ISATAP has 64 bits`, 'Write a /64.')
    const domain = domainOf(tunnel)
    if (tunnel.mode !== '6rd' || !domain) continue
    if (delegatedLength(domain) > 64)
      report(
        path,
        `sites under ${prefix} with the ${32 - domain.ipv4Prefix.length} bits that ${domain.ipv4Prefix} leaves would have a /${delegatedLength(domain)}`,
        'Write a shorter prefix, or a longer ipv4Prefix, so that a site has a /64 or more (RFC 5969 section 4).',
      )
    if (!domain.ipv4Prefix.contains(parseAddress(tunnel.local)))
      report(
        `/tunnels/${index}/local`,
        `${tunnel.local} is not within ${domain.ipv4Prefix}`,
        'Write an address of the domain, or another ipv4Prefix.',
      )
  }
}

/** Which packets are whose must follow from addresses alone. */
function twins({ tunnels }: Config, report: Report): void {
  for (const [index, tunnel] of tunnels.entries())
    for (const [before, other] of tunnels.slice(0, index).entries()) {
      if (other.local !== tunnel.local) continue
      const path = `/tunnels/${index}/local`
      if (tunnel.mode === other.mode && sameLink(tunnel, other))
        report(
          path,
          `${tunnel.mode} from ${tunnel.local} stands already at /tunnels/${before}`,
          'Write each tunnel once.',
        )
      else if (tunnel.remote === undefined && other.remote === undefined && bothKernel(tunnel, other))
        report(
          path,
          `the kernel cannot tell it from /tunnels/${before}, which has this address and no remote either`,
          'Write backend: sixgate for both, or another local address.',
        )
      else if (tunnel.backend !== other.backend && tunnel.backend !== 'auto' && other.backend !== 'auto')
        report(
          `/tunnels/${index}/backend`,
          `is ${tunnel.backend}, but /tunnels/${before} on the same address has ${other.backend}`,
          'Write one backend for all tunnels of an address.',
        )
    }
}

function sameLink(one: TunnelConfig, other: TunnelConfig): boolean {
  if (one.mode === '6in4') return one.remote === other.remote
  if (one.mode !== '6rd' || one.prefix === undefined || other.prefix === undefined) return true
  return parsePrefix(one.prefix).overlaps(parsePrefix(other.prefix))
}

function bothKernel(one: TunnelConfig, other: TunnelConfig): boolean {
  return one.backend === 'kernel' && other.backend === 'kernel'
}

function addresses({ tunnels, interfaces }: Config, report: Report): void {
  const seen = new Map<string, string>()
  for (const [index, link] of interfaces.entries())
    for (const [at, text] of (link.addresses ?? []).entries())
      seen.set(String(parseInterfaceAddress(text).address), `/interfaces/${index}/addresses/${at}`)
  for (const [index, tunnel] of tunnels.entries())
    for (const [at, text] of tunnel.addresses.entries()) {
      const path = `/tunnels/${index}/addresses/${at}`
      const { address } = parseInterfaceAddress(text)
      if (address.family === 4) report(path, `${text} is IPv4, but the tunnel carries IPv6`, 'Write an IPv6 address.')
      const before = seen.get(String(address))
      if (before) report(path, `${address} stands already at ${before}`, 'Write each address once.')
      else seen.set(String(address), path)
    }
}

function routes({ tunnels, interfaces }: Config, report: Report): void {
  const seen = new Map<string, string>()
  for (const [index, link] of interfaces.entries())
    for (const [at, text] of (link.routes ?? []).entries())
      seen.set(String(parseRoute(text).prefix), `/interfaces/${index}/routes/${at}`)
  for (const [index, tunnel] of tunnels.entries())
    for (const [at, text] of tunnel.routes.entries()) {
      const path = `/tunnels/${index}/routes/${at}`
      const { prefix } = parseRoute(text)
      if (prefix.family === 4) {
        report(path, `${prefix} is IPv4, but the tunnel carries IPv6`, 'Write an IPv6 prefix.')
        continue
      }
      const before = seen.get(String(prefix))
      if (before) report(path, `${prefix} has a route already at ${before}`, 'Write one route for each prefix.')
      else seen.set(String(prefix), path)
      nextHop(tunnel, text, path, report)
    }
}

function nextHop(tunnel: TunnelConfig, text: string, path: string, report: Report): void {
  const { prefix, via } = parseRoute(text)
  if (tunnel.mode === '6in4') {
    if (via) report(path, `${via}: a tunnel with one other end needs no next hop`, 'Write the prefix alone.')
    return
  }
  const end = whereTo(tunnel, prefix, via)
  if (end === undefined && via)
    report(
      path,
      `${via} does not name an IPv4 address`,
      'Write the next hop as ::192.0.2.1 or by the rule of the mode.',
    )
  else if (end === undefined)
    report(
      path,
      `leads to no router: ${tunnel.mode} reaches its own addresses only`,
      tunnel.mode === 'isatap' ? 'Add via ADDRESS, or routers.' : 'Add via ADDRESS, or relay.',
    )
  else if (end !== 'embedded' && cannotBeEnd(tunnel.mode, end))
    report(path, `${end} (${kindOf(end)}) cannot be an end of ${tunnel.mode}`, 'Write the address of a router.')
  else if (end !== 'embedded' && String(end) === tunnel.local)
    report(path, `${end} is this end of the tunnel`, 'Write the address of the other end.')
}

/** What a translator and a tunnel would both take for theirs. */
function translated({ tunnels, nat64, siit }: Config, report: Report): void {
  const six: [Prefix, string][] = (nat64?.prefixes ?? []).map((text, at) => [
    parsePrefix(text),
    `/nat64/prefixes/${at}`,
  ])
  if (siit?.prefix !== undefined) six.push([parsePrefix(siit.prefix), '/siit/prefix'])
  const four: [Prefix, string][] = [
    ...(siit?.map ?? []).map(({ ipv4 }, at): [Prefix, string] => [parsePrefix(ipv4), `/siit/map/${at}/ipv4`]),
  ]
  for (const [index, tunnel] of tunnels.entries()) {
    const path = `/tunnels/${index}`
    const local = parseAddress(tunnel.local)
    const mapped = four.find(([one]) => one.contains(local))
    if (mapped)
      report(`${path}/local`, `${local} is mapped at ${mapped[1]}`, 'Choose an address used for nothing else.')
    const own: [Prefix, string][] = [
      ...(tunnel.prefix === undefined ? [] : [[parsePrefix(tunnel.prefix), `${path}/prefix`] as [Prefix, string]]),
      ...tunnel.addresses.map((text, at): [Prefix, string] => [
        parseInterfaceAddress(text).prefix,
        `${path}/addresses/${at}`,
      ]),
    ]
    for (const [prefix, where] of own) {
      const other = six.find(([one]) => one.overlaps(prefix))
      if (other)
        report(where, `${prefix} overlaps the translation prefix ${other[0]} at ${other[1]}`, 'Choose another prefix.')
    }
  }
}
