// SPDX-License-Identifier: Apache-2.0
/** The form of a rule between the keys of a configuration. */
import type { Config } from './schema.ts'

export type Report = (path: string, message: string, remedy: string) => void

export interface Check {
  /** The keys the rule reads. It runs only when all of them are sound: what follows from a fault is no news. */
  readonly needs: readonly string[]
  run(config: Config, report: Report): void
}
