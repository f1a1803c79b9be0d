// SPDX-License-Identifier: Apache-2.0
/** The gateway's own tunnels of IPv6 over IPv4, as TypeScript sees them; native/tunnel.h runs them. */
import { GatewayError } from '../errors.ts'
import { loadAddon } from './addon.ts'
import type { DropCounter } from './dataplane.ts'

export interface TunnelOptions {
  readonly name: string
  readonly mode: '6in4' | '6to4' | '6rd' | 'isatap'
  readonly local: string
  readonly remote?: string
  /** Of the domain, or of ISATAP's link. */
  readonly prefix?: string
  readonly ipv4Prefix?: string
  /** Only packets to this site are taken (RFC 5969 section 9.2). */
  readonly relayed: boolean
  readonly ttl: number
  readonly tos: number
  readonly pathMtu: boolean
  readonly mtu: number
  /** IPv4 addresses of routers, by what is behind them. */
  readonly routes: readonly { readonly prefix: string; readonly via: string }[]
}

export interface TunnelsOptions {
  readonly tunnels: readonly TunnelOptions[]
  /** Of ICMPv6 errors; without one none are sent. */
  readonly icmpSource?: string
  readonly icmpErrorRate: number
}

export type TunnelDrop = Omit<DropCounter, 'last'>

/** Out is into the tunnel; bytes are those of IPv6 packets. */
export interface TunnelCounters {
  readonly name: string
  readonly packetsOut: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly bytesIn: number
  /** ICMPv4 errors about packets of the tunnel. */
  readonly errors: number
  /** Those that there were. */
  readonly drops: readonly TunnelDrop[]
}

export interface TunnelsStatus {
  readonly tunnels: readonly TunnelCounters[]
  /** What came encapsulated and was of no tunnel. */
  readonly strays: readonly TunnelDrop[]
}

export interface TunnelPlane {
  /** Makes the device unless it is there; makes it anew when its link is gone. */
  open(name: string): void
  /** All at once for the packets; devices that are not of it go. Each must be open. */
  configure(options: TunnelsOptions): void
  status(): TunnelsStatus
  /** `keep` leaves the devices for a successor. Idempotent. */
  close(keep: boolean): void
}

export type OpenTunnels = () => TunnelPlane

function translateError(error: Error & { readonly code?: string }, name?: string): GatewayError {
  const detail = { detail: error.message, cause: error }
  if (error.code === 'NO_TUN') return new GatewayError('NO_TUN', detail)
  if (error.code === 'NEED_ROOT')
    return new GatewayError('NEED_ROOT', {
      ...detail,
      values: { capability: name === undefined ? 'CAP_NET_RAW' : 'CAP_NET_ADMIN' },
    })
  return new GatewayError(error.code === 'INTERNAL' ? 'INTERNAL' : 'APPLY_FAILED', detail)
}

/** Its packet thread runs until close(). */
export const openTunnels: OpenTunnels = () => {
  const { Tunnels } = loadAddon() as { Tunnels: new () => TunnelPlane }
  const native = new Tunnels()
  const attempt = (work: () => void, name?: string) => {
    try {
      work()
    } catch (error) {
      throw translateError(error as Error, name)
    }
  }
  return {
    open: (name) => attempt(() => native.open(name), name),
    configure: (options) => attempt(() => native.configure(options)),
    status: () => native.status(),
    close: (keep) => native.close(keep),
  }
}
