// SPDX-License-Identifier: Apache-2.0
/**
 * The data plane as the control plane sees it. The addon (native/addon.cc) implements it with packet threads
 * that never enter JavaScript; tests use a fake. All addresses are canonical text, all times are seconds.
 */
export type Protocol = 'tcp' | 'udp' | 'icmp'

/** Bindings, sessions in their stead, or port blocks alone. */
export type LoggedEvents = 'bindings' | 'blocks' | 'sessions'

/** What the clients under one prefix may have together: a rate with its burst in seconds, or bytes in a period. */
export type PolicyLimit = { readonly clientPrefixLength: number } & (
  | { readonly bitsPerSecond: number; readonly burst: number }
  | { readonly packetsPerSecond: number; readonly burst: number }
  | { readonly bytes: number; readonly period: number }
)

/** A node of the policy; of clients and destinations none stands for all. */
export interface PolicyNode {
  /** By which a node of the next configuration is known to be this one. */
  readonly key: string
  readonly clients: readonly string[]
  readonly to: readonly string[]
  readonly protocol?: Protocol
  readonly firstPort?: number
  readonly lastPort?: number
  readonly action: 'allow' | 'deny' | 'mark' | 'limit'
  readonly dscp?: number
  readonly limit?: PolicyLimit
}

/** What a node of the policy met, and what was lost there. */
export interface PolicyCounter {
  readonly packets: number
  readonly bytes: number
  readonly droppedPackets: number
  readonly droppedBytes: number
  /** Clients that it keeps count of; the table has room for 65,536 of all nodes. */
  readonly clients: number
}

/** What the translator needs; replaced whole and atomically by configure(). */
export interface DataplaneConfig {
  readonly prefixes: readonly string[]
  readonly allowNonGlobal: boolean
  readonly pools: readonly {
    readonly addresses: readonly string[]
    readonly firstPort: number
    readonly lastPort: number
    readonly clients: readonly string[]
    /** Ports of a block; 0 lends single ports. */
    readonly blockSize?: number
    /** 0 is no limit. */
    readonly blocksPerClient?: number
    readonly deterministic?: boolean
  }[]
  readonly static: readonly { readonly protocol: Protocol; readonly inside: string; readonly outside: string }[]
  readonly filtering: 'endpoint-independent' | 'address-dependent'
  readonly timeouts: {
    readonly tcpEstablished: number
    readonly tcpTransitory: number
    readonly tcpIncomingSyn: number
    readonly udp: number
    readonly icmp: number
    readonly fragment: number
  }
  /** Of all clients under one prefix together; 0 is unlimited. */
  readonly limits: {
    readonly clientPrefixLength: number
    readonly bindings: number
    readonly sessions: number
    readonly newSessionsPerSecond: number
  }
  /** What the log of bindings is told of; exhausted ports and limits come with any of them. */
  readonly logged: 'nothing' | LoggedEvents
  /** Stateless translation; goes before NAT64. */
  readonly siit?: {
    readonly prefix?: string
    readonly map: readonly { readonly ipv6: string; readonly ipv4: string }[]
    readonly amendUdpChecksumZero: boolean
  }
  /** Asked before translation; none allows everything. */
  readonly policy?: readonly PolicyNode[]
  readonly lowestIpv6Mtu: number
  /** Bytes that a SYN may announce; 0 for as it is, `auto` for what the routes of both ends carry. */
  readonly mssClamp: number | 'auto'
  readonly copyTrafficClass: boolean
  /** Of IPv4 packets when it is not copied. */
  readonly tos: number
  /** Tell the IPv6 source of an ICMP error that has no IPv4 address (RFC 6791 section 4). */
  readonly icmpOrigin: boolean
  /** ICMP errors about refused packets, a second and thread. */
  readonly icmpErrorRate: number
  readonly icmpSourceV4: readonly string[]
  readonly icmpSourceV6: readonly string[]
  readonly fragmentMemory: number
  readonly accounting: { readonly prefixLength: number; readonly clients: number }
}

/** Where the kernel can translate established flows. */
export type Hook = 'xdp' | 'tc'

