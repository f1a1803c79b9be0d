// SPDX-License-Identifier: Apache-2.0
/**
 * The one source of the configuration: types, validation, defaults, JSON Schema, config/REFERENCE.md and
 * the OpenAPI body all derive from this file. A string's `format` names the parser that canonicalises it
 * (src/config/formats.ts); a loaded Config holds canonical text only, so two spellings compare equal.
 */
import { type Static, type TSchema, Type } from 'typebox'

const closed = { additionalProperties: false }

/** An object that refuses unknown keys. */
function section<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { ...closed, description })
}

/** A section that may be left out and is then filled with its defaults. */
function defaulted<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { ...closed, description, default: {} })
}

function text(format: string, description: string, extra: Record<string, unknown> = {}) {
  return Type.String({ format, description, ...extra })
}

function list<T extends TSchema>(items: T, description: string, extra: Record<string, unknown> = {}) {
  return Type.Array(items, { description, ...extra })
}

/** `atLeast` and `atMost` bound a duration or a size. */
function duration(description: string, fallback: string, bounds: { atLeast: string; atMost?: string }) {
  return text('duration', description, { default: fallback, ...bounds })
}

const Way = (options: { default?: string; description: string }) => Type.Enum(['auto', 'xdp', 'tc', 'tun'], options)

const Interface = section(
  {
    name: text('interface-name', 'Kernel name of the link, or the name to give a VLAN.'),
    role: Type.Enum(['inside', 'outside'], {
      description: 'inside faces the IPv6-only clients, outside the IPv4 internet.',
    }),
    addresses: Type.Optional(
      list(text('interface-address', 'Address with prefix length.'), 'Addresses the gateway adds and takes back.'),
    ),
    routes: Type.Optional(
      list(text('route', '`PREFIX via ADDRESS`, or `PREFIX` for a route on the link.'), 'Routes through this link.'),
    ),
    dhcp4: Type.Optional(Type.Boolean({ description: 'Run a DHCPv4 client on this link.' })),
    acceptRa: Type.Optional(
      Type.Boolean({ description: 'Accept router advertisements although the host forwards (accept_ra 2).' }),
    ),
    vlan: Type.Optional(Type.Integer({ minimum: 1, maximum: 4094, description: 'VLAN identifier; needs `parent`.' })),
    parent: Type.Optional(text('interface-name', 'The link that carries the VLAN.')),
    mtu: Type.Optional(Type.Integer({ minimum: 1280, maximum: 65535, description: 'Link MTU in bytes.' })),
    datapath: Type.Optional(Way({ description: 'As `datapath`, for this link alone.' })),
  },
  'One link. Without addresses, dhcp4 or acceptRa its addressing is left alone.',
)

const Pool = section(
  {
    addresses: list(text('prefix4', 'IPv4 prefix, or one address.'), 'IPv4 addresses that clients share.', {
      minItems: 1,
    }),
    ports: text('port-range', 'Ports and ICMP identifiers the pool may use.', { default: '1024-65535' }),
    clients: list(
      text('prefix6', 'IPv6 prefix, or one address.'),
      'Clients that use this pool; the longest match wins.',
      {
        default: ['::/0'],
        minItems: 1,
      },
    ),
    announce: Type.Boolean({ default: false, description: 'Answer ARP for the pool on the outside links.' }),
    blockSize: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 32768,
      description:
        'Adjacent ports that a client (`limits.clientPrefixLength`) is lent at once, 64 or more, as long as it has a binding among them; 0 lends single ports. A change ends the bindings of the pool.',
    }),
    blocksPerClient: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 1008,
      description: 'Blocks a client may have at once, all of one address; 0 is unlimited.',
    }),
    deterministic: Type.Boolean({
      default: false,
      description:
        'Each client has one block, which follows from its place in `clients` (RFC 7422): the first has the first block of the first address, the second that of the second address. `sixgate address` says whose a port is.',
    }),
  },
  'A set of IPv4 transport addresses (pool4).',
)

