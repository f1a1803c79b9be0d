// SPDX-License-Identifier: Apache-2.0
/**
 * A pool address that is also an address of the host. The local table would win for every packet to it, so what is
 * the translator's is marked before routing and a rule ahead of `local` sends the mark to the device. The host keeps
 * its other ports, its pings and their answers, and leaves the pool's ports alone.
 */
import { parsePortRange } from './config/formats.ts'
import type { Nat64Config } from './config/schema.ts'
import { type Host, type Names, within } from './feature.ts'
import { parsePrefix } from './net/address.ts'
import type { Desired } from './system/reconcile.ts'
import { LOCAL_TABLE, type Resource, type Rule, type Sysctl } from './system/system.ts'

/** One bit, so that marks of others survive. */
const MARK = '0x1000'

/** The routing table that knows only the way to the device. */
const TABLE = '6464'

/** Directly behind the place of `local`, so that no rule of the host comes in between. */
const CLAIM_PRIORITY = 1
const LOCAL_PRIORITY = 2

/** Ephemeral ports the host should have left. */
const ENOUGH_PORTS = 1000

interface Range {
  readonly first: number
  readonly last: number
}

export interface Shared extends Range {
  readonly address: string
}

export function sharedOf(nat64: Nat64Config, own: ReadonlySet<string>): Shared[] {
  return nat64.pools.flatMap(({ addresses, ports }) =>
    addresses.flatMap((text) =>
      within(parsePrefix(text), own).map((address) => ({ address, ...parsePortRange(ports) })),
    ),
  )
}

/** `1-2,5` as the kernel prints it, and back. */
export function parsePortList(text: string): Range[] {
  return text
    .split(',')
    .filter((item) => item.trim() !== '')
    .map((item) => {
      const [first = 0, last = first] = item.split('-').map(Number)
      return { first, last }
    })
}

export function printPortList(ranges: readonly Range[]): string {
  const merged: { first: number; last: number }[] = []
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1)
    if (previous && first <= previous.last + 1) previous.last = Math.max(previous.last, last)
    else merged.push({ first, last })
  }
  return merged.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}

function freePorts(range: Range, reserved: readonly Range[]): number {
  let free = 0
  for (let port = range.first; port <= range.last; port++) {
    if (!reserved.some(({ first, last }) => first <= port && port <= last)) free++
  }
  return free
}

/** The host does not choose the pool's ports for itself, and has others to choose from. */
function portSysctls(shared: readonly Shared[], host: Host): Sysctl[] {
  const list = printPortList([...parsePortList(host.sysctls['net.ipv4.ip_local_reserved_ports'] ?? ''), ...shared])
  const [first = 32768, last = 60999] = (host.sysctls['net.ipv4.ip_local_port_range'] ?? '').split(/\s+/).map(Number)
  const enough = freePorts({ first, last }, parsePortList(list)) >= ENOUGH_PORTS
  return [
    { kind: 'sysctl', name: 'net.ipv4.ip_local_reserved_ports', value: list },
    ...(enough ? [] : [{ kind: 'sysctl', name: 'net.ipv4.ip_local_port_range', value: '1024\t65535' } as const]),
  ]
}

export function planShared(shared: readonly Shared[], host: Host, { device }: Names): Desired {
  if (shared.length === 0) return { present: [], absent: [] }
  const rule = (priority: number, table: string, mark?: string): Rule => ({
    kind: 'rule',
    family: 4,
    priority,
    table,
    ...(mark && { mark }),
  })
  const addresses = [...new Set(shared.map(({ address }) => address))]
  return {
    present: [
      ...portSysctls(shared, host),
      ...addresses.map(
        (address): Resource => ({
          kind: 'route',
          family: 4,
          prefix: `${address}/32`,
          dev: device,
          table: TABLE,
          metric: 0,
        }),
      ),
      rule(CLAIM_PRIORITY, TABLE, `${MARK}/${MARK}`),
      rule(LOCAL_PRIORITY, LOCAL_TABLE),
    ],
    // `local` is looked up behind the mark: its place at 0 is given up only once it stands at 2
    absent: [rule(0, LOCAL_TABLE)],
  }
}

/**
 * Offsets of an ICMP error, in bits from its own header: the header it quotes begins at 64 and, since what left through
 * the pool had no IPv4 options, is 20 bytes long.
 */
function claims({ address, first, last }: Shared): string {
  const ports = `${first}-${last}`
  const quoted = `ip daddr ${address} icmp type { destination-unreachable, time-exceeded, parameter-problem } @th,64,8 0x45`
  return `
    ip daddr ${address} meta l4proto { tcp, udp } th dport ${ports} goto claim
    ip daddr ${address} icmp type echo-reply icmp id ${ports} ip saddr . icmp id != @pings goto claim
    ${quoted} @th,136,8 { 6, 17 } @th,224,16 ${ports} goto claim
    ${quoted} @th,136,8 1 @th,224,8 8 @th,256,16 ${ports} @th,256,16 != @identifiers goto claim`
}

/** Its chains in the gateway's table. */
export function sharedChains(shared: readonly Shared[], { device }: Names): string {
  if (shared.length === 0) return ''
  const pings = shared.map(
    ({ address, first, last }) => `
    ip saddr ${address} icmp type echo-request icmp id ${first}-${last} update @pings { ip daddr . icmp id } \\
      update @identifiers { icmp id }`,
  )
  return `
  set pings {
    typeof ip daddr . icmp id
    size 65535
    flags dynamic,timeout
    timeout 30s
  }
  set identifiers {
    typeof icmp id
    size 65535
    flags dynamic,timeout
    timeout 30s
  }
  chain claim {
    meta mark set meta mark | ${MARK}
    notrack
  }
  chain shared {${shared.map(claims).join('')}
  }
  chain arriving {
    type filter hook prerouting priority raw; policy accept;
    iifname != "${device}" fib daddr type local jump shared
  }
  chain leaving {
    type filter hook output priority raw; policy accept;${pings.join('')}
  }
  chain own {
    type route hook output priority mangle; policy accept;
    fib daddr type local jump shared
  }
  # never entered: that it exists has the kernel reassemble what arrives, so that fragments are told by their ports
  chain reassembly {
    meta l4proto tcp tproxy ip to :1
  }`
}
