// SPDX-License-Identifier: Apache-2.0
/** What the daemon tells of itself. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Config } from './config/schema.ts'
import { type DatapathStatus, summary, type Way } from './datapath.ts'
import type { Host } from './feature.ts'
import { type PolicyNodeStatus, policyStatus } from './policy.ts'
import type { Service } from './service.ts'
import type { Dataplane, DataplaneStatus, Traffic } from './system/dataplane.ts'

export interface InterfaceStatus {
  readonly name: string
  readonly role: string
  readonly state: 'up' | 'down' | 'missing'
  readonly mtu?: number
  readonly addresses: readonly string[]
  /** Where packets of established flows are translated that arrive here, and why not faster. */
  readonly datapath?: Way
  readonly why?: string
}

export interface SiitStatus extends Traffic {
  readonly device: string
  readonly datapath: string
  /** Where IPv4 hosts appear; null when only mapped hosts meet. */
  readonly prefix: string | null
  /** How many explicit address mappings there are. */
  readonly mappings: number
}

export interface Status {
  readonly version: string
  readonly instance: string
  /** Seconds. */
  readonly uptime: number
  readonly configHash: string
  readonly interfaces: readonly InterfaceStatus[]
  readonly nat64: (Omit<DataplaneStatus, 'siit' | 'mtus'> & { readonly datapath: string }) | null
  readonly siit: SiitStatus | null
  /** What the translator takes the routes of both sides to carry. */
  readonly mtus: DataplaneStatus['mtus']
  readonly fastpath: Omit<DatapathStatus, 'interfaces'> | null
  readonly clients: ReturnType<Dataplane['clients']>
  readonly policy: readonly PolicyNodeStatus[]
  readonly dns64: unknown
  readonly advertise: unknown
  readonly dhcp4: unknown
  readonly tunnels: unknown
  readonly bindingLog: unknown
  readonly warnings: readonly string[]
}

export interface Facts {
  readonly instance: string
  readonly uptime: number
  readonly config: Config
  readonly host: Host
  readonly dataplane: Dataplane | undefined
  readonly ways: DatapathStatus | undefined
  readonly services: readonly Service[]
  readonly warnings: readonly string[]
}

const { version: VERSION } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

export function configHash(config: Config): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 16)
}

function interfacesOf(config: Config, host: Host, ways: DatapathStatus | undefined): InterfaceStatus[] {
  return config.interfaces.map(({ name, role }) => {
    const way = ways?.interfaces.find((other) => other.name === name)
    const link = host.links.find((other) => other.name === name)
    if (!link) return { name, role, state: 'missing', addresses: [] }
    return {
      name,
      role,
      state: link.up && link.carrier ? 'up' : 'down',
      mtu: link.mtu,
      addresses: link.addresses.map(({ address, length }) => `${address}/${length}`),
      ...(way && { datapath: way.datapath, why: way.why }),
    }
  })
}

/** Each way of translation that is configured, of the one data plane. */
export function translators(
  { nat64, siit }: Config,
  dataplane: Pick<Dataplane, 'status'> | undefined,
  datapath = 'tun',
): Pick<Status, 'nat64' | 'siit' | 'mtus'> {
  if (!dataplane) return { nat64: null, siit: null, mtus: [] }
  const { siit: stateless, mtus, ...stateful } = dataplane.status()
  const { device } = stateful
  const addresses = siit && { prefix: siit.prefix ?? null, mappings: siit.map.length }
  return {
    nat64: nat64 ? { ...stateful, datapath } : null,
    siit: addresses ? { device, datapath, ...addresses, ...stateless } : null,
    mtus,
  }
}

function fastpathOf({ interfaces: _, ...status }: DatapathStatus): Status['fastpath'] {
  return status
}

export function describe({ instance, uptime, config, host, dataplane, ways, services, warnings }: Facts): Status {
  const links = interfacesOf(config, host, ways)
  const running = (name: string) => services.find((service) => service.name === name)?.status() ?? null
  return {
    version: VERSION,
    instance,
    uptime,
    configHash: configHash(config),
    interfaces: links,
    ...translators(config, dataplane, summary(ways)),
    fastpath: ways ? fastpathOf(ways) : null,
    clients: dataplane?.clients(config.accounting.top) ?? [],
    policy: policyStatus(config, dataplane),
    dns64: running('dns64'),
    advertise: running('advertise'),
    dhcp4: running('dhcp4'),
    tunnels: running('tunnels'),
    bindingLog: running('bindingLog'),
    warnings: [
      ...warnings,
      ...links.filter(({ state }) => state !== 'up').map(({ name, state }) => `${name} is ${state}`),
    ],
  }
}
