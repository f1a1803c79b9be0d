// SPDX-License-Identifier: Apache-2.0
/** The gateway's own tunnels over their life, and what there is to tell of all of them. */
import type { Config, TunnelConfig } from './config/schema.ts'
import type { Host } from './feature.ts'
import type { Log } from './log.ts'
import { parseAddress } from './net/address.ts'
import { isIllegal } from './net/kind.ts'
import type { CloseOptions, Service } from './service.ts'
import { linkCounters } from './system/link-counters.ts'
import type {
  OpenTunnels,
  TunnelCounters,
  TunnelDrop,
  TunnelOptions,
  TunnelPlane,
  TunnelsOptions,
} from './system/tunnels.ts'
import { addressesOf, domainOf, mtuOf, routersOf } from './tunnel-link.ts'
import { choose } from './tunnels.ts'

export interface TunnelStatus extends Omit<TunnelCounters, 'drops'> {
  readonly mode: TunnelConfig['mode']
  readonly local: string
  /** Of 6in4. */
  readonly remote: string | null
  readonly backend: 'kernel' | 'sixgate'
  /** Why this one. */
  readonly why: string
  readonly state: 'up' | 'down' | 'missing'
  readonly mtu: number
  readonly addresses: readonly string[]
  readonly drops: readonly TunnelDrop[]
}

export interface TunnelsReport {
  readonly tunnels: readonly TunnelStatus[]
  readonly strays: readonly TunnelDrop[]
}

function optionsOf(tunnel: TunnelConfig): TunnelOptions {
  const { name, mode, local, remote, prefix, relay, ttl, tos, pathMtu } = tunnel
  const domain = domainOf(tunnel)
  const under = domain ? String(domain.prefix) : prefix
  return {
    ...{ name, mode, local, ttl, tos, pathMtu, mtu: mtuOf(tunnel), routes: routersOf(tunnel) },
    relayed: mode === '6rd' && relay !== undefined,
    ...(remote !== undefined && { remote }),
    ...(under !== undefined && { prefix: under }),
    ...(domain && { ipv4Prefix: String(domain.ipv4Prefix) }),
  }
}

/** ICMPv6 errors come from an address that others can know; the one that is set for them before any. */
function sourceOf(config: Config, own: readonly TunnelConfig[], host: Host): string | undefined {
  const candidates = [
    ...config.translation.icmpSourceV6,
    ...own.flatMap(addressesOf).map((text) => text.split('/')[0] ?? ''),
    ...host.links.flatMap(({ addresses }) => addresses.map(({ address }) => address)),
  ]
  return candidates.find((text) => text.includes(':') && !isIllegal(parseAddress(text)))
}

export class TunnelService implements Service {
  readonly name = 'tunnels'
  readonly #open: OpenTunnels
  readonly #log: Log
  readonly #host: () => Host
  #plane: TunnelPlane | undefined
  #config: Config | undefined

  constructor(open: OpenTunnels, log: Log, host: () => Host) {
    this.#open = open
    this.#log = log.child({ part: 'tunnels' })
    this.#host = host
  }

  #own(config: Config): TunnelConfig[] {
    return config.tunnels.filter((tunnel) => choose(config, tunnel, this.#host()).backend === 'sixgate')
  }

  /** Makes the devices, so that addresses and routes have something to stand on. */
  prepare(config: Config): void {
    const own = this.#own(config)
    if (own.length === 0) return
    this.#plane ??= this.#open()
    for (const { name } of own) this.#plane.open(name)
  }

  async update(config: Config): Promise<void> {
    const own = this.#own(config)
    this.prepare(config)
    this.#config = config
    if (own.length === 0) return this.#end(false)
    const icmpSource = sourceOf(config, own, this.#host())
    const options: TunnelsOptions = {
      tunnels: own.map(optionsOf),
      icmpErrorRate: config.translation.icmpErrorRate,
      ...(icmpSource !== undefined && { icmpSource }),
    }
    this.#plane?.configure(options)
    this.#log.info({ tunnels: own.map(({ name }) => name) }, 'the tunnels are configured')
  }

  report(): TunnelsReport | undefined {
    const config = this.#config
    if (!config || config.tunnels.length === 0) return undefined
    const host = this.#host()
    const { tunnels = [], strays = [] } = this.#plane?.status() ?? {}
    const kernel = linkCounters()
    const none = { packetsOut: 0, bytesOut: 0, packetsIn: 0, bytesIn: 0, errors: 0, drops: [] }
    return {
      tunnels: config.tunnels.map((tunnel) => {
        const { name, mode, local, remote } = tunnel
        const link = host.links.find((one) => one.name === name)
        const counters = tunnels.find((one) => one.name === name) ?? { name, ...none, ...kernel.get(name) }
        return {
          ...{ name, mode, local, remote: remote ?? null },
          ...choose(config, tunnel, host),
          state: !link ? ('missing' as const) : link.up ? ('up' as const) : ('down' as const),
          mtu: link?.mtu ?? mtuOf(tunnel),
          addresses: (link?.addresses ?? []).map(({ address, length }) => `${address}/${length}`),
          ...counters,
        }
      }),
      strays,
    }
  }

  status(): unknown {
    return this.report()
  }

  #end(keep: boolean): void {
    this.#plane?.close(keep)
    this.#plane = undefined
  }

  async close({ keep = false }: CloseOptions = {}): Promise<void> {
    this.#end(keep)
    this.#config = undefined
  }
}
