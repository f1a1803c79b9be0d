// SPDX-License-Identifier: Apache-2.0
/** Stateful NAT64: what the kernel must do so that packets reach the translator, and what the translator is told. */
import { availableParallelism } from 'node:os'
import { checkPoolsAgainstHost } from './config/check.ts'
import { parsePortRange } from './config/formats.ts'
import { type Config, ConfigSchema, type Nat64Config } from './config/schema.ts'
import { parseDuration, parseSize } from './config/units.ts'
import { fastpathOptions } from './datapath.ts'
import type { Fault } from './errors.ts'
import { type Feature, type Host, type Names, ownIpv4 } from './feature.ts'
import { planShared, type Shared, sharedChains, sharedOf } from './nat64-shared.ts'
import { parsePrefix } from './net/address.ts'
import { outermost } from './net/prefix-map.ts'
import { policyNodes } from './policy.ts'
import type { DataplaneConfig, DataplaneOptions } from './system/dataplane.ts'
import { type Desired, NOTHING, union } from './system/reconcile.ts'
import { deviceSysctl } from './system/sysctl.ts'
import { MAIN_TABLE, type Resource, type Sysctl } from './system/system.ts'

/**
 * The largest a TUN device takes. Only the egress links and the translator bound the size of a packet: a smaller
 * value here would have the kernel answer "too big" with a number that is about nothing.
 */
export const DEVICE_MTU = 65535

/** Packets the device holds while the translator is busy or away. */
const QUEUE_LENGTH = 4096

/** More packet threads than this gain nothing: the kernel's side is the limit. */
const MAX_THREADS = 4

/** Proxy entries are one per address; a larger pool is routed. */
const MAX_ANNOUNCED = 1024

/** What the session table is made with while only stateless translation is configured. */
const NAT64 = ConfigSchema.properties.nat64.properties
const defaultOf = (schema: object) => (schema as { default?: unknown }).default
const defaultsOf = (properties: Record<string, object>) =>
  Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, defaultOf(schema)]))
const DEFAULT_TIMEOUTS = defaultsOf(NAT64.timeouts.properties) as Nat64Config['timeouts']
const DEFAULT_LIMITS = defaultsOf(NAT64.limits.properties) as Nat64Config['limits']
const DEFAULT_MAX_SESSIONS = defaultOf(NAT64.maxSessions) as number

function timeoutsOf(timeouts: Nat64Config['timeouts']): DataplaneConfig['timeouts'] {
  return {
    tcpEstablished: parseDuration(timeouts.tcpEstablished),
    tcpTransitory: parseDuration(timeouts.tcpTransitory),
    tcpIncomingSyn: parseDuration(timeouts.tcpIncomingSyn),
    udp: parseDuration(timeouts.udp),
    icmp: parseDuration(timeouts.icmp),
    fragment: parseDuration(timeouts.fragment),
  }
}

/** Global addresses of the links of one role, for errors the translator sends in the gateway's name. */
function addressesOfRole(config: Config, host: Host, role: 'inside' | 'outside', family: 4 | 6): string[] {
  return config.interfaces
    .filter((link) => link.role === role)
    .flatMap(({ name, addresses = [] }) => [
      ...addresses.map((text) => text.split('/')[0] ?? ''),
      ...(host.links.find((link) => link.name === name)?.addresses ?? []).map(({ address }) => address),
    ])
    .filter((text) => text.includes(':') === (family === 6) && !/^fe[89ab]/.test(text))
}

function mssOf({ translation: { mssClamp } }: Config): DataplaneConfig['mssClamp'] {
  if (mssClamp === 'auto') return mssClamp
  return mssClamp === 'off' ? 0 : parseSize(mssClamp)
}