export interface FastpathOptions {
  /** The compiled BPF programs. */
  readonly object: string
  /** Directory to pin them in; a BPF file system is mounted there if need be. */
  readonly pins: string
  /** Flows of each direction; rounded up to a power of two. */
  readonly flows: number
}

export interface FastpathStatus {
  readonly loaded: boolean
  /** Why it is not loaded, or not pinned. */
  readonly why: string
  /** The last lines of the kernel's verifier, when it refused. */
  readonly verifier: string
  /** Flows go on while the daemon is away. */
  readonly pinned?: boolean
  /** A predecessor's tables were taken over. */
  readonly adopted?: boolean
  readonly attached?: Readonly<Record<string, Hook>>
  readonly flows?: number
  readonly capacity?: number
  /** Flows that found no place and stay with the translator. */
  readonly refused?: number
  readonly translated64?: { readonly packets: number; readonly bytes: number }
  readonly translated46?: { readonly packets: number; readonly bytes: number }
  /** Without a session. */
  readonly siit64?: { readonly packets: number; readonly bytes: number }
  readonly siit46?: { readonly packets: number; readonly bytes: number }
  /** Why packets went on to the translator, or to the host. */
  readonly passes?: readonly { readonly reason: string; readonly sentence: string; readonly packets: number }[]
}

export interface DataplaneOptions {
  /** Name of the TUN device, created persistent, with multi-queue and vnet header. */
  readonly device: string
  readonly threads: number
  /** The mapped session table; adopted when its layout, boot and namespace match. */
  readonly sessionFile: string
  readonly maxSessions: number
  /** Without it every packet goes through the device. */
  readonly fastpath?: FastpathOptions
  readonly config: DataplaneConfig
}

export interface SessionInfo {
  readonly protocol: Protocol
  /** `[address]:port` of the IPv6 client and of the IPv6 form of the server. */
  readonly client6: string
  readonly server6: string
  /** `address:port` of the pool and of the IPv4 server. */
  readonly pool4: string
  readonly server4: string
  readonly state: string
  readonly expiresIn: number
  readonly age: number
  readonly packetsOut: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly bytesIn: number
}

export interface BindingInfo {
  readonly protocol: Protocol
  readonly inside: string
  readonly outside: string
  readonly static: boolean
  readonly sessions: number
  /** Ports of the block that the port is of, FIRST-LAST. */
  readonly block?: string
}

export interface SessionFilter {
  readonly protocol?: Protocol
  /** Address or prefix, of the client or of the server in either family. */
  readonly address?: string
  readonly limit?: number
}

export interface ClientCounter {
  readonly client: string
  readonly packetsOut: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly bytesIn: number
}

/** How far a packet came. */
export type Step = 'parse' | 'policy' | 'session' | 'translate' | 'route'

/** A packet as its headers have it; empty where they could not be read. */
export interface PacketInfo {
  readonly direction: '6to4' | '4to6' | 'unknown'
  /** `[address]:port`, `address:port`, or the address of what has no port. An ICMP query's port is its identifier. */
  readonly source: string
  readonly destination: string
  /** `tcp`, `udp`, `icmp`, `icmpv6`, or the number. */
  readonly protocol: string
  readonly length: number
}

export interface LostPacket extends PacketInfo {
  /** ISO 8601. */
  readonly time: string
  readonly step: Step
}

export interface DropCounter {
  readonly reason: string
  readonly sentence: string
  readonly rfc: string
  readonly packets: number
  /** The last ones, the newest at the end. A flood leaves samples. */
  readonly last: readonly LostPacket[]
}

/** Which packets to follow; an end is an address or prefix of either family, of the packet before or after. */
export interface TraceFilter {
  readonly from?: string
  readonly to?: string
  readonly protocol?: Protocol
}

