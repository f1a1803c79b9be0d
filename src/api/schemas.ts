// SPDX-License-Identifier: Apache-2.0
/** Shapes of the API besides the configuration; the OpenAPI document is made of them. */
import { Type } from 'typebox'
import { ConfigSchema } from '../config/schema.ts'
import { FaultSchema } from './problem.ts'

const count = (description: string) => Type.Integer({ minimum: 0, description })

export const ProtocolSchema = Type.Enum(['tcp', 'udp', 'icmp'], { description: 'Protocol; icmp is ICMP echo.' })

export const FilterQuery = Type.Object(
  {
    protocol: Type.Optional(ProtocolSchema),
    address: Type.Optional(
      Type.String({ description: 'Address or prefix of the client or the server, either family.' }),
    ),
    // What is sent is made in one go, while DNS64 waits: 10,000 entries take some 20 ms.
    limit: Type.Integer({ minimum: 1, maximum: 10_000, default: 1000, description: 'Entries at most.' }),
  },
  { additionalProperties: false },
)

export const ClientsQuery = Type.Object(
  { top: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Clients at most, busiest first.' })) },
  { additionalProperties: false },
)

export const ConfirmQuery = Type.Object(
  {
    confirm: Type.Optional(
      Type.String({ description: 'Undo the change after this duration unless it is confirmed: `60s`, at most `1d`.' }),
    ),
  },
  { additionalProperties: false },
)

export const IfMatchHeader = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'ETag of the configuration that was read, or `*`.' })),
})

const traffic = {
  packetsOut: count('Packets from IPv6 to IPv4.'),
  bytesOut: count('Bytes from IPv6 to IPv4.'),
  packetsIn: count('Packets from IPv4 to IPv6.'),
  bytesIn: count('Bytes from IPv4 to IPv6.'),
}

export const SessionsSchema = Type.Object({
  sessions: Type.Array(
    Type.Object({
      protocol: ProtocolSchema,
      client6: Type.String({ description: 'IPv6 client, `[ADDRESS]:PORT`.' }),
      server6: Type.String({ description: 'IPv6 form of the server.' }),
      pool4: Type.String({ description: 'IPv4 transport address of the pool.' }),
      server4: Type.String({ description: 'IPv4 server.' }),
      state: Type.String({ description: 'State of RFC 6146 section 3.5.' }),
      expiresIn: Type.Number({ description: 'Seconds.' }),
      age: Type.Number({ description: 'Seconds.' }),
      ...traffic,
    }),
  ),
})

export const BindingsSchema = Type.Object({
  bindings: Type.Array(
    Type.Object({
      protocol: ProtocolSchema,
      inside: Type.String({ description: 'IPv6 transport address.' }),
      outside: Type.String({ description: 'IPv4 transport address.' }),
      static: Type.Boolean(),
      sessions: count('Sessions of the binding.'),
      block: Type.Optional(Type.String({ description: 'Ports of the block that the port is of: FIRST-LAST.' })),
    }),
  ),
})

const packetInfo = {
  direction: Type.Enum(['6to4', '4to6', 'unknown']),
  source: Type.String({ description: '`[ADDRESS]:PORT`, `ADDRESS:PORT`, or the address of what has no port.' }),
  destination: Type.String({ description: 'Likewise. The port of an ICMP query is its identifier.' }),
  protocol: Type.String({ description: '`tcp`, `udp`, `icmp`, `icmpv6`, or the number.' }),
  length: count('Bytes, from the IP header on.'),
}

export const StepSchema = Type.Enum(['parse', 'policy', 'session', 'translate', 'route'], {
  description: 'How far the packet came.',
})

export const DropsSchema = Type.Object({
  drops: Type.Array(
    Type.Object({
      reason: Type.String({ description: 'Stable name.' }),
      sentence: Type.String(),
      rfc: Type.String({ description: 'The section that asks for it.' }),
      packets: count('Packets lost.'),
      last: Type.Array(
        Type.Object({ time: Type.String({ description: 'ISO 8601.' }), step: StepSchema, ...packetInfo }),
        { description: 'The last ones, the newest at the end; a flood leaves samples.' },
      ),
    }),
  ),
})

const tunnelDrops = (description: string) =>
  Type.Array(
    Type.Object({
      reason: Type.String({ description: 'Stable name.' }),
      sentence: Type.String(),
      rfc: Type.String(),
      packets: count('Packets lost.'),
    }),
    { description },
  )

