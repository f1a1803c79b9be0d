// SPDX-License-Identifier: Apache-2.0
/** Where the log of bindings goes. */

export interface TargetStats {
  /** The file, or `TRANSPORT ENDPOINT` of a collector. */
  readonly target: string
  readonly format: 'json' | 'ipfix'
  /** Events handed to the kernel. */
  readonly written: number
  /** Events that were not. */
  readonly lost: number
  /** Why it does not work at the moment; empty when it does. */
  readonly error: string
}

export interface Target {
  /** The records are the caller's again when this returns. */
  write(records: Buffer, count: number): void
  /** The addresses of each pool of the configuration. */
  setPools(pools: readonly (readonly string[])[]): void
  /** So many events were lost before they came here. */
  missed(events: number): void
  stats(): TargetStats
  /** Writes what waits, as far as that goes without waiting for anybody. */
  close(): Promise<void>
}
