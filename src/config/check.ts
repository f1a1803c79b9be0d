// SPDX-License-Identifier: Apache-2.0
import type { Fault } from '../errors.ts'
import type { Config } from './schema.ts'

/** What is wrong between the keys of a configuration, without a look at the host. */
export function crossCheck(config: Config): Fault[] {
  return config.dns64 && !config.nat64 && !config.dns64.prefixes
    ? [
        {
          path: '/dns64/prefixes',
          message: 'is missing, and there is no nat64 to take it from',
          remedy: 'Add prefixes: ["64:ff9b::/96"]',
        },
      ]
    : []
}