const StaticBinding = section(
  {
    protocol: Type.Enum(['tcp', 'udp', 'icmp'], {
      description: 'Protocol; for icmp the port is the query identifier.',
    }),
    inside: text('endpoint6', 'IPv6 transport address `[ADDRESS]:PORT`.'),
    outside: text('endpoint4', 'IPv4 transport address `ADDRESS:PORT`, inside a pool.'),
  },
  'A BIB entry that never expires.',
)

const Timeouts = defaulted(
  {
    tcpEstablished: duration('TCP_EST; RFC 5382 REQ-5 asks for 2h4m or more.', '2h4m', { atLeast: '1s' }),
    tcpTransitory: duration('TCP_TRANS; RFC 5382 REQ-5 asks for 4m or more.', '4m', { atLeast: '1s' }),
    tcpIncomingSyn: duration('TCP_INCOMING_SYN, 6s by RFC 6146 section 4.', '6s', { atLeast: '1s' }),
    udp: duration('UDP_DEFAULT (RFC 4787 REQ-5).', '5m', { atLeast: '2m' }),
    icmp: duration('ICMP_DEFAULT; RFC 5508 REQ-2 asks for 60s or more.', '1m', { atLeast: '1s' }),
    fragment: duration('FRAGMENT_MIN (RFC 6146 section 4).', '2s', { atLeast: '2s' }),
  },
  'Session lifetimes.',
)

function limit(description: string) {
  return Type.Integer({ default: 0, minimum: 0, maximum: 1_000_000, description: `${description}; 0 is unlimited.` })
}

const Limits = defaulted(
  {
    clientPrefixLength: Type.Integer({
      default: 64,
      minimum: 1,
      maximum: 128,
      description: 'Addresses under one prefix of this length are one client; 128 limits each address.',
    }),
    bindings: limit('Ports and ICMP identifiers a client may hold at once, static bindings apart'),
    sessions: limit('Sessions a client may hold at once; IPv4 hosts that speak first get seven eighths of them'),
    newSessionsPerSecond: limit(
      'Sessions a client may open in a second, and at once; IPv4 hosts may open as many to it',
    ),
  },
  'What one client may hold (RFC 6888 REQ-4 and REQ-5). Unlimited unless set, for a whole site is often one /64: ' +
    'a client can then take every free port, and others keep only those they have.',
)

const Nat64 = section(
  {
    prefixes: list(text('nat64-prefix', 'RFC 6052 prefix of 32, 40, 48, 56, 64 or 96 bits.'), 'Translation prefixes.', {
      minItems: 1,
      default: ['64:ff9b::/96'],
    }),
    allowNonGlobal: Type.Boolean({
      default: false,
      description: 'Let the well-known prefix carry non-global IPv4 addresses (RFC 6052 section 3.1 forbids it).',
    }),
    pools: list(Pool, 'IPv4 pools.', { minItems: 1 }),
    static: list(StaticBinding, 'Static bindings (port forwarding).', { default: [], maxItems: 65536 }),
    filtering: Type.Enum(['endpoint-independent', 'address-dependent'], {
      default: 'endpoint-independent',
      description: 'Who may reach a binding from outside (RFC 4787 section 5, RFC 5382 REQ-3).',
    }),
    timeouts: Timeouts,
    limits: Limits,
    maxSessions: Type.Integer({
      default: 1_048_576,
      minimum: 1024,
      maximum: 16_777_216,
      description: 'Capacity of the session table; fixed while the daemon runs.',
    }),
  },
  'Stateful NAT64 (RFC 6146).',
)

const Mapping = section(
  {
    ipv6: text('prefix6', 'IPv6 prefix of the hosts, or one address; what follows the IPv4 suffix in it is zero.'),
    ipv4: text('prefix4', 'IPv4 prefix by which they are known, or one address.'),
  },
  'An explicit address mapping (EAM, RFC 7757); the longest match wins.',
)

const Siit = section(
  {
    prefix: Type.Optional(
      text('nat64-prefix', 'RFC 6052 prefix under which IPv4 hosts appear; without it only mapped hosts meet.'),
    ),
    map: list(Mapping, 'IPv6 hosts with IPv4 addresses of their own.', { default: [], maxItems: 65536 }),
  },
  'Stateless translation (SIIT, RFC 7915); it goes before NAT64 when both addresses of a packet have a counterpart.',
)

