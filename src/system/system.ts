// SPDX-License-Identifier: Apache-2.0
/**
 * The operating system as the gateway sees it: resources that are read and changed, processes that are run,
 * and a signal that something moved. linux.ts talks to the kernel, fake.ts keeps it all in memory.
 */

/** Number the gateway marks its routes, rules and neighbours with (rtm_protocol; see rt_protos). */
export const PROTOCOL = '64'

export const MAIN_TABLE = '254'
export const LOCAL_TABLE = '255'

/** `/proc/sys` value. `also` are values the kernel changes along with it, to be put back after it. */
export interface Sysctl {
  readonly kind: 'sysctl'
  /** Dotted; a device name with dots has them written as `/`, as sysctl(8) does. */
  readonly name: string
  readonly value: string
  readonly also?: Readonly<Record<string, string>>
}

export type LinkAttribute = 'mtu' | 'txqueuelen' | 'addrgenmode' | 'up'

export interface LinkSetting {
  readonly kind: 'link'
  readonly dev: string
  readonly attribute: LinkAttribute
  readonly value: string
}

export interface Vlan {
  readonly kind: 'vlan'
  readonly dev: string
  readonly parent: string
  readonly id: number
}

/** The translator's device. The addon makes it; here it is only found and removed. */
export interface Tun {
  readonly kind: 'tun'
  readonly dev: string
}

/** The kernel's own tunnel of IPv6 over IPv4. */
export interface Sit {
  readonly kind: 'sit'
  readonly dev: string
  readonly local: string
  /** `any` without one. */
  readonly remote: string
  readonly ttl: number
  readonly tos: number
  readonly pmtudisc: boolean
  readonly isatap: boolean
  /** Of 6rd, both or none: the prefix of the domain, and the IPv4 addresses in it. */
  readonly prefix: string
  readonly relayPrefix: string
  /** ISATAP's potential router list, separated by commas. */
  readonly routers: string
}

export interface InterfaceAddress {
  readonly kind: 'address'
  readonly dev: string
  /** `ADDRESS/LENGTH`, canonical. */
  readonly address: string
}

export interface Route {
  readonly kind: 'route'
  readonly family: 4 | 6
  /** Canonical prefix. */
  readonly prefix: string
  readonly dev: string
  readonly via?: string
  readonly table: string
  readonly metric: number
  /** Set on what the kernel already had, so that it is put back as it was. */
  readonly protocol?: string
  readonly source?: string
  readonly scope?: string
  readonly onlink?: boolean
  /** A shape the gateway does not make (several next hops, a blackhole, metrics) and cannot put back. */
  readonly foreign?: string
}

export interface Rule {
  readonly kind: 'rule'
  readonly family: 4 | 6
  readonly priority: number
  readonly table: string
  /** `MARK/MASK`, lower-case hexadecimal. */
  readonly mark?: string
  readonly protocol?: string
}

/** An address answered for by proxy ARP. */
export interface ProxyNeighbour {
  readonly kind: 'proxy'
  readonly dev: string
  readonly address: string
}

/**
 * A next hop on a link without link-layer addresses. The kernel never drops it from its table of neighbours, which all
 * network namespaces share and anybody on a link can fill.
 */
export interface Neighbour {
  readonly kind: 'neighbour'
  readonly dev: string
  readonly address: string
}

/** One nftables table, replaced whole. */
export interface NftTable {
  readonly kind: 'nft'
  readonly family: 'inet' | 'netdev'
  readonly name: string
  /** What stands between the braces of `table`, in the syntax of nft(8). */
  readonly rules: string
}

export type Resource =
  | Sysctl
  | LinkSetting
  | Vlan
  | Tun
  | Sit
  | InterfaceAddress
  | Route
  | Rule
  | ProxyNeighbour
  | Neighbour
  | NftTable

/** What the gateway makes as a link, and takes away with all that stands on it. */
export function isLink(resource: Resource): resource is Vlan | Tun | Sit {
  return resource.kind === 'vlan' || resource.kind === 'tun' || resource.kind === 'sit'
}

/** From one value to another; a missing one means absent. Both have the same key. */
export interface Change {
  readonly before?: Resource
  readonly after?: Resource
}

export interface LinkInfo {
  readonly name: string
  readonly index: number
  readonly up: boolean
  readonly carrier: boolean
  readonly mtu: number
  /** `tun`, `veth`, `vlan`, … or empty for hardware. */
  readonly type: string
  readonly addresses: readonly { readonly address: string; readonly length: number; readonly tentative: boolean }[]
}

export interface ExitInfo {
  readonly code: number | null
  readonly signal: string | null
}

export interface ChildProcess {
  readonly pid: number
  readonly exited: Promise<ExitInfo>
  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP'): void
}

export interface SpawnOptions {
  readonly onLine?: (line: string, stream: 'out' | 'err') => void
  /** Debian package that has the command. */
  readonly package: string
}

/** Thrown by change(): the first `done` changes are in force, the others are not. */
export class ChangeFailed extends Error {
  readonly done: number

  constructor(done: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.done = done
  }
}

export interface System {
  links(): Promise<readonly LinkInfo[]>
  /** The counterpart of each resource (same key) as the kernel has it; undefined when absent. */
  read<R extends Resource>(wanted: readonly R[]): Promise<readonly (R | undefined)[]>
  /** What bears the gateway's mark or names in the kernel, whoever's ledger it is in. */
  marked(table: string, device: string): Promise<readonly Resource[]>
  /** Makes the changes in order. Removing what is gone and adding what is there succeed. */
  change(changes: readonly Change[]): Promise<void>
  /** Calls back after links, addresses, routes or rules moved. */
  watch(onChange: () => void, onEnd: (error: unknown) => void): { close(): void }
  run(command: string, args: readonly string[], debianPackage: string, input?: string): Promise<string>
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess
  /** Whether the kernel makes links of this type. */
  supports(type: 'sit'): Promise<boolean>
  /** Identifies kernel state: boot and network namespace. */
  identity(): Promise<string>
}

/** What two values of one thing share. */
export function keyOf(resource: Resource): string {
  switch (resource.kind) {
    case 'sysctl':
      return `sysctl ${resource.name}`
    case 'link':
      return `link ${resource.dev} ${resource.attribute}`
    case 'vlan':
    case 'tun':
    case 'sit':
      return `${resource.kind} ${resource.dev}`
    case 'address':
      return `address ${resource.dev} ${resource.address}`
    case 'route':
      return `route ${resource.family} ${resource.table} ${resource.prefix} ${resource.metric}`
    case 'rule':
      return `rule ${resource.family} ${resource.priority} ${resource.mark ?? ''}`
    case 'proxy':
    case 'neighbour':
      return `${resource.kind} ${resource.dev} ${resource.address}`
    case 'nft':
      return `nft ${resource.family} ${resource.name}`
  }
}

/** Whether the actual value has all that is wanted; what was not asked for does not matter. */
export function satisfies(actual: Resource | undefined, wanted: Resource): boolean {
  if (!actual) return false
  const have = actual as unknown as Record<string, unknown>
  for (const [name, value] of Object.entries(wanted)) {
    if (name === 'also' || name === 'protocol') continue
    if (have[name] !== value) return false
  }
  return wanted.kind !== 'route' || (actual as Route).via === wanted.via
}
