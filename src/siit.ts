// SPDX-License-Identifier: Apache-2.0
/**
 * Stateless translation (RFC 7915, RFC 7757). What means an IPv4 host to the IPv6 side, and a mapped IPv6 host to the
 * IPv4 side, is routed to the translator; the mapped IPv6 hosts themselves live behind the gateway's links.
 */
import type { Config } from './config/schema.ts'
import type { Fault } from './errors.ts'
import { type Feature, type Host, type Names, ownIpv4, within } from './feature.ts'
import { deviceRoute, planDevice } from './nat64.ts'
import { parsePrefix } from './net/address.ts'
import { outermost } from './net/prefix-map.ts'
import { type Desired, NOTHING } from './system/reconcile.ts'
import type { Resource } from './system/system.ts'

function routes({ siit }: Config, names: Names): Resource[] {
  const prefixes = [...(siit?.prefix === undefined ? [] : [siit.prefix]), ...(siit?.map ?? []).map(({ ipv4 }) => ipv4)]
  return outermost(prefixes).map((prefix) => deviceRoute(prefix, names))
}

export const siit: Feature = {
  name: 'siit',

  check(config: Config, host: Host): Fault[] {
    const own = ownIpv4(config, host)
    return (config.siit?.map ?? []).flatMap(({ ipv4 }, index) =>
      within(parsePrefix(ipv4), own).map((address) => ({
        path: `/siit/map/${index}/ipv4`,
        message: `${ipv4} contains ${address}, an address of this host`,
        remedy: 'Map IPv4 addresses that are used for nothing else.',
      })),
    )
  },

  plan(config: Config, host: Host, names: Names): Desired {
    if (!config.siit) return NOTHING
    const device = config.nat64 ? [] : planDevice(config, host, names)
    return { present: [...device, ...routes(config, names)], absent: [] }
  },
}
