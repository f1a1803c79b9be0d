// SPDX-License-Identifier: Apache-2.0
/** The policy as the translator and as an operator know it. */
import { parsePortRange } from './config/formats.ts'
import type { Config, PolicyNodeConfig } from './config/schema.ts'
import { formatDuration, parseBitRate, parseDuration, parseSize } from './config/units.ts'
import type { Dataplane, PolicyCounter, PolicyLimit, PolicyNode } from './system/dataplane.ts'

function limitOf({ rate, quota }: PolicyNodeConfig): PolicyLimit | undefined {
  if (quota) {
    const { bytes, period, clientPrefixLength } = quota
    return { bytes: parseSize(bytes), period: parseDuration(period), clientPrefixLength }
  }
  if (!rate) return undefined
  const { bandwidth, packetsPerSecond = 1, burst, clientPrefixLength } = rate
  const unit = bandwidth === undefined ? { packetsPerSecond } : { bitsPerSecond: parseBitRate(bandwidth) }
  return { ...unit, burst: parseDuration(burst), clientPrefixLength }
}

/** A node without a name is known by its content, and by its place among those that are alike. */
function keysOf(nodes: readonly PolicyNodeConfig[]): string[] {
  const seen = new Map<string, number>()
  return nodes.map((node) => {
    if (node.name !== undefined) return `name ${node.name}`
    const content = JSON.stringify(node)
    const before = seen.get(content) ?? 0
    seen.set(content, before + 1)
    return `${before} ${content}`
  })
}

export function policyNodes({ policy }: Config): PolicyNode[] {
  const keys = keysOf(policy)
  return policy.map((node, index) => {
    const { clients, to, protocol, ports, verdict, dscp } = node
    const { first, last } = ports === undefined ? {} : parsePortRange(ports)
    const limit = limitOf(node)
    return {
      key: keys[index] ?? '',
      clients,
      to,
      action: verdict ?? (dscp === undefined ? 'limit' : 'mark'),
      ...(protocol && { protocol }),
      ...(first !== undefined && last !== undefined && { firstPort: first, lastPort: last }),
      ...(dscp !== undefined && { dscp }),
      ...(limit && { limit }),
    }
  })
}

export interface PolicyNodeStatus extends PolicyCounter {
  /** Its name, or its place. */
  readonly name: string
  readonly match: string
  readonly action: string
}

function matchOf({ clients, to, protocol, ports }: PolicyNodeConfig): string {
  const parts = [
    ...(clients.length > 0 ? [`clients ${clients.join(', ')}`] : []),
    ...(to.length > 0 ? [`to ${to.join(', ')}`] : []),
    ...(protocol === undefined ? [] : [ports === undefined ? protocol : `${protocol} ${ports}`]),
  ]
  return parts.join('; ') || 'everything'
}

function actionOf({ verdict, rate, quota, dscp }: PolicyNodeConfig): string {
  if (verdict !== undefined) return verdict
  if (dscp !== undefined) return `dscp ${dscp}`
  if (quota) return `quota ${quota.bytes} in ${quota.period} for a /${quota.clientPrefixLength}`
  if (!rate) return ''
  const { bandwidth, packetsPerSecond, burst, clientPrefixLength } = rate
  const speed = bandwidth ?? `${packetsPerSecond} packets/s`
  return `rate ${speed}, burst ${formatDuration(parseDuration(burst))}, for a /${clientPrefixLength}`
}

const NOTHING: PolicyCounter = { packets: 0, bytes: 0, droppedPackets: 0, droppedBytes: 0, clients: 0 }

/** Each node with its counters, in the order in which they are asked. */
export function policyStatus({ policy }: Config, dataplane: Pick<Dataplane, 'policy'> | undefined): PolicyNodeStatus[] {
  const counters = dataplane?.policy() ?? []
  return policy.map((node, index) => ({
    name: node.name ?? `#${index + 1}`,
    match: matchOf(node),
    action: actionOf(node),
    ...(counters[index] ?? NOTHING),
  }))
}
