// SPDX-License-Identifier: Apache-2.0
/** The rules between the keys of a configuration: what each key allows by itself and together cannot work. */
import type { Fault } from '../errors.ts'
import { blockChecks } from './check-blocks.ts'
import { interfaceChecks } from './check-interfaces.ts'
import { nat64Checks } from './check-nat64.ts'
import { policyChecks } from './check-policy.ts'
import type { Check } from './check-rule.ts'
import { serviceChecks } from './check-services.ts'
import { siitChecks } from './check-siit.ts'
import { tunnelChecks } from './check-tunnels.ts'
import type { Config } from './schema.ts'

export { checkPoolsAgainstHost } from './check-nat64.ts'

const CHECKS: readonly Check[] = [
  ...interfaceChecks,
  ...nat64Checks,
  ...blockChecks,
  ...siitChecks,
  ...tunnelChecks,
  ...policyChecks,
  ...serviceChecks,
]

/** Every fault between keys that can be told without a look at the host; `broken` are paths already at fault. */
export function crossCheck(config: Config, broken: readonly string[] = []): Fault[] {
  const faults: Fault[] = []
  const sound = (need: string) => !broken.some((path) => within(path, need) || within(need, path))
  for (const check of CHECKS)
    if (check.needs.every(sound)) check.run(config, (path, message, remedy) => faults.push({ path, message, remedy }))
  return faults
}

function within(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`)
}
