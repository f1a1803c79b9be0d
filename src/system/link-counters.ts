// SPDX-License-Identifier: Apache-2.0
/** The kernel's counters of links, of the network namespace of the process. */
import { readFileSync } from 'node:fs'

export interface LinkCounters {
  readonly packetsOut: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly bytesIn: number
  readonly errors: number
}

/** proc_pid_net(5): two lines of heads, then `name: ` and eight columns each of what came and what went. */
export function parseCounters(text: string): Map<string, LinkCounters> {
  const rows = text.split('\n').flatMap((line): [string, LinkCounters][] => {
    const [, name, columns] = /^\s*([^\s:]+):\s*(\d[\d\s]*)$/.exec(line) ?? []
    if (name === undefined || columns === undefined) return []
    const [bytesIn = 0, packetsIn = 0, errorsIn = 0, , , , , , bytesOut = 0, packetsOut = 0, errorsOut = 0] = columns
      .trim()
      .split(/\s+/)
      .map(Number)
    return [[name, { packetsOut, bytesOut, packetsIn, bytesIn, errors: errorsIn + errorsOut }]]
  })
  return new Map(rows)
}

export function linkCounters(): Map<string, LinkCounters> {
  return parseCounters(readFileSync('/proc/self/net/dev', 'utf8'))
}
