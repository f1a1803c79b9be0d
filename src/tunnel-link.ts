// SPDX-License-Identifier: Apache-2.0
/** What follows from a tunnel's configuration: its addresses, its MTU, and which IPv4 address a route leads to. Pure. */
import { parseRoute } from './config/formats.ts'
import type { TunnelConfig } from './config/schema.ts'
import { Address, type Prefix, parseAddress, parsePrefix } from './net/address.ts'
import {
  compatibleHost,
  type Domain,
  delegatedPrefix,
  isatapAddress,
  isatapHost,
  isatapLinkLocal,
  SIX_TO_FOUR_DOMAIN,
  siteOf,
  tunnelLinkLocal,
} from './net/embedded.ts'

/** RFC 4213 sections 3.2.1 and 3.2.2: an Ethernet's 1500 bytes less the outer header, or what is always safe. */
const DYNAMIC_MTU = 1480
const STATIC_MTU = 1280

const EVERYTHING = parsePrefix('0.0.0.0/0')

/** The domain of a mode that has one. */
export function domainOf({ mode, prefix, ipv4Prefix }: TunnelConfig): Domain | undefined {
  if (mode === '6to4') return SIX_TO_FOUR_DOMAIN
  if (mode !== '6rd' || prefix === undefined) return undefined
  return { prefix: parsePrefix(prefix), ipv4Prefix: ipv4Prefix === undefined ? EVERYTHING : parsePrefix(ipv4Prefix) }
}

export function mtuOf({ mtu, pathMtu }: TunnelConfig): number {
  return mtu ?? (pathMtu ? DYNAMIC_MTU : STATIC_MTU)
}

/** The prefix of this site, of 6to4 and 6rd. */
export function ownPrefix(tunnel: TunnelConfig): Prefix | undefined {
  const domain = domainOf(tunnel)
  return domain && delegatedPrefix(domain, parseAddress(tunnel.local))
}

/** This end's address of link-local scope: the kernel gives its own tunnels the same. */
export function linkLocal({ mode, local }: TunnelConfig): string {
  const ipv4 = parseAddress(local)
  return `${mode === 'isatap' ? isatapLinkLocal(ipv4) : tunnelLinkLocal(ipv4)}/64`
}

/**
 * Addresses with the prefix that is on the link: for 6to4 and 6rd the whole domain, so that a route leads there. The
 * first subnet of a site is the operator's, and its first address this end's.
 */
export function addressesOf(tunnel: TunnelConfig): string[] {
  const { mode, local, prefix, addresses } = tunnel
  const derived: string[] = []
  const domain = domainOf(tunnel)
  const site = ownPrefix(tunnel)
  if (domain && site) derived.push(`${new Address(6, site.address.value | 1n)}/${domain.prefix.length}`)
  if (mode === 'isatap' && prefix !== undefined) {
    const link = parsePrefix(prefix)
    derived.push(`${isatapAddress(link, parseAddress(local))}/${link.length}`)
  }
  return [...new Set([...derived, ...addresses])]
}

/** The IPv4 address that an IPv6 address of the link names. */
export function embeddedIn(tunnel: TunnelConfig, address: Address): Address | undefined {
  const domain = domainOf(tunnel)
  if (domain) return siteOf(domain, address)
  return tunnel.mode === 'isatap' ? isatapHost(address) : undefined
}

/** Where all goes that names no IPv4 address itself. */
export function routerOf({ relay, routers }: TunnelConfig): Address | undefined {
  const text = relay ?? routers[0]
  return text === undefined ? undefined : parseAddress(text)
}

/** The other end that a route leads to; `embedded` when each address names its own, undefined when there is none. */
export function whereTo(
  tunnel: TunnelConfig,
  prefix: Prefix,
  via: Address | undefined,
): Address | 'embedded' | undefined {
  if (via) return compatibleHost(via) ?? embeddedIn(tunnel, via)
  if (domainOf(tunnel)?.prefix.contains(prefix)) return 'embedded'
  return routerOf(tunnel)
}

export interface TunnelRoute {
  readonly prefix: string
  readonly via: string
}

/** Which prefixes go to which router, besides those whose addresses name their own. */
export function routersOf(tunnel: TunnelConfig): TunnelRoute[] {
  if (tunnel.mode === '6in4') return []
  const routes = tunnel.routes.flatMap((text): TunnelRoute[] => {
    const { prefix, via } = parseRoute(text)
    const end = whereTo(tunnel, prefix, via)
    return end === undefined || end === 'embedded' ? [] : [{ prefix: String(prefix), via: String(end) }]
  })
  // a router may send from any address, and gets what is said to all routers (RFC 5214 section 8.3.4)
  const routers = tunnel.routers.map((text, index) => ({
    prefix: index === 0 ? 'ff02::2/128' : `${isatapLinkLocal(parseAddress(text))}/128`,
    via: text,
  }))
  return [...routes, ...routers, ...(tunnel.relay === undefined ? [] : [{ prefix: '::/0', via: tunnel.relay }])]
}
