// SPDX-License-Identifier: Apache-2.0
/** `show status` for a reader: what runs, what is wrong, who is busy. Everything else is in the JSON. */
import type { Static } from 'typebox'
import type * as shape from '../api/schemas.ts'
import { formatDuration } from '../config/units.ts'
import { bytes, printable, table } from './io.ts'

type Status = Static<typeof shape.StatusSchema>
type Dns64 = Static<typeof shape.Dns64Schema>

export function statusLines(status: Status): string[] {
  const sections = [
    pending(status),
    head(status),
    [...status.warnings, ...status.config.warnings.map(({ path, message }) => `${path}: ${message}`)].map(
      (warning) => `! ${printable(warning)}`,
    ),
    interfaces(status),
    fastpath(status),
    nat64(status),
    siit(status),
    mtus(status),
    status.policy.length > 0 ? policyLines(status.policy) : [],
    clients(status),
    dns64(status.dns64 as Dns64 | null),
    status.advertise ? ['advertise', ...tree(status.advertise, '  ')] : [],
    status.dhcp4 ? ['dhcp4', ...tree(status.dhcp4, '  ')] : [],
    status.tunnels ? ['tunnels', ...tree(status.tunnels, '  ')] : [],
    status.bindingLog ? ['log of bindings', ...tree(status.bindingLog, '  ')] : [],
  ]
  return sections.filter((lines) => lines.length > 0).flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]))
}

function pending({ config: { pending } }: Status): string[] {
  return pending ? [`A change is undone in ${pending.secondsLeft} s unless \`sixgate confirm\` is run.`] : []
}

function head({ version, instance, uptime, config, api }: Status): string[] {
  const name = instance === '' ? '' : `, instance ${instance}`
  const file = config.origin === 'file' ? config.file : `the last good one, not ${config.file} as it is`
  return [
    `sixgate ${version}${name}, up ${formatDuration(Math.round(uptime))}`,
    `configuration ${config.etag}, started from ${file}`,
    `api on ${api.listen.join(', ') || 'no address'}`,
  ].map(printable)
}

function interfaces({ interfaces }: Status): string[] {
  if (interfaces.length === 0) return []
  const rows = interfaces.map((one) => [
    one.name,
    one.role,
    one.state,
    one.mtu ?? '-',
    one.datapath ?? '-',
    one.addresses.join(', ') || '-',
  ])
  return table(['interface', 'role', 'state', 'mtu', 'datapath', 'addresses'], rows)
}

/** Why an interface is slower than it could be, and what the kernel does by itself. */
function fastpath({ interfaces, fastpath }: Status): string[] {
  const reasons = interfaces.flatMap(({ name, why }) => (why ? [`  ${name}: ${why}`] : []))
  if (!fastpath) return []
  if (!fastpath.loaded)
    return ['fast path: none', ...reasons, ...fastpath.verifier.split('\n').filter(Boolean)].map(printable)
  const { flows = 0, capacity = 0, translated64, translated46, why } = fastpath
  return [
    `fast path: ${flows} of ${capacity} flows${fastpath.pinned ? '' : `, not pinned: ${why}`}`,
    `  IPv6 to IPv4 ${translated64?.packets ?? 0} packets, IPv4 to IPv6 ${translated46?.packets ?? 0} packets`,
    ...reasons,
  ].map(printable)
}

function nat64({ nat64 }: Status): string[] {
  if (!nat64) return []
  const blocks = nat64.pools.some(({ blocksTotal }) => blocksTotal > 0)
  const pools = nat64.pools.map((pool) => [
    pool.addresses.join(', '),
    pool.portsUsed,
    pool.portsTotal,
    ...(blocks ? [pool.blocksUsed, pool.blocksTotal] : []),
  ])
  return [
    `nat64 on ${printable(nat64.device)}: ${nat64.sessions} of ${nat64.maxSessions} sessions, ${nat64.bindings} bindings`,
    ...traffic(nat64),
    ...adopted(nat64),
    ...table(['pool', 'ports used', 'ports', ...(blocks ? ['blocks used', 'blocks'] : [])], pools).map(
      (line) => `  ${line}`,
    ),
  ]
}

