// SPDX-License-Identifier: Apache-2.0
/**
 * Queries a second per IPv6 /56 and IPv4 /24, with a burst of one second. A fixed table: a flood of sources
 * makes the limiter forgetful, never large.
 */
import type { Family } from '../net/address.ts'
import { get32 } from './wire.ts'

const SETS = 16_384
const WAYS = 4
const BURST = 1000

export class RateLimiter {
  /** Milliseconds between queries of one client network; 0 is unlimited. */
  #interval = 0
  readonly #high = new Uint32Array(SETS * WAYS)
  readonly #low = new Uint32Array(SETS * WAYS)
  /** When the network will have used up what it was granted so far: GCRA's theoretical arrival time. */
  readonly #arrival = new Float64Array(SETS * WAYS)

  configure(rate: number): void {
    this.#interval = rate > 0 ? 1000 / rate : 0
  }

  /** Whether the query of the client at `at` is one too many; counts it if not. */
  exceeds(bytes: Uint8Array, at: number, family: Family, now: number): boolean {
    if (this.#interval === 0) return false
    const first = get32(bytes, at)
    const high = family === 6 ? first : first >>> 8
    const low = family === 6 ? (get32(bytes, at + 4) & 0xffffff00) | 1 : 2
    const slot = this.#slot(high | 0, low, now)
    const arrival = Math.max(this.#arrival[slot]!, now)
    if (arrival - now >= BURST) return true
    this.#arrival[slot] = arrival + this.#interval
    return false
  }

  #slot(high: number, low: number, now: number): number {
    let hash = Math.imul(high ^ Math.imul(low, 0x85ebca6b), 0xc2b2ae35)
    hash = (hash ^ (hash >>> 15)) & (SETS - 1)
    let oldest = hash * WAYS
    for (let slot = hash * WAYS; slot < hash * WAYS + WAYS; slot++) {
      if ((this.#high[slot]! | 0) === high && (this.#low[slot]! | 0) === low) return slot
      if (this.#arrival[slot]! < this.#arrival[oldest]!) oldest = slot
    }
    this.#high[oldest] = high
    this.#low[oldest] = low
    this.#arrival[oldest] = now
    return oldest
  }
}
