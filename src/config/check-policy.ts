// SPDX-License-Identifier: Apache-2.0
/** Rules about the nodes of the policy. */
import type { Check, Report } from './check-rule.ts'
import type { Config } from './schema.ts'

const ACTIONS = ['verdict', 'rate', 'quota', 'dscp'] as const

export const policyChecks: readonly Check[] = [
  { needs: ['/policy'], run: actions },
  { needs: ['/policy'], run: rates },
  { needs: ['/policy'], run: ports },
  { needs: ['/policy'], run: names },
]

function actions({ policy }: Config, report: Report): void {
  for (const [index, node] of policy.entries()) {
    const given = ACTIONS.filter((key) => node[key] !== undefined)
    if (given.length === 0)
      report(`/policy/${index}`, 'says what it matches, but not what to do', `Add one of ${ACTIONS.join(', ')}.`)
    if (given.length > 1)
      report(
        `/policy/${index}`,
        `has ${given.join(' and ')}`,
        'Write a node for each, in the order they are to be asked.',
      )
  }
}

function rates({ policy }: Config, report: Report): void {
  for (const [index, { rate }] of policy.entries()) {
    if (!rate) continue
    const { bandwidth, packetsPerSecond } = rate
    if (bandwidth === undefined && packetsPerSecond === undefined)
      report(`/policy/${index}/rate`, 'does not say how fast', 'Add bandwidth: 10Mbit/s, or packetsPerSecond: 1000.')
    if (bandwidth !== undefined && packetsPerSecond !== undefined)
      report(`/policy/${index}/rate`, 'has bandwidth and packetsPerSecond', 'Write a node for each.')
  }
}

function ports({ policy }: Config, report: Report): void {
  for (const [index, { ports: range, protocol }] of policy.entries())
    if (range !== undefined && protocol !== 'tcp' && protocol !== 'udp')
      report(
        `/policy/${index}/ports`,
        `is set for ${protocol ?? 'every protocol'}`,
        'Add protocol: tcp or protocol: udp, a node for each.',
      )
}

function names({ policy }: Config, report: Report): void {
  const seen = new Map<string, number>()
  for (const [index, { name }] of policy.entries()) {
    if (name === undefined) continue
    const before = seen.get(name)
    if (before === undefined) seen.set(name, index)
    else report(`/policy/${index}/name`, `is the name of /policy/${before} too`, 'Choose a name for each node.')
  }
}