export function dataplaneConfig(config: Config, host: Host): DataplaneConfig | undefined {
  const { nat64, siit, translation, accounting } = config
  if (!nat64 && !siit) return undefined
  const or = (given: readonly string[], role: 'inside' | 'outside', family: 4 | 6) =>
    given.length > 0 ? given : addressesOfRole(config, host, role, family).slice(0, 1)
  return {
    prefixes: nat64?.prefixes ?? [],
    allowNonGlobal: nat64?.allowNonGlobal ?? false,
    pools: (nat64?.pools ?? []).map(({ addresses, ports, clients, blockSize, blocksPerClient, deterministic }) => {
      const { first, last } = parsePortRange(ports)
      return { addresses, firstPort: first, lastPort: last, clients, blockSize, blocksPerClient, deterministic }
    }),
    static: nat64?.static ?? [],
    filtering: nat64?.filtering ?? 'endpoint-independent',
    timeouts: timeoutsOf(nat64?.timeouts ?? DEFAULT_TIMEOUTS),
    limits: nat64?.limits ?? DEFAULT_LIMITS,
    logged: (nat64 && config.log.bindings?.events) ?? 'nothing',
    ...(siit && { siit: { ...siit, amendUdpChecksumZero: translation.amendUdpChecksumZero } }),
    policy: policyNodes(config),
    lowestIpv6Mtu: translation.lowestIpv6Mtu,
    mssClamp: mssOf(config),
    copyTrafficClass: translation.copyTrafficClass,
    tos: translation.tos,
    icmpOrigin: translation.icmpOrigin,
    icmpErrorRate: translation.icmpErrorRate,
    icmpSourceV4: or(translation.icmpSourceV4, 'outside', 4),
    icmpSourceV6: or(translation.icmpSourceV6, 'inside', 6),
    fragmentMemory: parseSize(translation.fragmentMemory),
    accounting: { prefixLength: accounting.prefixLength, clients: accounting.clients },
  }
}

export function dataplaneOptions(config: Config, host: Host, names: Names): DataplaneOptions | undefined {
  const plane = dataplaneConfig(config, host)
  if (!plane) return undefined
  const fastpath = fastpathOptions(config, names)
  return {
    device: names.device,
    threads: config.translation.threads || Math.min(availableParallelism(), MAX_THREADS),
    sessionFile: `${names.runDirectory}/sessions`,
    maxSessions: config.nat64?.maxSessions ?? DEFAULT_MAX_SESSIONS,
    ...(fastpath && { fastpath }),
    config: plane,
  }
}

/** Next hop of the routes into the device. */
const NEXT_HOP = 'fe80::1'

function sysctl(value: string, name: string): Sysctl {
  return { kind: 'sysctl', name, value }
}

function deviceResources({ device }: Names, host: Host): Resource[] {
  // The kernel uses the larger of `all` and the device's own: where `all` is strict only loose (2) can soften it,
  // for the source of a packet from the translator may be an address of this host.
  const reversePath = host.sysctls['net.ipv4.conf.all.rp_filter'] === '1' ? '2' : '0'
  return [
    { kind: 'tun', dev: device },
    { kind: 'link', dev: device, attribute: 'addrgenmode', value: 'none' },
    { kind: 'link', dev: device, attribute: 'mtu', value: String(DEVICE_MTU) },
    { kind: 'link', dev: device, attribute: 'txqueuelen', value: String(QUEUE_LENGTH) },
    sysctl('0', deviceSysctl('net.ipv6.conf', device, 'disable_ipv6')),
    sysctl(reversePath, deviceSysctl('net.ipv4.conf', device, 'rp_filter')),
    sysctl('1', deviceSysctl('net.ipv4.conf', device, 'accept_local')),
    { kind: 'link', dev: device, attribute: 'up', value: 'up' },
    { kind: 'neighbour', dev: device, address: NEXT_HOP },
  ]
}

/**
 * IPv6 goes by a next hop: without one the kernel keeps a neighbour for each destination, and can forward nothing when
 * forged sources on some link have filled its table of neighbours.
 */
export function deviceRoute(prefix: string, { device: dev }: Names): Resource {
  const route = { kind: 'route', prefix, dev, table: MAIN_TABLE } as const
  return prefix.includes(':')
    ? { ...route, family: 6, via: NEXT_HOP, metric: 1024 }
    : { ...route, family: 4, metric: 0 }
}

function routes(nat64: Nat64Config, names: Names, shared: readonly Shared[]): Resource[] {
  const hosts = new Set(shared.map(({ address }) => `${address}/32`))
  const pools = nat64.pools.flatMap(({ addresses }) => addresses).filter((pool) => !hosts.has(pool))
  return [...new Set([...nat64.prefixes, ...pools])].map((prefix) => deviceRoute(prefix, names))
}

