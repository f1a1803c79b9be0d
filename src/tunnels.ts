// SPDX-License-Identifier: Apache-2.0
/** Tunnels of IPv6 over IPv4: the kernel's own (sit), or the gateway's where the kernel has none. */
import { parseRoute } from './config/formats.ts'
import type { Config, TunnelConfig } from './config/schema.ts'
import type { Fault } from './errors.ts'
import { type Feature, type Host, type Names, ownIpv4 } from './feature.ts'
import type { Address } from './net/address.ts'
import { compatible, isatapLinkLocal } from './net/embedded.ts'
import { type Desired, NOTHING } from './system/reconcile.ts'
import { deviceSysctl } from './system/sysctl.ts'
import { MAIN_TABLE, type Resource, type Route, type Sit } from './system/system.ts'
import { addressesOf, domainOf, linkLocal, mtuOf, whereTo } from './tunnel-link.ts'

/** IP6_RT_PRIO_USER, which the kernel gives an IPv6 route that names no metric. */
const METRIC = 1024

/** Packets that wait for the gateway's own tunnel: a burst of one TCP window. */
const QUEUE_LENGTH = 4096

export interface Choice {
  readonly backend: 'kernel' | 'sixgate'
  readonly why: string
}

/** All tunnels of one local address are run by one: each would take the packets of the other for its own. */
export function choose({ tunnels }: Pick<Config, 'tunnels'>, tunnel: TunnelConfig, { sit }: Pick<Host, 'sit'>): Choice {
  if (tunnel.backend !== 'auto') return { backend: tunnel.backend, why: 'configured' }
  const beside = tunnels.filter(({ local }) => local === tunnel.local)
  const forced = beside.find(({ backend }) => backend !== 'auto')
  if (forced && forced.backend !== 'auto')
    return { backend: forced.backend, why: `as ${forced.name}, on the same address` }
  if (!sit) return { backend: 'sixgate', why: 'the kernel has no sit' }
  if (beside.filter(({ remote }) => remote === undefined).length > 1)
    return { backend: 'sixgate', why: 'the kernel takes one tunnel without a remote on an address' }
  return { backend: 'kernel', why: 'the kernel has sit' }
}

/** The kernel gives its own the address of link-local scope itself. */
function device(tunnel: TunnelConfig, backend: Choice['backend']): Resource[] {
  const { name: dev } = tunnel
  if (backend === 'kernel') return [sitOf(tunnel)]
  return [
    { kind: 'tun', dev },
    { kind: 'link', dev, attribute: 'addrgenmode', value: 'none' },
    { kind: 'link', dev, attribute: 'txqueuelen', value: String(QUEUE_LENGTH) },
    { kind: 'sysctl', name: deviceSysctl('net.ipv6.conf', dev, 'disable_ipv6'), value: '0' },
  ]
}

function sitOf(tunnel: TunnelConfig): Sit {
  const { name: dev, mode, local, remote = 'any', ttl, tos, pathMtu, routers } = tunnel
  const domain = mode === '6rd' ? domainOf(tunnel) : undefined
  return {
    ...{ kind: 'sit', dev, local, remote, ttl, tos, pmtudisc: pathMtu, isatap: mode === 'isatap' },
    ...{ prefix: String(domain?.prefix ?? ''), relayPrefix: String(domain?.ipv4Prefix ?? '') },
    routers: routers.join(','),
  }
}

/** The gateway's own tunnels know themselves where a route leads; to the kernel the next hop says it. */
function routeOf(tunnel: TunnelConfig, text: string, backend: Choice['backend']): Route {
  const { prefix, via } = parseRoute(text)
  const end = backend === 'kernel' && tunnel.mode !== '6in4' ? whereTo(tunnel, prefix, via) : undefined
  const hop = end === undefined || end === 'embedded' ? undefined : hopOf(tunnel, end)
  return {
    ...{ kind: 'route', family: 6, prefix: String(prefix), dev: tunnel.name, table: MAIN_TABLE, metric: METRIC },
    ...(hop && { via: String(hop) }),
  }
}

/** sit reads the IPv4 address of an ISATAP router from its interface identifier, of others from `::192.0.2.1`. */
function hopOf({ mode }: TunnelConfig, end: Address): Address {
  return mode === 'isatap' ? isatapLinkLocal(end) : compatible(end)
}

function resources(tunnel: TunnelConfig, { backend }: Choice): Resource[] {
  const { name: dev, routes } = tunnel
  const addresses = backend === 'kernel' ? addressesOf(tunnel) : [linkLocal(tunnel), ...addressesOf(tunnel)]
  return [
    ...device(tunnel, backend),
    { kind: 'link', dev, attribute: 'mtu', value: String(mtuOf(tunnel)) },
    { kind: 'link', dev, attribute: 'up', value: 'up' },
    ...addresses.map((address) => ({ kind: 'address', dev, address }) as const),
    ...routes.map((text) => routeOf(tunnel, text, backend)),
  ]
}

/** The ends must be this host's and another's; the name must be nobody else's. */
function check(config: Config, host: Host): Fault[] {
  const own = ownIpv4(config, host)
  const given = config.interfaces.some(({ dhcp4 }) => dhcp4)
  const taken = new Map(host.links.map((link) => [link.name, link.type]))
  return config.tunnels.flatMap((tunnel, index) => {
    const { name, local, remote, relay, routers, backend } = tunnel
    const path = `/tunnels/${index}`
    const faults: Fault[] = []
    const fault = (key: string, message: string, remedy: string) =>
      faults.push({ path: `${path}/${key}`, message, remedy })
    if (taken.has(name) && !host.made?.has(name))
      fault('name', `${name} is a link of somebody else's`, 'Choose another name, or remove that link.')
    if (!own.has(local) && !given)
      fault('local', `${local} is no address of this host`, `Write one of ${[...own].join(', ') || 'its addresses'}.`)
    const ends = [
      ['remote', remote],
      ['relay', relay],
      ...routers.map((text, at) => [`routers/${at}`, text] as const),
    ] as const
    for (const [key, text] of ends)
      if (text !== undefined && text !== local && own.has(text))
        fault(key, `${text} is an address of this host, too`, 'Write the address of the other end.')
    if (backend === 'kernel' && !host.sit)
      fault('backend', 'is kernel, but this kernel has no sit', 'Load the module sit, or write backend: auto.')
    return faults
  })
}

/**
 * sit knows nothing of tunnels that are not its own, and would tell their other ends that the port is unreachable. In
 * the error the protocol of the packet that it quotes is the tenth byte behind the ICMP header.
 */
function silence({ tunnels }: Config, names: Names): Resource {
  const locals = [...new Set(tunnels.map(({ local }) => local))].join(', ')
  const rules = `\tchain output {
\t\ttype filter hook output priority filter; policy accept;
\t\tip saddr { ${locals} } icmp type 3 icmp code 3 @th,136,8 41 counter drop
\t}`
  return { kind: 'nft', family: 'inet', name: `${names.table}_tunnels`, rules }
}

export const tunnels: Feature = {
  name: 'tunnels',
  check,

  plan(config: Config, host: Host, names: Names): Desired {
    if (config.tunnels.length === 0) return NOTHING
    const forwarding: Resource = { kind: 'sysctl', name: 'net.ipv6.conf.all.forwarding', value: '1' }
    const own = config.tunnels.some((one) => choose(config, one, host).backend === 'sixgate')
    const quiet = own && host.sit !== false ? [silence(config, names)] : []
    return {
      present: [forwarding, ...quiet, ...config.tunnels.flatMap((one) => resources(one, choose(config, one, host)))],
      absent: [],
    }
  },
}
