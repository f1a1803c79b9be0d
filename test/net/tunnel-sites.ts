// SPDX-License-Identifier: Apache-2.0
/**
 * Two IPv6 islands whose gateways have IPv4 between them.
 *
 *   a ──────────── lan0 gwa wan0 ─────── mid ─────── wan0 gwb lan0 ──────────── b
 *   …:a::10   …:a::1    192.0.2.1    .254   .254  198.51.100.1    …:b::1   …:b::10
 */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll } from 'vitest'
import { Gateway } from '../lab/gateway.ts'
import { type Namespace, Topology } from '../lab/netns.ts'
import { settled } from './story.ts'

export const LOCAL = { a: '192.0.2.1', b: '198.51.100.1' } as const
const ROUTER = { a: '192.0.2.254', b: '198.51.100.254' } as const

type Letter = 'a' | 'b'
type Tunnel = Record<string, unknown>

export interface Site {
  readonly host: Namespace
  readonly router: Namespace
  readonly gateway: Gateway
  /** The host's IPv6 address. */
  readonly address: string
}

export interface Sites {
  readonly topology: Topology
  readonly mid: Namespace
  readonly a: Site
  readonly b: Site
}

export interface SiteOptions {
  readonly tunnels: readonly Tunnel[]
  /** The island's prefix, without `::/64`. */
  readonly prefix: string
  /** Further ones. */
  readonly more?: readonly string[]
  readonly config?: Record<string, unknown>
}

async function openSite(topology: Topology, mid: Namespace, letter: Letter, options: SiteOptions): Promise<Site> {
  const host = await topology.namespace(letter)
  const router = await topology.namespace(`gw${letter}`)
  const address = `${options.prefix}::10`
  const prefixes = [options.prefix, ...(options.more ?? [])]
  await topology.veth(
    { namespace: host, name: 'eth0', addresses: prefixes.map((prefix) => `${prefix}::10/64`) },
    { namespace: router, name: 'lan0' },
  )
  await topology.veth(
    { namespace: mid, name: `to-${letter}`, addresses: [`${ROUTER[letter]}/24`] },
    { namespace: router, name: 'wan0' },
  )
  await host.ip('-6', 'route', 'add', 'default', 'via', `${options.prefix}::1`)
  const config = {
    version: 1,
    interfaces: [
      { name: 'lan0', role: 'inside', addresses: prefixes.map((prefix) => `${prefix}::1/64`) },
      {
        ...{ name: 'wan0', role: 'outside', addresses: [`${LOCAL[letter]}/24`] },
        routes: [`0.0.0.0/0 via ${ROUTER[letter]}`],
      },
    ],
    tunnels: options.tunnels,
    ...options.config,
  }
  const file = topology.ownPath(`/run/sixgate-lab/${topology.label}-${topology.id}-${letter}.yaml`)
  writeFileSync(file, JSON.stringify(config))
  const gateway = new Gateway(router, file, `t${letter}${topology.id}`)
  await gateway.start()
  await settled(router)
  return { host, router, gateway, address }
}

async function openSites(name: string, options: Record<Letter, SiteOptions>): Promise<Sites> {
  const topology = new Topology(name)
  try {
    const mid = await topology.namespace('mid')
    await mid.sysctl({ 'net.ipv4.ip_forward': 1 })
    const [a, b] = [
      await openSite(topology, mid, 'a', options.a),
      await openSite(topology, mid, 'b', options.b),
    ] as const
    return { topology, mid, a, b }
  } catch (error) {
    await topology.close()
    throw error
  }
}

/** Sites for all tests of a story; read them inside a test only. */
export function useSites(name: string, options: Record<Letter, SiteOptions>): { readonly now: Sites } {
  let sites: Sites | undefined
  beforeAll(async () => {
    sites = await openSites(name, options)
  })
  afterAll(async () => {
    await sites?.topology.close()
  })
  return {
    get now() {
      if (!sites) throw new Error('the sites are not open')
      return sites
    },
  }
}

/** Packets that a tunnel lost, by reason; those of no tunnel under the name `strays`. */
export async function lost({ gateway }: Site, name: string): Promise<Record<string, number>> {
  const { body } = await gateway.api('/api/v1/tunnels')
  const drops =
    name === 'strays' ? body.strays : body.tunnels.find((tunnel: { name: string }) => tunnel.name === name)?.drops
  return Object.fromEntries(drops.map((drop: { reason: string; packets: number }) => [drop.reason, drop.packets]))
}

/** Sends one ICMPv6 echo request in protocol 41 with the given addresses, whoever they belong to. */
export async function forge(from: Namespace, outer: [string, string], inner: [string, string]): Promise<void> {
  const script = `
import socket, struct, sys
def checksum(data):
    if len(data) % 2: data += b"\\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
source, destination, source6, destination6 = sys.argv[1:]
s6, d6 = (socket.inet_pton(socket.AF_INET6, text) for text in (source6, destination6))
icmp = bytes([128, 0, 0, 0, 0x12, 0x34, 0, 1]) + b"forged"
pseudo = s6 + d6 + struct.pack("!II", len(icmp), 58)
icmp = icmp[:2] + struct.pack("!H", checksum(pseudo + icmp)) + icmp[4:]
packet = struct.pack("!IHBB", 6 << 28, len(icmp), 58, 64) + s6 + d6 + icmp
header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(packet), 1, 0, 64, 41, 0)
header += socket.inet_aton(source) + socket.inet_aton(destination)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(header + packet, (destination, 0))`
  await from.run('/usr/bin/python3', ['-c', script, ...outer, ...inner])
}