const clientPrefixLength = Type.Integer({
  default: 64,
  minimum: 1,
  maximum: 128,
  description: 'Addresses under one prefix of this length are one client.',
})

const Rate = section(
  {
    bandwidth: Type.Optional(text('bit-rate', 'IP packets of both directions together.')),
    packetsPerSecond: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100_000_000, description: 'Instead of a bandwidth.' }),
    ),
    burst: duration('How long a client that was quiet may send as fast as it likes, as time at this rate.', '200ms', {
      atLeast: '10ms',
      atMost: '10m',
    }),
    clientPrefixLength,
  },
  'What is faster is lost.',
)

const Quota = section(
  {
    bytes: text('size', 'IP packets of both directions together.', { atLeast: '1KiB' }),
    period: duration('Begins anew after this time, a day at midnight (UTC).', '1d', { atLeast: '1m', atMost: '31d' }),
    clientPrefixLength,
  },
  'What is more is refused until the next period.',
)

const PolicyNode = section(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'By which its counters are known, also after a change.',
      }),
    ),
    clients: list(text('prefix6', 'IPv6 prefix, or one address.'), 'IPv6 hosts, whoever speaks first; empty for all.', {
      default: [],
    }),
    to: list(
      text('prefix', 'Prefix, or one address.'),
      'IPv4 hosts they speak with, or what stands for those under a translation prefix; empty for all.',
      { default: [] },
    ),
    protocol: Type.Optional(Type.Enum(['tcp', 'udp', 'icmp'], { description: 'Every protocol when left out.' })),
    ports: Type.Optional(text('port-range', 'Ports of the IPv4 hosts.')),
    verdict: Type.Optional(
      Type.Enum(['allow', 'deny'], { description: 'The first node with a verdict ends the chain; its end allows.' }),
    ),
    rate: Type.Optional(Rate),
    quota: Type.Optional(Quota),
    dscp: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 63,
        description: 'DSCP of what is translated (RFC 2474); the last one counts.',
      }),
    ),
  },
  'A node of the policy: what it matches, and one of `verdict`, `rate`, `quota` and `dscp`.',
)

const Translation = defaulted(
  {
    lowestIpv6Mtu: Type.Integer({
      default: 1280,
      minimum: 1280,
      maximum: 9000,
      description:
        'DF-clear IPv4 packets are fragmented to this IPv6 size, or to what a narrower route carries (RFC 7915 section 4).',
    }),
    mssClamp: text(
      'mss',
      'The most payload that a TCP SYN of either direction may announce; `auto` is what the routes to both ends carry.',
      { default: 'off', atLeast: '216B', atMost: '65475B' },
    ),
    copyTrafficClass: Type.Boolean({
      default: true,
      description:
        'Copy TOS and traffic class; false writes zero to IPv6 and `tos` to IPv4 packets (RFC 7915 sections 4.1, 5.1).',
    }),
    tos: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 255,
      description: 'TOS octet of IPv4 packets while copyTrafficClass is false.',
    }),
    amendUdpChecksumZero: Type.Boolean({
      default: false,
      description:
        'Compute the checksum of IPv4 UDP datagrams that have none; false drops them (RFC 7915 section 4.5). NAT64 always computes it.',
    }),
    icmpErrorRate: Type.Integer({
      default: 1000,
      minimum: 0,
      maximum: 100000,
      description:
        'ICMP errors about refused packets, a second and packet thread; 0 sends none. Packet Too Big and Time Exceeded are always sent (RFC 7915 sections 4.4 and 5.4).',
    }),
    icmpSourceV4: list(
      text('ipv4', 'IPv4 address.'),
      'Sources of ICMP errors whose sender has no IPv4 address (RFC 6791).',
      {
        default: [],
      },
    ),
    icmpOrigin: Type.Boolean({
      default: true,
      description:
        'Tell the IPv6 address of a router without an IPv4 address in the ICMP errors that SIIT sends for it, as an extension for traceroute (RFC 6791 section 4, RFC 5837).',
    }),
    icmpSourceV6: list(text('ipv6', 'IPv6 address.'), 'Source of ICMPv6 errors the translator itself makes.', {
      default: [],
    }),
    threads: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 64,
      description: 'Packet threads; 0 means one per processor, at most 4.',
    }),
    fragmentMemory: text('size', 'Memory for fragments that wait for their first one.', {
      default: '4MiB',
      atLeast: '64KiB',
      atMost: '1GiB',
    }),
  },
  'Header translation.',
)

