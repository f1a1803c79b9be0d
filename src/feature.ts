// SPDX-License-Identifier: Apache-2.0
/** What a feature is: it checks and plans, purely; the reconciler applies. */
import { createHash } from 'node:crypto'
import type { Config } from './config/schema.ts'
import { type Fault, GatewayError } from './errors.ts'
import { type Prefix, parseAddress } from './net/address.ts'
import type { Desired } from './system/reconcile.ts'
import type { LinkInfo } from './system/system.ts'

/** What planning may look at, besides the configuration. */
export interface Host {
  readonly links: readonly LinkInfo[]
  /** Values as they were before the gateway changed them. */
  readonly sysctls: Readonly<Record<string, string>>
  /** Links that the gateway has made. */
  readonly made?: ReadonlySet<string>
  /** Whether the kernel has tunnels of IPv6 over IPv4; unknown while nobody asked. */
  readonly sit?: boolean
}

/** The sysctls that plans depend on. */
export const HOST_SYSCTLS = [
  'net.ipv4.conf.all.rp_filter',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_local_port_range',
] as const

export interface Feature {
  readonly name: string
  /** What cannot work on this host. */
  check(config: Config, host: Host): Fault[]
  plan(config: Config, host: Host, names: Names): Desired
}

/** What an instance is called in the kernel and on disk. */
export interface Names {
  readonly device: string
  readonly table: string
  readonly runDirectory: string
  readonly stateDirectory: string
}

/** Linux's IFNAMSIZ - 1. */
const MAX_DEVICE = 15

export function namesOf(instance?: string): Names {
  if (instance !== undefined && !/^[a-z0-9][a-z0-9_-]{0,31}$/.test(instance)) {
    throw new GatewayError('CONFIG_INVALID', {
      detail: `"${instance}" cannot be the name of an instance; write up to 32 lower-case letters, digits, "-" and "_"`,
    })
  }
  const suffix = instance === undefined ? '' : `-${instance}`
  let device = `sixgate0${suffix}`
  if (device.length > MAX_DEVICE) {
    device = `sixgate0-${createHash('sha256')
      .update(suffix)
      .digest('hex')
      .slice(0, MAX_DEVICE - 9)}`
  }
  return {
    device,
    // a hyphen would end the name in nft's grammar
    table: `sixgate${suffix}`.replaceAll('-', '_'),
    runDirectory: `/run/sixgate${suffix}`,
    stateDirectory: `/var/lib/sixgate${suffix}`,
  }
}

/** The host's own IPv4 addresses: those it has now and those the configuration gives it. */
export function ownIpv4(config: Config, host: Host): Set<string> {
  const texts = [
    ...host.links.flatMap(({ addresses }) => addresses.map(({ address }) => address)),
    ...config.interfaces.flatMap(({ addresses }) => (addresses ?? []).map((text) => text.split('/')[0] ?? '')),
  ]
  return new Set(texts.filter((text) => !text.includes(':')))
}

export function within(prefix: Prefix, addresses: Iterable<string>): string[] {
  return [...addresses].filter((text) => prefix.contains(parseAddress(text)))
}
