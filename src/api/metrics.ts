// SPDX-License-Identifier: Apache-2.0
/** Metrics in the text format of Prometheus, read from the gateway when they are asked for. */
import type { BindingLogStats } from '../binding-log.ts'
import type { ConfigStore } from '../config/store.ts'
import type { Dns64Stats } from '../dns64/stats.ts'
import { type PolicyNodeStatus, policyStatus } from '../policy.ts'
import { type Status, translators } from '../status.ts'
import type { ClientCounter, DropCounter, FastpathStatus, Traffic } from '../system/dataplane.ts'
import type { TunnelStatus, TunnelsReport } from '../tunnel-service.ts'
import type { Gateway } from './gateway.ts'

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

type Nat64 = NonNullable<Status['nat64']>
type Siit = NonNullable<Status['siit']>

interface Source extends Pick<Status, 'nat64' | 'siit'> {
  readonly version: string
  readonly pending: boolean
  readonly prefixes: readonly string[]
  readonly drops: readonly DropCounter[]
  readonly clients: readonly ClientCounter[]
  readonly policy: readonly PolicyNodeStatus[]
  readonly dns64: Dns64Stats | undefined
  readonly bindingLog: BindingLogStats | undefined
  readonly fastpath: FastpathStatus | undefined
  readonly tunnels: TunnelsReport | undefined
}

interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly samples: (source: Source) => readonly Sample[]
}

const plane =
  (read: (status: Nat64) => number) =>
  ({ nat64 }: Source): Sample[] =>
    nat64 ? [[{}, read(nat64)]] : []

const stateless =
  (read: (status: Siit) => number) =>
  ({ siit }: Source): Sample[] =>
    siit ? [[{}, read(siit)]] : []

const pools =
  (read: (pool: Nat64['pools'][number]) => number) =>
  (source: Source): Sample[] =>
    (source.nat64?.pools ?? []).map((pool) => [{ pool: pool.addresses.join(',') }, read(pool)])

const nodes =
  (read: (node: PolicyNodeStatus) => number) =>
  ({ policy }: Source): Sample[] =>
    policy.map((node) => [{ node: node.name }, read(node)])

const directions =
  (of: 'nat64' | 'siit', unit: 'packets' | 'bytes') =>
  ({ [of]: moved }: Source): Sample[] =>
    moved ? byDirection(moved, unit) : []

function byDirection(moved: Traffic, unit: 'packets' | 'bytes'): Sample[] {
  return [
    [{ direction: '6to4' }, moved[`${unit}64`]],
    [{ direction: '4to6' }, moved[`${unit}46`]],
  ]
}

const clients = (unit: 'packets' | 'bytes') => (source: Source) =>
  source.clients.flatMap(
    (counter) =>
      [
        [{ client: counter.client, direction: '6to4' }, counter[`${unit}Out`]],
        [{ client: counter.client, direction: '4to6' }, counter[`${unit}In`]],
      ] as const,
  )

const dns =
  (read: (stats: Dns64Stats) => readonly Sample[]) =>
  ({ dns64 }: Source): readonly Sample[] =>
    dns64 ? read(dns64) : []

const logged =
  (read: (stats: BindingLogStats) => readonly Sample[]) =>
  ({ bindingLog }: Source): readonly Sample[] =>
    bindingLog ? read(bindingLog) : []

const logTargets = (read: (target: BindingLogStats['targets'][number]) => number) =>
  logged((stats) => stats.targets.map((target) => [{ target: target.target }, read(target)]))

const upstreams = (read: (upstream: Dns64Stats['upstreams'][number]) => number) =>
  dns((stats) => stats.upstreams.map((upstream) => [{ upstream: upstream.endpoint }, read(upstream)]))

const ofTunnels =
  (read: (tunnel: TunnelStatus) => readonly Sample[]) =>
  ({ tunnels }: Source): Sample[] =>
    (tunnels?.tunnels ?? []).flatMap((one) =>
      read(one).map(([labels, value]): Sample => [{ tunnel: one.name, ...labels }, value]),
    )

const tunnelled = (unit: 'packets' | 'bytes') =>
  ofTunnels((one) => [
    [{ direction: 'out' }, one[`${unit}Out`]],
    [{ direction: 'in' }, one[`${unit}In`]],
  ])

function tunnelDrops({ tunnels }: Source): Sample[] {
  const named = (tunnels?.tunnels ?? []).map(({ name, drops }) => ({ name, drops }))
  return [...named, { name: '', drops: tunnels?.strays ?? [] }].flatMap(({ name, drops }) =>
    drops.map(({ reason, packets }): Sample => [{ tunnel: name, reason }, packets]),
  )
}