function siit({ siit }: Status): string[] {
  if (!siit) return []
  const under = siit.prefix === null ? 'no prefix' : `IPv4 under ${siit.prefix}`
  return [`siit on ${siit.device}: ${under}, ${siit.mappings} mappings`, ...traffic(siit)].map(printable)
}

function mtus({ mtus }: Status): string[] {
  const rows = mtus.map(({ side, mtu, device, routes, example }) => [side, mtu, device, routes, example])
  return rows.length === 0 ? [] : table(['side', 'mtu', 'device', 'routes', 'such as'], rows)
}

function traffic(moved: NonNullable<Status['siit' | 'nat64']>): string[] {
  return [
    `  IPv6 to IPv4 ${moved.packets64} packets, ${bytes(moved.bytes64)}`,
    `  IPv4 to IPv6 ${moved.packets46} packets, ${bytes(moved.bytes46)}`,
    `  lost ${moved.dropped} packets (\`sixgate show drops\` says why)`,
  ]
}

/** A first start has nothing to take over, and no reason. */
function adopted({ adopted, adoption }: NonNullable<Status['nat64']>): string[] {
  if (adopted > 0) return [`  ${adopted} sessions taken over`]
  return adoption === '' ? [] : [`  no sessions taken over: ${printable(adoption)}`]
}

export function policyLines(nodes: Status['policy']): string[] {
  if (nodes.length === 0) return ['there is no policy: everything may pass']
  const rows = nodes.map((one) => [
    ...[one.name, one.match, one.action, one.packets, bytes(one.bytes)],
    ...[one.droppedPackets, bytes(one.droppedBytes)],
  ])
  return table(['node', 'match', 'action', 'packets', 'bytes', 'lost packets', 'lost bytes'], rows)
}

function clients({ clients }: Status): string[] {
  if (clients.length === 0) return []
  const rows = clients.map((one) => [
    one.client,
    one.packetsOut,
    bytes(one.bytesOut),
    one.packetsIn,
    bytes(one.bytesIn),
  ])
  return table(['client', 'packets out', 'bytes out', 'packets in', 'bytes in'], rows)
}

function dns64(stats: Dns64 | null): string[] {
  if (!stats) return []
  const { queries, synthesised, cache } = stats
  const asked = `${queries.udp} queries over UDP, ${queries.tcp} over TCP, ${synthesised} answers synthesised`
  const upstreams = stats.upstreams.map((one) => [
    one.endpoint,
    one.healthy ? 'up' : 'down',
    one.queries,
    one.timeouts,
    `${one.latency.toFixed(1)} ms`,
  ])
  return [
    `dns64: ${asked}`,
    `  cache ${cache.entries} entries, ${bytes(cache.bytes)}, ${cache.hits} hits, ${cache.misses} misses`,
    ...table(['upstream', 'state', 'queries', 'timeouts', 'latency'], upstreams).map((line) => `  ${line}`),
  ]
}

/** `name: value` lines, indented; a list of alike objects is a table. */
export function tree(value: unknown, indent = ''): string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${printable(String(value ?? '-'))}`]
  return Object.entries(value).flatMap(([key, child]) => {
    const name = `${indent}${printable(key)}:`
    if (typeof child !== 'object' || child === null) return [`${name} ${printable(String(child ?? '-'))}`]
    if (!Array.isArray(child)) return [name, ...tree(child, `${indent}  `)]
    if (child.length === 0) return [`${name} -`]
    if (child.every((one) => typeof one !== 'object'))
      return [`${name} ${child.map((one) => printable(String(one))).join(', ')}`]
    return [name, ...rows(child).map((line) => `${indent}  ${line}`)]
  })
}

function rows(list: readonly Record<string, unknown>[]): string[] {
  const head = [...new Set(list.flatMap((one) => Object.keys(one)))]
  return table(
    head,
    list.map((one) => head.map((key) => cell(one[key]))),
  )
}

function cell(value: unknown): string | number {
  if (typeof value === 'number') return value
  if (Array.isArray(value)) return value.join(', ')
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '-')
}
