// SPDX-License-Identifier: Apache-2.0
/** Metrics in the text format of Prometheus, read from the gateway when they are asked for. */
import type { ConfigStore } from '../config/store.ts'
import type { ClientCounter, DataplaneStatus, DropCounter } from '../system/dataplane.ts'
import type { Gateway } from './gateway.ts'

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

interface Source {
  readonly version: string
  readonly pending: boolean
  readonly prefixes: readonly string[]
  readonly dataplane: DataplaneStatus | undefined
  readonly drops: readonly DropCounter[]
  readonly clients: readonly ClientCounter[]
  readonly dns64: Readonly<Record<string, unknown>>
}

interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly samples: (source: Source) => readonly Sample[]
}

const plane =
  (read: (status: DataplaneStatus) => number) =>
  (source: Source): Sample[] =>
    source.dataplane ? [[{}, read(source.dataplane)]] : []

const pools =
  (read: (pool: DataplaneStatus['pools'][number]) => number) =>
  (source: Source): Sample[] =>
    (source.dataplane?.pools ?? []).map((pool) => [{ pool: pool.addresses.join(',') }, read(pool)])

const directions =
  (out: (status: DataplaneStatus) => number, back: (status: DataplaneStatus) => number) => (source: Source) =>
    source.dataplane
      ? ([
          [{ direction: '6to4' }, out(source.dataplane)],
          [{ direction: '4to6' }, back(source.dataplane)],
        ] as const)
      : []

const clients = (unit: 'packets' | 'bytes') => (source: Source) =>
  source.clients.flatMap(
    (counter) =>
      [
        [{ client: counter.client, direction: '6to4' }, counter[`${unit}Out`]],
        [{ client: counter.client, direction: '4to6' }, counter[`${unit}In`]],
      ] as const,
  )

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
    name: 'sixgate_nat64_sessions_adopted',
    type: 'gauge',
    help: 'Sessions taken over at start.',
    samples: plane((s) => s.adopted),
  },
  {
    name: 'sixgate_nat64_packets_total',
    type: 'counter',
    help: 'Translated packets.',
    samples: directions(
      (s) => s.packets64,
      (s) => s.packets46,
    ),
  },
  {
    name: 'sixgate_nat64_bytes_total',
    type: 'counter',
    help: 'Translated bytes.',
    samples: directions(
      (s) => s.bytes64,
      (s) => s.bytes46,
    ),
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
    name: 'sixgate_dns64_events_total',
    type: 'counter',
    help: 'Events of DNS64, by kind.',
    samples: ({ dns64 }) => numbers(dns64).map(([event, count]) => [{ event }, count]),
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
  const { dataplane, dns64, config } = gateway
  return {
    version,
    pending: store.pending !== undefined,
    prefixes: config.nat64?.prefixes ?? [],
    dataplane: dataplane?.status(),
    drops: dataplane?.drops() ?? [],
    clients: dataplane?.clients(config.accounting.top) ?? [],
    dns64: (dns64?.stats() ?? {}) as Record<string, unknown>,
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

function numbers(record: Readonly<Record<string, unknown>>): [string, number][] {
  return Object.entries(record).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
}