const Dns64Rule = section(
  {
    prefix: text('nat64-prefix', 'Prefix to synthesise with.'),
    clients: list(text('prefix', 'Prefix, or one address.'), 'Clients the rule applies to.', {
      default: ['::/0', '0.0.0.0/0'],
    }),
    ipv4: list(text('prefix4', 'IPv4 prefix, or one address.'), 'IPv4 destinations the rule applies to.', {
      default: ['0.0.0.0/0'],
    }),
  },
  'Chooses a synthesis prefix; the first rule that matches wins.',
)

const Dns64 = section(
  {
    listen: list(text('endpoint', '`ADDRESS:PORT`.'), 'Sockets to answer on, UDP and TCP.', {
      minItems: 1,
      default: ['[::]:53'],
    }),
    upstreams: list(text('endpoint', '`ADDRESS:PORT`.'), 'Recursive resolvers to ask, in order of preference.', {
      minItems: 1,
    }),
    clients: list(text('prefix', 'Prefix, or one address.'), 'Clients that are answered; others get REFUSED.', {
      default: ['::1/128', '127.0.0.0/8'],
    }),
    prefixes: Type.Optional(
      list(text('nat64-prefix', 'RFC 6052 prefix.'), 'Synthesis prefixes; the NAT64 prefixes when left out.', {
        minItems: 1,
      }),
    ),
    rules: list(Dns64Rule, 'Prefix by client and IPv4 range, before `prefixes`.', { default: [] }),
    exclude: list(
      text('prefix6', 'IPv6 prefix, or one address.'),
      'AAAA records to ignore besides the synthesis prefixes (RFC 6147 section 5.1.4).',
      {
        default: ['::ffff:0:0/96'],
      },
    ),
    synthesizePrivate: Type.Boolean({
      default: false,
      description: 'Synthesise from RFC 1918 and 100.64.0.0/10 addresses too.',
    }),
    bypass: list(text('domain', 'Domain; names below it match.'), 'Names that are never synthesised.', { default: [] }),
    force: list(
      text('domain', 'Domain; names below it match.'),
      'Names that are synthesised although they have AAAA records.',
      {
        default: [],
      },
    ),
    cacheSize: text('size', 'Upper bound of the answer cache.', { default: '64MiB', atLeast: '64KiB' }),
    rateLimit: Type.Integer({
      default: 1000,
      minimum: 0,
      description: 'Queries per second per /56 or /24; 0 is unlimited.',
    }),
    upstreamTimeout: duration('Wait for an upstream before the next is asked.', '1s', {
      atLeast: '10ms',
      atMost: '1m',
    }),
    tcpConnections: Type.Integer({ default: 256, minimum: 1, description: 'Simultaneous TCP clients.' }),
    tcpIdleTimeout: duration('Idle TCP connections are closed after this long (RFC 7766).', '10s', { atLeast: '1s' }),
    queryLog: Type.Boolean({ default: false, description: 'Log each query at level info.' }),
  },
  'DNS64 (RFC 6147).',
)

const Advertisement = section(
  {
    interface: text('interface-name', 'Link to advertise on.'),
    prefixes: list(text('prefix6', 'On-link autonomous prefix, a /64.'), 'Prefixes clients make addresses from.', {
      default: [],
    }),
    rdnss: list(text('ipv6', 'Resolver address.'), 'Recursive DNS servers (RFC 8106).', { default: [] }),
    pref64: Type.Optional(text('nat64-prefix', 'NAT64 prefix for clients (RFC 8781).')),
    interval: duration('Longest time between unsolicited advertisements (RFC 4861 section 6.2.1).', '10m', {
      atLeast: '4s',
      atMost: '30m',
    }),
    lifetime: duration('Router lifetime, at least the interval; 0s advertises no default route.', '30m', {
      atLeast: '0s',
      atMost: '2h30m',
    }),
  },
  'Router advertisements by radvd.',
)

