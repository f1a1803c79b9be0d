// SPDX-License-Identifier: Apache-2.0
/** Counters of the DNS64 server, as status and metrics show them. */
import type { UpstreamStats } from './upstream.ts'
import { RCODE_NAMES } from './wire.ts'

export interface Dns64Stats {
  readonly queries: { readonly udp: number; readonly tcp: number }
  /** By name of the RCODE. */
  readonly answers: Readonly<Record<string, number>>
  readonly synthesised: number
  readonly truncated: number
  readonly cache: {
    readonly hits: number
    readonly misses: number
    readonly entries: number
    readonly bytes: number
    readonly evictions: number
  }
  /** Queries that got no answer, by reason. */
  readonly dropped: {
    readonly rateLimited: number
    readonly malformed: number
    readonly overload: number
    readonly unsent: number
  }
  readonly refused: number
  readonly outstanding: number
  readonly tcpConnections: number
  readonly upstreams: readonly UpstreamStats[]
  readonly unsolicitedAnswers: number
}

/** What is counted while queries are answered. */
export class Counters {
  udp = 0
  tcp = 0
  synthesised = 0
  truncated = 0
  hits = 0
  misses = 0
  rateLimited = 0
  malformed = 0
  overload = 0
  unsent = 0
  refused = 0
  readonly rcodes = new Float64Array(32)

  answersByName(): Record<string, number> {
    const named: Record<string, number> = {}
    for (const [rcode, count] of this.rcodes.entries()) {
      if (count > 0 || rcode in RCODE_NAMES) named[RCODE_NAMES[rcode] ?? `RCODE${rcode}`] = count
    }
    return named
  }
}
