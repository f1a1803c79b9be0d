// SPDX-License-Identifier: Apache-2.0
/** The links of the configuration: addresses, routes, MTU, VLANs. What is not mentioned is left alone. */
import { parseRoute } from './config/formats.ts'
import type { Config, InterfaceConfig } from './config/schema.ts'
import type { Fault } from './errors.ts'
import type { Feature, Host } from './feature.ts'
import type { Desired } from './system/reconcile.ts'
import { deviceSysctl } from './system/sysctl.ts'
import { MAIN_TABLE, type Resource, type Route } from './system/system.ts'

/** IP6_RT_PRIO_USER, which the kernel gives an IPv6 route that names no metric. */
const METRIC6 = 1024

/** A link whose addressing is the gateway's business has to be up. */
function isManaged({ addresses, routes, dhcp4, acceptRa, vlan, mtu }: InterfaceConfig): boolean {
  return Boolean(addresses?.length || routes?.length || dhcp4 || acceptRa || vlan || mtu)
}

export function routeOf(dev: string, text: string): Route {
  const { prefix, via } = parseRoute(text)
  return {
    kind: 'route',
    family: prefix.family,
    prefix: String(prefix),
    dev,
    table: MAIN_TABLE,
    metric: prefix.family === 6 ? METRIC6 : 0,
    ...(via && { via: String(via) }),
  }
}

function resourcesOf(link: InterfaceConfig): Resource[] {
  const { name: dev, vlan, parent, mtu, acceptRa, dhcp4, addresses = [], routes = [] } = link
  if (!isManaged(link)) return []
  return [
    ...(vlan !== undefined && parent !== undefined ? [{ kind: 'vlan', dev, parent, id: vlan } as const] : []),
    ...(mtu !== undefined ? [{ kind: 'link', dev, attribute: 'mtu', value: String(mtu) } as const] : []),
    // before forwarding is turned on, which would throw away the routes learnt so far
    ...(acceptRa
      ? [{ kind: 'sysctl', name: deviceSysctl('net.ipv6.conf', dev, 'accept_ra'), value: '2' } as const]
      : []),
    // else a network's first address takes the others, and the routes behind them, along when it goes
    ...(dhcp4 || addresses.some((address) => !address.includes(':'))
      ? [{ kind: 'sysctl', name: deviceSysctl('net.ipv4.conf', dev, 'promote_secondaries'), value: '1' } as const]
      : []),
    { kind: 'link', dev, attribute: 'up', value: 'up' },
    ...addresses.map((address) => ({ kind: 'address', dev, address }) as const),
    ...routes.map((text) => routeOf(dev, text)),
  ]
}

/** Parents first: a VLAN needs its link. */
function inOrder(interfaces: readonly InterfaceConfig[]): InterfaceConfig[] {
  return [...interfaces].sort((a, b) => Number(a.vlan !== undefined) - Number(b.vlan !== undefined))
}

export const interfaces: Feature = {
  name: 'interfaces',

  check(config: Config, host: Host): Fault[] {
    const there = new Set(host.links.map(({ name }) => name))
    const offered = [...there].filter((name) => name !== 'lo' && !/^sixgate\d/.test(name))
    const made = new Set(config.interfaces.filter(({ vlan }) => vlan !== undefined).map(({ name }) => name))
    const missing = (path: string, name: string): Fault => ({
      path,
      message: `no link is called ${name}`,
      remedy: offered.length > 0 ? `Write one of ${offered.join(', ')}.` : 'There is none; make it first.',
    })
    return config.interfaces.flatMap(({ name, vlan, parent }, index) => {
      const path = `/interfaces/${index}`
      if (vlan === undefined) return there.has(name) ? [] : [missing(`${path}/name`, name)]
      if (parent === undefined || there.has(parent) || made.has(parent)) return []
      return [missing(`${path}/parent`, parent)]
    })
  },

  /** A link that is away for the moment is planned for when it comes back. */
  plan(config: Config, host: Host): Desired {
    const there = new Set(host.links.map(({ name }) => name))
    const planned = inOrder(config.interfaces).filter(({ name, vlan, parent }) => {
      const ready = vlan === undefined ? there.has(name) : parent !== undefined && there.has(parent)
      if (ready) there.add(name)
      return ready
    })
    return { present: planned.flatMap(resourcesOf), absent: [] }
  },
}