const Tunnel = section(
  {
    name: text('interface-name', 'Name of the link that is made.'),
    mode: Type.Enum(['6in4', '6to4', 'isatap', '6rd'], {
      description:
        '6in4 joins two ends (RFC 4213), 6to4 sites under 2002::/16 (RFC 3056), 6rd those of one provider (RFC 5969), isatap hosts of one site (RFC 5214).',
    }),
    local: text('ipv4', 'Address of this end, one of this host.'),
    remote: Type.Optional(text('ipv4', '6in4: address of the other end.')),
    prefix: Type.Optional(
      text('prefix6', '6rd: prefix of the domain. isatap: the /64 of the link, in which this host takes its address.'),
    ),
    ipv4Prefix: Type.Optional(
      text(
        'prefix4',
        '6rd: the IPv4 addresses of the domain, whose common bits are not in IPv6 prefixes; all when left out.',
      ),
    ),
    relay: Type.Optional(
      text('ipv4', '6to4, 6rd: router to all other IPv6 addresses, whose packets alone may come from these.'),
    ),
    routers: list(
      text('ipv4', 'IPv4 address.'),
      'isatap: the potential router list, whose packets may come from any address.',
      {
        default: [],
        maxItems: 16,
      },
    ),
    ttl: Type.Integer({ default: 64, minimum: 1, maximum: 255, description: 'TTL of the packets outside.' }),
    tos: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 252,
      description: 'TOS octet of the packets outside; its ECN bits are those of the packet inside (RFC 6040).',
    }),
    pathMtu: Type.Boolean({
      default: true,
      description:
        'Follow the MTU of the way (RFC 4213 section 3.2.2): packets go with DF, and their senders learn what is too big. false: never DF (section 3.2.1).',
    }),
    mtu: Type.Optional(
      Type.Integer({
        minimum: 1280,
        maximum: 65515,
        description: 'Link MTU in bytes; 1480 when left out, or 1280 with `pathMtu: false`.',
      }),
    ),
    addresses: list(
      text('interface-address', 'Address with prefix length.'),
      'Addresses on the tunnel besides those that follow from the mode.',
      { default: [], maxItems: 64 },
    ),
    routes: list(
      text('route', '`PREFIX`, or `PREFIX via ADDRESS`.'),
      'Routes through the tunnel. But for 6in4 a next hop names its IPv4 address by the rule of the mode, or as `::192.0.2.1`; without one the relay or the first router is meant.',
      { default: [], maxItems: 64 },
    ),
    backend: Type.Enum(['auto', 'kernel', 'sixgate'], {
      default: 'auto',
      description: "kernel is Linux's sit, sixgate the gateway's own; auto takes the kernel's where there is one.",
    }),
  },
  'IPv6 over IPv4 (protocol 41). The link is made, and taken away again.',
)

const Token = section(
  {
    name: Type.String({ minLength: 1, maxLength: 64, description: 'Who holds the token; appears in the log.' }),
    sha256: text('sha256', 'SHA-256 of the token, 64 hexadecimal digits.'),
    role: Type.Enum(['admin', 'viewer'], { description: 'viewer may only read.' }),
  },
  'A bearer token.',
)

const Api = defaulted(
  {
    listen: list(text('endpoint', '`ADDRESS:PORT`.'), 'Sockets of the REST API.', { default: ['[::1]:8064'] }),
    tokens: list(Token, 'Bearer tokens; the unix socket in the run directory needs none.', { default: [] }),
  },
  'REST API, metrics and OpenAPI.',
)

