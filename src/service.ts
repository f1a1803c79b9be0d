// SPDX-License-Identifier: Apache-2.0
import type { Config } from './config/schema.ts'
import type { Fault } from './errors.ts'
import type { Desired } from './system/reconcile.ts'

export interface CloseOptions {
  /** A successor takes over: nobody is told that the gateway goes away. */
  readonly keep?: boolean
}

/** A part of the daemon that runs, as opposed to state of the kernel that stays. */
export interface Service {
  readonly name: string
  /** What it cannot do on this host. */
  check?(config: Config): Promise<Fault[]>
  /** Makes it run as the configuration says, or not at all. On failure it runs as before. */
  update(config: Config): Promise<void>
  /** For the status; undefined while the configuration has no use for it. */
  status(): unknown
  /** Kernel state it learnt by itself, as far as the configuration still wants it. */
  desired?(config: Config): Desired
  close(options?: CloseOptions): Promise<void>
}