export const TunnelSchema = Type.Object({
  name: Type.String(),
  mode: Type.Enum(['6in4', '6to4', 'isatap', '6rd']),
  local: Type.String({ description: 'IPv4 address of this end.' }),
  remote: Type.Union([Type.String(), Type.Null()], { description: 'Of the other end, where there is one.' }),
  backend: Type.Enum(['kernel', 'sixgate'], { description: 'What runs it.' }),
  why: Type.String({ description: 'Why this one.' }),
  state: Type.Enum(['up', 'down', 'missing']),
  mtu: Type.Integer(),
  addresses: Type.Array(Type.String()),
  packetsOut: count('Packets into the tunnel.'),
  bytesOut: count('Bytes of IPv6 into the tunnel.'),
  packetsIn: count('Packets out of the tunnel.'),
  bytesIn: count('Bytes of IPv6 out of the tunnel.'),
  errors: count('ICMPv4 errors about packets of the tunnel; of the kernel, packets that it refused.'),
  drops: tunnelDrops('Lost packets by reason, where there are any.'),
})

export const TunnelsSchema = Type.Object({
  tunnels: Type.Array(TunnelSchema),
  strays: tunnelDrops('Encapsulated packets that were of no tunnel.'),
})

export const TunnelBody = ConfigSchema.properties.tunnels.items

export const TunnelParams = Type.Object({ name: Type.String({ description: 'Name of the link.' }) })

const end = (which: string) =>
  Type.Optional(Type.String({ description: `Address or prefix of the ${which}, either family.` }))

export const TraceQuery = Type.Object(
  {
    from: end('source'),
    to: end('destination'),
    protocol: Type.Optional(ProtocolSchema),
    limit: Type.Integer({ minimum: 1, maximum: 100_000, default: 1000, description: 'Packets at most.' }),
    seconds: Type.Integer({ minimum: 1, maximum: 3600, default: 60, description: 'Time at most.' }),
  },
  { additionalProperties: false },
)

export const TracedSchema = Type.Object({
  time: Type.String({ description: 'ISO 8601.' }),
  ...packetInfo,
  session: Type.Union([
    Type.Object({
      state: Type.String({ description: 'State of RFC 6146 section 3.5, after the packet.' }),
      fresh: Type.Boolean({ description: 'The packet opened it.' }),
    }),
    Type.Null(),
  ]),
  stateless: Type.Boolean({ description: 'It went by its addresses alone (SIIT), and needs no session.' }),
  lost: Type.Union([
    Type.Object({ reason: Type.String(), sentence: Type.String(), rfc: Type.String(), step: StepSchema }),
    Type.Null(),
  ]),
  answered: Type.Boolean({ description: 'The sender was told by an ICMP error.' }),
  sent: count('Packets that left for it, its fragments each; none, and not lost: kept for a while.'),
  binding: Type.Boolean({ description: 'Only foreseen: a binding would be made, of a port not known yet (0).' }),
  out: Type.Union([Type.Object(packetInfo), Type.Null()], { description: 'The first packet that left.' }),
})

export const InjectBody = Type.Object(
  {
    packet: Type.String({
      maxLength: 400_000,
      description: 'Hexadecimal from the IP header on, or `PROTOCOL SOURCE DESTINATION [FLAGS]`.',
    }),
  },
  { additionalProperties: false },
)

/** One line of a trace. */
export const TraceLineSchema = Type.Union(
  [
    Type.Object({ started: Type.String({ description: 'ISO 8601; packets from now on are seen.' }) }),
    TracedSchema,
    Type.Object({
      ended: Type.Enum(['limit', 'time', 'closed']),
      packets: count('Packets shown.'),
      missed: count('Packets that matched and came too fast to be shown.'),
    }),
  ],
  { description: 'A line each, as JSON: the first says that it started, the last why it ended.' },
)

export const ClientsSchema = Type.Object({
  clients: Type.Array(
    Type.Object({ client: Type.String({ description: 'Canonical address or prefix.' }), ...traffic }),
  ),
})

