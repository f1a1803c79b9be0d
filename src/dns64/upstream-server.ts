// SPDX-License-Identifier: Apache-2.0
/** What is known of one upstream resolver. */
import type { Endpoint } from '../net/address.ts'

export const FIRST_BACKOFF = 1000

export interface Server {
  readonly endpoint: Endpoint
  readonly addressBytes: Uint8Array
  down: boolean
  lastAnswer: number
  retryAt: number
  backoff: number
  queries: number
  answers: number
  timeouts: number
  latency: number
}

export function newServer(endpoint: Endpoint): Server {
  return {
    endpoint,
    addressBytes: endpoint.address.toBytes(),
    down: false,
    lastAnswer: Number.NEGATIVE_INFINITY,
    retryAt: 0,
    backoff: FIRST_BACKOFF,
    queries: 0,
    answers: 0,
    timeouts: 0,
    latency: 0,
  }
}