function byLabel(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([value, count]) => [{ [label]: value }, count])
}

/** The one list of metric names. */
export const METRICS: readonly Metric[] = [
  {
    name: 'sixgate_build_info',
    type: 'gauge',
    help: 'Version in the label, value 1.',
    samples: ({ version }) => [[{ version }, 1]],
  },
  {
    name: 'sixgate_config_pending',
    type: 'gauge',
    help: '1 while a change waits for its confirmation.',
    samples: ({ pending }) => [[{}, Number(pending)]],
  },
  {
    name: 'sixgate_nat64_prefix_info',
    type: 'gauge',
    help: 'Translation prefix in the label, value 1.',
    samples: ({ prefixes }) => prefixes.map((prefix) => [{ prefix }, 1]),
  },
  { name: 'sixgate_nat64_sessions', type: 'gauge', help: 'Sessions.', samples: plane((s) => s.sessions) },
  {
    name: 'sixgate_nat64_sessions_max',
    type: 'gauge',
    help: 'Capacity of the session table.',
    samples: plane((s) => s.maxSessions),
  },
  { name: 'sixgate_nat64_bindings', type: 'gauge', help: 'Bindings (BIB entries).', samples: plane((s) => s.bindings) },
  {
    name: 'sixgate_nat64_sessions_half_open',
    type: 'gauge',
    help: 'TCP sessions whose handshake did not end yet.',
    samples: plane((s) => s.halfOpen),
  },
  {
    name: 'sixgate_nat64_sessions_evicted_total',
    type: 'counter',
    help: 'Half-open sessions that gave way to new ones when there was no room.',
    samples: plane((s) => s.evicted),
  },
  {
    name: 'sixgate_nat64_sessions_adopted',
    type: 'gauge',
    help: 'Sessions taken over at start.',
    samples: plane((s) => s.adopted),
  },
  {
    name: 'sixgate_nat64_packets_total',
    type: 'counter',
    help: 'Packets that NAT64 translated.',
    samples: directions('nat64', 'packets'),
  },
  {
    name: 'sixgate_nat64_bytes_total',
    type: 'counter',
    help: 'Bytes that NAT64 translated.',
    samples: directions('nat64', 'bytes'),
  },
  {
    name: 'sixgate_siit_prefix_info',
    type: 'gauge',
    help: 'Prefix of stateless translation in the label, value 1.',
    samples: ({ siit }) => (siit?.prefix ? [[{ prefix: siit.prefix }, 1]] : []),
  },
  {
    name: 'sixgate_siit_mappings',
    type: 'gauge',
    help: 'Explicit address mappings.',
    samples: stateless((s) => s.mappings),
  },
  {
    name: 'sixgate_siit_packets_total',
    type: 'counter',
    help: 'Packets translated without a session.',
    samples: directions('siit', 'packets'),
  },
  {
    name: 'sixgate_siit_bytes_total',
    type: 'counter',
    help: 'Bytes translated without a session.',
    samples: directions('siit', 'bytes'),
  },
  {
    name: 'sixgate_siit_dropped_packets_total',
    type: 'counter',
    help: 'Packets that stateless translation refused; by reason among those above.',
    samples: stateless((s) => s.dropped),
  },
  {
    name: 'sixgate_fastpath_flows',
    type: 'gauge',
    help: 'Flows that the kernel translates.',
    samples: ({ fastpath }) => (fastpath?.loaded ? [[{}, fastpath.flows ?? 0]] : []),
  },
  {
    name: 'sixgate_fastpath_packets_total',
    type: 'counter',
    help: 'Packets that the kernel translated; among those of their kind above.',
    samples: ({ fastpath }) =>
      fastpath?.loaded
        ? [
            [{ direction: '6to4' }, (fastpath.translated64?.packets ?? 0) + (fastpath.siit64?.packets ?? 0)],
            [{ direction: '4to6' }, (fastpath.translated46?.packets ?? 0) + (fastpath.siit46?.packets ?? 0)],
          ]
        : [],
  },
  {
    name: 'sixgate_fastpath_passed_packets_total',
    type: 'counter',
    help: 'Packets that went on to the translator or to the host, by reason.',
    samples: ({ fastpath }) => (fastpath?.passes ?? []).map(({ reason, packets }) => [{ reason }, packets]),
  },
  {
    name: 'sixgate_dropped_packets_total',
    type: 'counter',
    help: 'Packets lost, by reason.',
    samples: ({ drops }) => drops.map(({ reason, packets }) => [{ reason }, packets]),
  },
  {
    name: 'sixgate_pool_ports_used',
    type: 'gauge',
    help: 'Ports and identifiers in use.',
    samples: pools((p) => p.portsUsed),
  },
  {
    name: 'sixgate_pool_ports_max',
    type: 'gauge',
    help: 'Ports and identifiers of the pool.',
    samples: pools((p) => p.portsTotal),
  },
  {
    name: 'sixgate_pool_blocks_used',
    type: 'gauge',
    help: 'Blocks of ports that clients have.',
    samples: pools((p) => p.blocksUsed),
  },
  {
    name: 'sixgate_pool_blocks_max',
    type: 'gauge',
    help: 'Blocks of ports of the pool; 0 where single ports are lent.',
    samples: pools((p) => p.blocksTotal),
  },
  {
    name: 'sixgate_policy_packets_total',
    type: 'counter',
    help: 'Packets that met a node of the policy.',
    samples: nodes((n) => n.packets),
  },
  {
    name: 'sixgate_policy_bytes_total',
    type: 'counter',
    help: 'Bytes that met a node of the policy.',
    samples: nodes((n) => n.bytes),
  },
  {
    name: 'sixgate_policy_dropped_packets_total',
    type: 'counter',
    help: 'Packets that a node of the policy took.',
    samples: nodes((n) => n.droppedPackets),
  },
  {
    name: 'sixgate_policy_dropped_bytes_total',
    type: 'counter',
    help: 'Bytes that a node of the policy took.',
    samples: nodes((n) => n.droppedBytes),
  },
  {
    name: 'sixgate_client_packets_total',
    type: 'counter',
    help: 'Packets of the busiest clients.',
    samples: clients('packets'),
  },
  {
    name: 'sixgate_client_bytes_total',
    type: 'counter',
    help: 'Bytes of the busiest clients.',
    samples: clients('bytes'),
  },
  {
    name: 'sixgate_dns64_queries_total',
    type: 'counter',
    help: 'Queries of clients.',
    samples: dns((s) => byLabel('transport', s.queries)),
  },
  {
    name: 'sixgate_dns64_answers_total',
    type: 'counter',
    help: 'Answers to clients, by RCODE.',
    samples: dns((s) => byLabel('rcode', s.answers)),
  },
  {
    name: 'sixgate_dns64_synthesised_total',
    type: 'counter',
    help: 'Answers with synthesised AAAA records.',
    samples: dns((s) => [[{}, s.synthesised]]),
  },
  {
    name: 'sixgate_dns64_truncated_total',
    type: 'counter',
    help: 'Answers with TC set.',
    samples: dns((s) => [[{}, s.truncated]]),
  },
  {
    name: 'sixgate_dns64_dropped_total',
    type: 'counter',
    help: 'Queries that got no answer, by reason.',
    samples: dns((s) => byLabel('reason', s.dropped)),
  },
  {
    name: 'sixgate_dns64_refused_total',
    type: 'counter',
    help: 'Queries of clients that are not served.',
    samples: dns((s) => [[{}, s.refused]]),
  },
  {
    name: 'sixgate_dns64_cache_lookups_total',
    type: 'counter',
    help: 'Lookups in the cache.',
    samples: dns(({ cache: { hits, misses } }) => byLabel('result', { hit: hits, miss: misses })),
  },
  {
    name: 'sixgate_dns64_cache_entries',
    type: 'gauge',
    help: 'Entries in the cache.',
    samples: dns((s) => [[{}, s.cache.entries]]),
  },
  {
    name: 'sixgate_dns64_cache_bytes',
    type: 'gauge',
    help: 'Memory of the cache.',
    samples: dns((s) => [[{}, s.cache.bytes]]),
  },
  {
    name: 'sixgate_dns64_cache_evictions_total',
    type: 'counter',
    help: 'Entries that gave way to others.',
    samples: dns((s) => [[{}, s.cache.evictions]]),
  },
  {
    name: 'sixgate_dns64_outstanding',
    type: 'gauge',
    help: 'Queries that wait for an upstream.',
    samples: dns((s) => [[{}, s.outstanding]]),
  },
  {
    name: 'sixgate_dns64_tcp_connections',
    type: 'gauge',
    help: 'Open TCP connections of clients.',
    samples: dns((s) => [[{}, s.tcpConnections]]),
  },
  {
    name: 'sixgate_dns64_unsolicited_total',
    type: 'counter',
    help: 'Answers of upstreams that nobody had asked for.',
    samples: dns((s) => [[{}, s.unsolicitedAnswers]]),
  },
  {
    name: 'sixgate_dns64_upstream_up',
    type: 'gauge',
    help: '1 while the upstream answers.',
    samples: upstreams((u) => Number(u.healthy)),
  },
  {
    name: 'sixgate_dns64_upstream_queries_total',
    type: 'counter',
    help: 'Queries sent to the upstream.',
    samples: upstreams((u) => u.queries),
  },
  {
    name: 'sixgate_dns64_upstream_timeouts_total',
    type: 'counter',
    help: 'Queries the upstream did not answer in time.',
    samples: upstreams((u) => u.timeouts),
  },
  {
    name: 'sixgate_dns64_upstream_latency_seconds',
    type: 'gauge',
    help: 'Smoothed time to an answer.',
    samples: upstreams((u) => u.latency / 1000),
  },
  {
    name: 'sixgate_binding_log_events_total',
    type: 'counter',
    help: 'Events for the log of bindings.',
    samples: logged((s) => [[{}, s.events]]),
  },
  {
    name: 'sixgate_binding_log_lost_total',
    type: 'counter',
    help: 'Events lost because the log was full.',
    samples: logged((s) => [[{}, s.lost]]),
  },
  {
    name: 'sixgate_binding_log_target_written_total',
    type: 'counter',
    help: 'Events written to a file or sent to a collector.',
    samples: logTargets((t) => t.written),
  },
  {
    name: 'sixgate_binding_log_target_lost_total',
    type: 'counter',
    help: 'Events that a file or a collector did not take.',
    samples: logTargets((t) => t.lost),
  },
  {
    name: 'sixgate_binding_log_target_up',
    type: 'gauge',
    help: '1 while the file or the collector takes events.',
    samples: logTargets((t) => Number(t.error === '')),
  },
  {
    name: 'sixgate_tunnel_info',
    type: 'gauge',
    help: 'Mode and backend of a tunnel in the labels, value 1.',
    samples: ofTunnels(({ mode, backend }) => [[{ mode, backend }, 1]]),
  },
  {
    name: 'sixgate_tunnel_up',
    type: 'gauge',
    help: '1 while the link of the tunnel is up.',
    samples: ofTunnels(({ state }) => [[{}, Number(state === 'up')]]),
  },
  {
    name: 'sixgate_tunnel_packets_total',
    type: 'counter',
    help: 'Packets into and out of the tunnel.',
    samples: tunnelled('packets'),
  },
  {
    name: 'sixgate_tunnel_bytes_total',
    type: 'counter',
    help: 'Bytes of IPv6 into and out of the tunnel.',
    samples: tunnelled('bytes'),
  },
  {
    name: 'sixgate_tunnel_icmp_errors_total',
    type: 'counter',
    help: 'ICMPv4 errors about packets of the tunnel.',
    samples: ofTunnels(({ errors }) => [[{}, errors]]),
  },
  {
    name: 'sixgate_tunnel_dropped_packets_total',
    type: 'counter',
    help: 'Packets that a tunnel lost, by reason; those of no tunnel under an empty name.',
    samples: tunnelDrops,
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory of the daemon.',
    samples: () => [[{}, process.memoryUsage.rss()]],
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'User and system CPU time of the daemon.',
    samples: () => [[{}, (process.cpuUsage().user + process.cpuUsage().system) / 1e6]],
  },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'Start of the daemon since the epoch.',
    samples: () => [[{}, Math.round(Date.now() / 1000 - process.uptime())]],
  },
]

export function renderMetrics(context: { gateway: Gateway; store: ConfigStore; version: string }): string {
  const source = sourceOf(context)
  return METRICS.map((metric) => render(metric, source)).join('')
}

function sourceOf({ gateway, store, version }: { gateway: Gateway; store: ConfigStore; version: string }): Source {
  const { dataplane, dns64, bindingLog, tunnels, config } = gateway
  return {
    version,
    pending: store.pending !== undefined,
    prefixes: config.nat64?.prefixes ?? [],
    ...translators(config, dataplane),
    drops: dataplane?.drops() ?? [],
    fastpath: dataplane?.fastpath(),
    clients: dataplane?.clients(config.accounting.top) ?? [],
    policy: policyStatus(config, dataplane),
    dns64: dns64?.stats() as Dns64Stats | undefined,
    bindingLog: bindingLog?.stats(),
    tunnels: tunnels?.report(),
  }
}

function render({ name, type, help, samples }: Metric, source: Source): string {
  const lines = samples(source).map(([labels, value]) => `${name}${renderLabels(labels)} ${value}`)
  if (lines.length === 0) return ''
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