const Accounting = defaulted(
  {
    prefixLength: Type.Integer({
      default: 128,
      minimum: 1,
      maximum: 128,
      description: 'Clients are counted per prefix of this length.',
    }),
    clients: Type.Integer({
      default: 4096,
      minimum: 16,
      maximum: 1_048_576,
      description: 'Counted clients at most; the smallest counters give way.',
    }),
    top: Type.Integer({ default: 20, minimum: 1, maximum: 1000, description: 'Clients listed in status and metrics.' }),
  },
  'Packets and bytes per client.',
)

const Collector = section(
  {
    address: text('endpoint', '`ADDRESS:PORT`; the usual port is 4739.'),
    transport: Type.Enum(['tcp', 'udp'], {
      default: 'tcp',
      description: 'udp loses what the network loses. Neither is encrypted: use a network of your own or a tunnel.',
    }),
    observationDomain: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 4_294_967_295,
      description: 'By which the collector tells gateways behind one address apart.',
    }),
    templateRefresh: duration('How often templates, over udp, and losses are told.', '1m', {
      atLeast: '1s',
      atMost: '1d',
    }),
    mtu: Type.Integer({
      default: 1280,
      minimum: 512,
      maximum: 65_535,
      description: 'Largest packet over udp: what the path to the collector carries (RFC 7011 section 10.3.3).',
    }),
  },
  'An IPFIX collector (RFC 7011, RFC 8158). While it is away 65,536 events wait.',
)

const BindingLog = section(
  {
    events: Type.Enum(['bindings', 'blocks', 'sessions'], {
      default: 'bindings',
      description:
        'blocks logs port blocks and no single ports; sessions logs each session with its IPv4 host in place of bindings, which RFC 6888 REQ-12 advises against. Exhausted pools and limits come with each.',
    }),
    files: list(text('path', 'Absolute path.'), 'Files of JSON lines; one that was renamed is made anew.', {
      default: [],
      maxItems: 8,
    }),
    collectors: list(Collector, 'IPFIX collectors.', { default: [], maxItems: 8 }),
  },
  'Who had which outside address and port, and when (RFC 8158).',
)

const Log = defaulted(
  {
    level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error'], {
      default: 'info',
      description: 'Least severe level that is written.',
    }),
    bindings: Type.Optional(BindingLog),
  },
  "The daemon's log, JSON lines on standard error, and the log of bindings.",
)

export const ConfigSchema = section(
  {
    version: Type.Literal(1, { description: 'Version of this format.' }),
    interfaces: list(Interface, 'Links the gateway uses.', { default: [] }),
    nat64: Type.Optional(Nat64),
    siit: Type.Optional(Siit),
    policy: list(PolicyNode, 'What is asked about each packet before it is translated, one node after the other.', {
      default: [],
      maxItems: 64,
    }),
    translation: Translation,
    datapath: Way({
      default: 'auto',
      description:
        'Where packets of established flows are translated: xdp and tc in the kernel, tun in the daemon; auto takes the fastest that the link and the kernel take.',
    }),
    dns64: Type.Optional(Dns64),
    advertise: list(Advertisement, 'Router advertisements.', { default: [] }),
    tunnels: list(Tunnel, 'Tunnels of IPv6 over IPv4.', { default: [], maxItems: 256 }),
    accounting: Accounting,
    api: Api,
    log: Log,
  },
  'sixgate configuration.',
)

/** A validated configuration: defaults filled in, every address, prefix and endpoint in canonical text. */
export type Config = Static<typeof ConfigSchema>
export type InterfaceConfig = Static<typeof Interface>
export type PoolConfig = Static<typeof Pool>
export type Nat64Config = Static<typeof Nat64>
export type SiitConfig = Static<typeof Siit>
export type PolicyNodeConfig = Static<typeof PolicyNode>
export type TranslationConfig = Static<typeof Translation>
export type Dns64Config = Static<typeof Dns64>
export type AdvertisementConfig = Static<typeof Advertisement>
export type TunnelConfig = Static<typeof Tunnel>
export type ApiConfig = Static<typeof Api>
export type CollectorConfig = Static<typeof Collector>
export type BindingLogConfig = Static<typeof BindingLog>
export type AccountingConfig = Static<typeof Accounting>