export const PolicySchema = Type.Object({
  policy: Type.Array(
    Type.Object({
      name: Type.String({ description: 'Its name, or `#` and its place.' }),
      match: Type.String({ description: 'Which packets it is about.' }),
      action: Type.String({ description: 'What it does with them.' }),
      packets: count('Packets that met it.'),
      bytes: count('Bytes of those.'),
      droppedPackets: count('Packets it took.'),
      droppedBytes: count('Bytes of those.'),
      clients: count('Clients that a rate or a quota keeps count of.'),
    }),
    { description: 'The nodes of the policy, in the order in which they are asked.' },
  ),
})

export const StaticBindingSchema = ConfigSchema.properties.nat64.properties.static.items

export const StaticBindingsSchema = Type.Object({ static: Type.Array(StaticBindingSchema) })

export const StaticBindingParams = Type.Object({
  protocol: ProtocolSchema,
  outside: Type.String({ description: '`ADDRESS:PORT` of the pool.' }),
})

const Warnings = Type.Array(FaultSchema, { description: 'What is allowed, and hardly what was meant.' })

export const ConfigStateSchema = Type.Object(
  {
    etag: Type.String({ description: 'Of the running configuration.' }),
    pending: Type.Union([
      Type.Object({
        etag: Type.String(),
        deadline: Type.String({ description: 'ISO 8601; then the change is undone.' }),
        secondsLeft: Type.Integer(),
      }),
      Type.Null(),
    ]),
    warnings: Warnings,
  },
  { description: 'The running configuration and the change that waits for confirmation.' },
)

const device = {
  device: Type.String({ description: 'The TUN device.' }),
  datapath: Type.String({ description: 'How packets are moved.' }),
}

const moved = {
  packets64: count('Packets from IPv6 to IPv4.'),
  bytes64: count('Bytes from IPv6 to IPv4.'),
  packets46: count('Packets from IPv4 to IPv6.'),
  bytes46: count('Bytes from IPv4 to IPv6.'),
  dropped: count('Packets lost.'),
}

const SiitSchema = Type.Object(
  {
    ...device,
    prefix: Type.Union([Type.String(), Type.Null()], { description: 'Where IPv4 hosts appear, if anywhere.' }),
    mappings: count('Explicit address mappings.'),
    ...moved,
  },
  { description: 'Stateless translation.' },
)

const PlaneSchema = Type.Object(
  {
    ...device,
    threads: count('Packet threads.'),
    adopted: count('Sessions taken over at start.'),
    adoption: Type.String({ description: 'Why none were taken over, when none were.' }),
    sessions: count('Sessions.'),
    bindings: count('Bindings (BIB entries).'),
    halfOpen: count('TCP sessions whose handshake did not end yet.'),
    evicted: count('Half-open sessions that gave way to new ones when there was no room.'),
    maxSessions: count('Capacity of the session table.'),
    ...moved,
    pools: Type.Array(
      Type.Object({
        addresses: Type.Array(Type.String()),
        portsUsed: count('Ports and identifiers in use.'),
        portsTotal: count('Ports and identifiers there are.'),
        blocksUsed: count('Blocks of ports that clients have.'),
        blocksTotal: count('Blocks of ports there are; 0 where single ports are lent.'),
      }),
    ),
  },
  { description: 'The NAT64 translator.' },
)

const MtusSchema = Type.Array(
  Type.Object({
    side: Type.Enum(['ipv4', 'ipv6']),
    device: Type.String({ description: 'By which the routes leave.' }),
    mtu: count('Bytes that they carry.'),
    routes: count('How many there are.'),
    example: Type.String({ description: 'One of them.' }),
  }),
  { description: 'What the translator takes the routes of both sides to carry.' },
)

const FastpathSchema = Type.Object(
  {
    loaded: Type.Boolean({ description: 'Whether the kernel has taken the BPF programs.' }),
    why: Type.String({ description: 'Why it has not, or why nothing is pinned.' }),
    verifier: Type.String({ description: "The last lines of the kernel's verifier, when it refused." }),
    pinned: Type.Optional(Type.Boolean({ description: 'Flows go on while the daemon is away.' })),
    adopted: Type.Optional(Type.Boolean({ description: "A predecessor's flows were taken over." })),
    flows: Type.Optional(count('Flows that the kernel translates.')),
    capacity: Type.Optional(count('Places for flows.')),
    refused: Type.Optional(count('Flows that found no place and stay with the translator.')),
    translated64: Type.Optional(Type.Object({ packets: count('Packets.'), bytes: count('Bytes.') })),
    translated46: Type.Optional(Type.Object({ packets: count('Packets.'), bytes: count('Bytes.') })),
    siit64: Type.Optional(Type.Object({ packets: count('Packets.'), bytes: count('Bytes.') })),
    siit46: Type.Optional(Type.Object({ packets: count('Packets.'), bytes: count('Bytes.') })),
    passes: Type.Optional(
      Type.Array(Type.Object({ reason: Type.String(), sentence: Type.String(), packets: count('Packets.') }), {
        description: 'Why packets went on to the translator or to the host.',
      }),
    ),
  },
  { description: 'Translation of established flows in the kernel.' },
)