/** The way of one packet. */
export interface TracedPacket extends PacketInfo {
  /** ISO 8601. */
  readonly time: string
  /** Of the session it belongs to; null when it did not come so far, or belongs to none. */
  readonly session: { readonly state: string; readonly fresh: boolean } | null
  /** It went by its addresses alone (SIIT), and needs no session. */
  readonly stateless: boolean
  /** Why it went no further. */
  readonly lost: {
    readonly reason: string
    readonly sentence: string
    readonly rfc: string
    readonly step: Step
  } | null
  /** Whether its sender was told, by an ICMP error. */
  readonly answered: boolean
  /** Packets that left for it: its fragments each. None, and not lost, is kept for a while. */
  readonly sent: number
  /** Of a packet that is only foreseen: a binding would be made, of a port not known yet (0 in `out`). */
  readonly binding: boolean
  readonly out: PacketInfo | null
}

export interface TraceBatch {
  readonly packets: readonly TracedPacket[]
  /** Packets that matched and were not kept: more came than were read. */
  readonly missed: number
}

/** Routes of one side that leave by one device and carry as much. */
export interface RouteGroup {
  readonly side: 'ipv4' | 'ipv6'
  readonly device: string
  readonly mtu: number
  readonly routes: number
  /** One of them. */
  readonly example: string
}

/** Packets and bytes that went through, and packets that were lost. */
export interface Traffic {
  /** From IPv6 to IPv4. */
  readonly packets64: number
  readonly bytes64: number
  readonly packets46: number
  readonly bytes46: number
  readonly dropped: number
}

/** The traffic is NAT64's; lost packets that were nobody's are counted there too. */
export interface DataplaneStatus extends Traffic {
  readonly device: string
  readonly threads: number
  /** Sessions taken over from the file at start. */
  readonly adopted: number
  /** Why the file was not adopted, when it was not. */
  readonly adoption: string
  readonly sessions: number
  readonly bindings: number
  /** TCP sessions whose handshake did not end yet, and how many such gave way to new ones when there was no room. */
  readonly halfOpen: number
  readonly evicted: number
  readonly maxSessions: number
  /** What went without a session, and was lost there. */
  readonly siit: Traffic
  /** What the translator takes the routes to carry. */
  readonly mtus: readonly RouteGroup[]
  readonly pools: readonly {
    readonly addresses: readonly string[]
    readonly portsUsed: number
    readonly portsTotal: number
    /** Blocks of ports that clients have, and that there are; 0 where single ports are lent. */
    readonly blocksUsed: number
    readonly blocksTotal: number
  }[]
}

export interface Dataplane {
  /** Replaces the configuration; sessions that it still allows live on, the others end. Returns how many ended. */
  configure(config: DataplaneConfig): number
  status(): DataplaneStatus
  sessions(filter?: SessionFilter): readonly SessionInfo[]
  bindings(filter?: SessionFilter): readonly BindingInfo[]
  drops(): readonly DropCounter[]
  clients(top: number): readonly ClientCounter[]
  /** By node of the policy, in its order. */
  policy(): readonly PolicyCounter[]
  /** Follows matching packets until closeTrace(). The number of the trace; 0 when as many as there may be run. */
  openTrace(filter: TraceFilter): number
  /** What was seen since the last time; undefined when the trace is over. */
  readTrace(trace: number): TraceBatch | undefined
  /** Idempotent. */
  closeTrace(trace: number): void
  /** What would become of a packet; nothing is sent, opened or counted. */
  foresee(packet: Buffer): TracedPacket
  /**
   * Fills the buffer with records of the log of bindings, the oldest first, and says how many. To be called until it
   * gives none, and once more after close(): what the packet threads noted last is kept for that.
   */
  readLog(buffer: Buffer): number
  /** Events noted, and events lost because nobody read for too long. */
  logCounters(): { readonly events: number; readonly lost: number }
  /** Has the kernel translate on an interface, or not any more (`tun`). Returns an empty string, or why not. */
  attach(interfaceName: string, hook: Hook | 'tun'): string
  fastpath(): FastpathStatus
  /** Stops the threads. `keep` leaves the TUN device and the session file for a successor. Idempotent. */
  close(options?: { readonly keep?: boolean }): void
}

export type OpenDataplane = (options: DataplaneOptions) => Dataplane