/**
 * Packets that were translated once and are routed to the translator again are lost here, counted: a hairpin turns
 * inside the translator. What is forwarded through it is not tracked, so that no NAT44 rule of the host touches it
 * and the connection table does not hold it a second time; the host's own connections stay tracked for its firewall.
 * Which addresses are broadcast addresses only the kernel knows (RFC 7915 4.1, RFC 1812 5.3.5).
 */
function nftRules({ nat64, siit }: Config, names: Names, shared: readonly Shared[]): string {
  const { device } = names
  const prefixes = outermost([...(nat64?.prefixes ?? []), ...(siit?.prefix === undefined ? [] : [siit.prefix])])
  const pools = (nat64?.pools ?? []).flatMap(({ addresses }) => addresses)
  const addresses = outermost([...pools, ...(siit?.map ?? []).map(({ ipv4 }) => ipv4)])
  const to = `ip daddr { ${addresses.join(', ')} }`
  const translated = [
    ...(prefixes.length > 0 ? [`ip6 daddr { ${prefixes.join(', ')} } notrack`] : []),
    ...(addresses.length > 0
      ? [
          `${to} fib saddr type broadcast counter drop comment "from the broadcast address of a subnet"`,
          `${to} fib daddr type != local notrack`,
        ]
      : []),
  ]
  return `
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${device}" fib daddr type broadcast counter drop comment "to the broadcast address of a subnet"
    iifname "${device}" fib daddr type != local notrack
    ${translated.join('\n    ')}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${device}" oifname "${device}" counter drop comment "translated twice"
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "${device}" ip6 daddr ff00::/8 drop comment "the kernel reports its multicast groups"
  }${sharedChains(shared, names)}`
}

/** Every address of a pool prefix. */
export function addressesOf(pool: string): string[] {
  const prefix = parsePrefix(pool)
  const count = 2 ** (32 - prefix.length)
  return Array.from({ length: count }, (_, index) => {
    const value = Number(prefix.address.value) + index
    return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
  })
}

function announcements(config: Config, nat64: Nat64Config, host: Host, own: ReadonlySet<string>): Resource[] {
  const there = new Set(host.links.map(({ name }) => name))
  const outside = config.interfaces.filter(({ role, name }) => role === 'outside' && there.has(name))
  const addresses = nat64.pools
    .filter(({ announce }) => announce)
    .flatMap((pool) => pool.addresses.flatMap(addressesOf))
  if (addresses.length === 0) return []
  return outside.flatMap(({ name: dev }) => [
    // else the kernel waits up to 0.8 s before it answers for another
    sysctl('0', deviceSysctl('net.ipv4.neigh', dev, 'proxy_delay')),
    ...addresses.filter((address) => !own.has(address)).map((address) => ({ kind: 'proxy', dev, address }) as const),
  ])
}

/** The device and the rules of whatever translates. */
export function planDevice(config: Config, host: Host, names: Names, shared: readonly Shared[] = []): Resource[] {
  return [
    { kind: 'nft', family: 'inet', name: names.table, rules: nftRules(config, names, shared) },
    ...deviceResources(names, host),
    sysctl('1', 'net.ipv4.ip_forward'),
    sysctl('1', 'net.ipv6.conf.all.forwarding'),
  ]
}

export const nat64: Feature = {
  name: 'nat64',

  check(config: Config, host: Host): Fault[] {
    const { nat64: section } = config
    if (!section) return []
    const faults = checkPoolsAgainstHost(config, [...ownIpv4(config, host)])
    for (const [index, { addresses, announce }] of section.pools.entries()) {
      const size = addresses.reduce((sum, text) => sum + 2 ** (32 - parsePrefix(text).length), 0)
      if (!announce || size <= MAX_ANNOUNCED) continue
      faults.push({
        path: `/nat64/pools/${index}/announce`,
        message: `the pool has ${size} addresses to answer for, more than ${MAX_ANNOUNCED}`,
        remedy: 'Route the pool to this host and write announce: false.',
      })
    }
    return faults
  },

  plan(config: Config, host: Host, names: Names): Desired {
    const { nat64: section } = config
    if (!section) return NOTHING
    const own = ownIpv4(config, host)
    const shared = sharedOf(section, own)
    const present: Resource[] = [
      ...planDevice(config, host, names, shared),
      ...routes(section, names, shared),
      ...announcements(config, section, host, own),
    ]
    return union([{ present, absent: [] }, planShared(shared, host, names)])
  },
}