export const StatusSchema = Type.Object(
  {
    version: Type.String(),
    instance: Type.String({ description: 'Name of the instance; empty for the only one.' }),
    uptime: Type.Number({ description: 'Seconds.' }),
    interfaces: Type.Array(
      Type.Object({
        name: Type.String(),
        role: Type.String(),
        state: Type.Enum(['up', 'down', 'missing']),
        mtu: Type.Optional(Type.Integer()),
        addresses: Type.Array(Type.String()),
        datapath: Type.Optional(
          Type.Enum(['xdp', 'tc', 'tun'], { description: 'Where packets of established flows are translated.' }),
        ),
        why: Type.Optional(
          Type.String({ description: 'Why not where it is faster; empty where there is no such place.' }),
        ),
      }),
    ),
    fastpath: Type.Union([FastpathSchema, Type.Null()]),
    nat64: Type.Union([PlaneSchema, Type.Null()]),
    siit: Type.Union([SiitSchema, Type.Null()]),
    mtus: MtusSchema,
    clients: ClientsSchema.properties.clients,
    policy: PolicySchema.properties.policy,
    dns64: Type.Unknown({ description: 'Counters of DNS64, as at /api/v1/dns64; null when it does not run.' }),
    advertise: Type.Unknown({ description: 'Router advertisements; null when there are none.' }),
    dhcp4: Type.Unknown({ description: 'DHCPv4 leases; null when there are none.' }),
    tunnels: Type.Unknown({ description: 'As at /api/v1/tunnels; null when there are none.' }),
    bindingLog: Type.Unknown({ description: 'Counters of the log of bindings; null when there is none.' }),
    warnings: Type.Array(Type.String(), { description: 'What an operator should look at.' }),
    config: Type.Object({
      ...ConfigStateSchema.properties,
      file: Type.String({ description: 'The file the operator edits.' }),
      origin: Type.Enum(['file', 'last-good'], { description: 'Where the configuration at start came from.' }),
    }),
    api: Type.Object({ listen: Type.Array(Type.String()) }),
  },
  { additionalProperties: true, description: 'State of the gateway and of each of its features.' },
)

export const HealthSchema = Type.Object({ status: Type.Enum(['ok', 'failing']), reasons: Type.Array(Type.String()) })
export const CheckSchema = Type.Object({ valid: Type.Literal(true), etag: Type.String(), warnings: Warnings })

export const Dns64Schema = Type.Object(
  {
    queries: Type.Object({ udp: count('Over UDP.'), tcp: count('Over TCP.') }),
    answers: Type.Record(Type.String(), Type.Integer(), { description: 'Answers by name of the RCODE.' }),
    synthesised: count('Answers with synthesised AAAA records.'),
    truncated: count('Answers with TC set.'),
    cache: Type.Object({
      hits: count('Lookups that were answered.'),
      misses: count('Lookups that were not.'),
      entries: count('Entries.'),
      bytes: count('Bytes in use.'),
      evictions: count('Entries that gave way.'),
    }),
    dropped: Type.Record(Type.String(), Type.Integer(), { description: 'Queries that got no answer, by reason.' }),
    refused: count('Queries of clients that are not served.'),
    outstanding: count('Queries that wait for an upstream.'),
    tcpConnections: count('Open TCP connections of clients.'),
    upstreams: Type.Array(
      Type.Object({
        endpoint: Type.String(),
        healthy: Type.Boolean(),
        queries: count('Sent.'),
        answers: count('Received.'),
        timeouts: count('Without an answer in time.'),
        latency: Type.Number({ description: 'Smoothed, in milliseconds.' }),
      }),
    ),
    unsolicitedAnswers: count('Answers nobody had asked for.'),
  },
  { additionalProperties: true, description: 'Counters of DNS64.' },
)
