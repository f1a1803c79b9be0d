// SPDX-License-Identifier: Apache-2.0
/** Loads the addon that native/build.mjs makes, and gives its translator the shape of dataplane.ts. */
import { createRequire } from 'node:module'
import { type ErrorCode, GatewayError } from '../errors.ts'
import type {
  BindingInfo,
  ClientCounter,
  Dataplane,
  DataplaneConfig,
  DataplaneOptions,
  DataplaneStatus,
  DropCounter,
  FastpathStatus,
  LostPacket,
  OpenDataplane,
  PacketInfo,
  PolicyCounter,
  SessionFilter,
  SessionInfo,
  TraceBatch,
  TracedPacket,
  TraceFilter,
} from './dataplane.ts'

/** The raw exports; each user narrows what it needs. */
export type Addon = Readonly<Record<string, unknown>>

let loaded: Addon | undefined

export function loadAddon(): Addon {
  try {
    loaded ??= createRequire(import.meta.url)('../../native/build/sixgate.node') as Addon
    return loaded
  } catch (cause) {
    throw new GatewayError('NOT_BUILT', { detail: (cause as Error).message.split('\n')[0] ?? '', cause })
  }
}

/** What native/dataplane.cc knows; the rest of a status is known here. */
type NativeStatus = Omit<DataplaneStatus, 'device' | 'maxSessions' | 'pools'> & {
  readonly pools: readonly Omit<DataplaneStatus['pools'][number], 'addresses'>[]
}

interface NativePacket {
  readonly family: number
  readonly source: string
  readonly destination: string
  readonly protocol: number
  readonly length: number
}

type NativeLost = NativePacket & { readonly time: number; readonly step: LostPacket['step'] }
type NativeDrop = Omit<DropCounter, 'last'> & { readonly last: readonly NativeLost[] }

type NativeTraced = NativePacket &
  Pick<TracedPacket, 'session' | 'stateless' | 'lost' | 'answered' | 'sent' | 'binding'> & {
    readonly time: number
    readonly out: NativePacket | null
  }

interface NativeDataplane {
  configure(config: DataplaneConfig): number
  status(): NativeStatus
  sessions(filter?: SessionFilter): SessionInfo[]
  bindings(filter?: SessionFilter): BindingInfo[]
  drops(): NativeDrop[]
  clients(top: number): ClientCounter[]
  policy(): PolicyCounter[]
  openTrace(filter: TraceFilter): number
  readTrace(trace: number): { readonly packets: readonly NativeTraced[]; readonly missed: number } | undefined
  closeTrace(trace: number): void
  foresee(packet: Buffer): NativeTraced
  readLog(buffer: Buffer): number
  logCounters(): { readonly events: number; readonly lost: number }
  attach(name: string, hook: string): string
  fastpath(): FastpathStatus
  close(keep: boolean): void
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' }

function packetInfo({ family, source, destination, protocol, length }: NativePacket): PacketInfo {
  const direction = family === 6 ? '6to4' : family === 4 ? '4to6' : 'unknown'
  const name = family === 0 ? '' : (PROTOCOL_NAMES[protocol] ?? String(protocol))
  return { direction, source, destination, protocol: name, length }
}

const iso = (seconds: number) => new Date(seconds * 1000).toISOString()

function dropCounter(drop: NativeDrop): DropCounter {
  const last = drop.last.map(({ time, step, ...packet }) => ({ time: iso(time), step, ...packetInfo(packet) }))
  return { ...drop, last }
}

function tracedPacket(traced: NativeTraced): TracedPacket {
  const { time, session, stateless, lost, answered, sent, binding, out } = traced
  const way = { session, stateless, lost, answered, sent, binding, out: out && packetInfo(out) }
  return { time: iso(time), ...packetInfo(traced), ...way }
}

interface NativeError extends Error {
  readonly code: string
}

/** The errors of native/tun.cc, native/translator.cc and native/dataplane.cc as rows of the error table. */
function translateError(error: NativeError): GatewayError {
  const cause = { detail: error.message, cause: error }
  switch (error.code) {
    case 'NO_TUN':
      return new GatewayError('NO_TUN', cause)
    case 'NEED_ROOT':
      return new GatewayError('NEED_ROOT', { ...cause, values: { capability: 'CAP_NET_ADMIN' } })
    case 'SESSION_IN_USE':
      return new GatewayError('ALREADY_RUNNING', cause)
    default: {
      const code: ErrorCode = error.code === 'INTERNAL' ? 'INTERNAL' : 'APPLY_FAILED'
      return new GatewayError(code, cause)
    }
  }
}

/** The TUN translator. Its packet threads run until close(). */
export const openDataplane: OpenDataplane = (options) => {
  const { Dataplane } = loadAddon() as { Dataplane: new (options: DataplaneOptions) => NativeDataplane }
  const attempt = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw translateError(error as NativeError)
    }
  }
  const native = attempt(() => new Dataplane(options))
  let config = options.config

  const dataplane: Dataplane = {
    configure(next) {
      const ended = attempt(() => native.configure(next))
      config = next
      return ended
    },
    status() {
      const status = attempt(() => native.status())
      const pools = config.pools.map(({ addresses }, index) => ({
        addresses,
        ...(status.pools[index] ?? { portsUsed: 0, portsTotal: 0, blocksUsed: 0, blocksTotal: 0 }),
      }))
      return { ...status, device: options.device, maxSessions: options.maxSessions, pools }
    },
    sessions: (filter) => attempt(() => native.sessions(filter)),
    bindings: (filter) => attempt(() => native.bindings(filter)),
    drops: () => attempt(() => native.drops()).map(dropCounter),
    clients(top) {
      const { prefixLength } = config.accounting
      const counters = attempt(() => native.clients(top))
      if (prefixLength === 128) return counters
      return counters.map((counter) => ({ ...counter, client: `${counter.client}/${prefixLength}` }))
    },
    policy: () => attempt(() => native.policy()),
    openTrace: (filter) => attempt(() => native.openTrace(filter)),
    readTrace(trace): TraceBatch | undefined {
      const batch = native.readTrace(trace)
      return batch && { packets: batch.packets.map(tracedPacket), missed: batch.missed }
    },
    closeTrace: (trace) => native.closeTrace(trace),
    foresee: (packet) => tracedPacket(attempt(() => native.foresee(packet))),
    readLog: (buffer) => native.readLog(buffer),
    logCounters: () => native.logCounters(),
    attach: (name, hook) => attempt(() => native.attach(name, hook)),
    fastpath: () => attempt(() => native.fastpath()),
    close: ({ keep = false } = {}) => native.close(keep),
  }
  return dataplane
}
