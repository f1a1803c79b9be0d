// SPDX-License-Identifier: Apache-2.0
/**
 *            ┌── a0 sixgate b0 ──┐        64:ff9b::192.0.2.80       pool 198.51.100.64/28, or stateless:
 *            │                   │        2001:db8:65::192.0.2.80   the client is 198.51.100.64
 *   client ──┼── a1 tayga   b1 ──┼── server
 *            └── a2 plain   b2 ──┘        2001:db8:80::80
 *
 * Three ways between one client and one server, each over its own pair of veth with default offloads; only the way
 * that is asked for moves packets.
 */
import { writeFileSync } from 'node:fs'
import { Gateway } from '../lab/gateway.ts'
import { type Namespace, Topology } from '../lab/netns.ts'
import { until } from '../lab/process.ts'

export interface Arena {
  readonly topology: Topology
  readonly client: Namespace
  readonly server: Namespace
  readonly gateway: Gateway
  /** The server's address as the client sees it, by way. */
  readonly target: Readonly<Record<'sixgate' | 'tayga' | 'plain', string>>
}

interface Capacity {
  readonly addresses?: string
  readonly maxSessions?: number
  /** Both translate by a mapping of the client, tayga's own way. */
  readonly stateless?: boolean
  /** Where established flows are translated; tun unless the measure is of another way. */
  readonly datapath?: 'tun' | 'tc'
}

const STATELESS = { prefix: '2001:db8:65::/96', map: [{ ipv6: '2001:db8:10::10', ipv4: '198.51.100.64' }] }

function configuration(capacity: Capacity): string {
  const { addresses = '198.51.100.64/28', maxSessions = 65_536, stateless, datapath = 'tun' } = capacity
  return JSON.stringify({
    version: 1,
    datapath,
    interfaces: [
      { name: 'a0', role: 'inside', addresses: ['2001:db8:10::1/64'] },
      { name: 'b0', role: 'outside', addresses: ['192.0.2.1/25'] },
    ],
    ...(stateless
      ? { siit: STATELESS }
      : { nat64: { allowNonGlobal: true, maxSessions, pools: [{ addresses: [addresses] }] } }),
    api: { listen: ['[::1]:8064'] },
    log: { level: 'warn' },
  })
}

async function link(arena: Omit<Arena, 'gateway' | 'target'>, router: Namespace, index: number, ipv4?: string) {
  const { topology, client, server } = arena
  await topology.veth(
    { namespace: client, name: `a${index}`, addresses: [`2001:db8:1${index}::10/64`] },
    { namespace: router, name: `a${index}`, addresses: index === 0 ? [] : [`2001:db8:1${index}::1/64`] },
  )
  await topology.veth(
    { namespace: server, name: `b${index}`, addresses: ipv4 ? [ipv4] : ['2001:db8:80::80/64'] },
    { namespace: router, name: `b${index}` },
  )
}

async function startTayga(topology: Topology, router: Namespace, stateless = false): Promise<void> {
  const directory = topology.ownPath(`/run/sixgate-lab/tayga-${topology.id}`)
  await router.run('mkdir', ['-p', directory])
  const config = topology.ownPath(`/run/sixgate-lab/tayga-${topology.id}.conf`)
  writeFileSync(
    config,
    [
      'tun-device nat64',
      'ipv4-addr 203.0.113.1',
      'ipv6-addr 2001:db8:11::2',
      'prefix 2001:db8:64::/96',
      stateless ? 'map 198.51.100.130 2001:db8:11::10' : 'dynamic-pool 198.51.100.128/25',
      `data-dir ${directory}`,
      '',
    ].join('\n'),
  )
  await router.run('tayga', ['--mktun', '-c', config])
  await router.ip('link', 'set', 'nat64', 'up')
  await router.ip('route', 'add', '198.51.100.128/25', 'dev', 'nat64')
  await router.ip('route', 'add', '2001:db8:64::/96', 'dev', 'nat64')
  await router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  router.spawn('tayga', ['-d', '-c', config])
}

export async function openArena(name: string, capacity: Capacity = {}): Promise<Arena> {
  const topology = new Topology(name)
  try {
    const client = await topology.namespace('client')
    const server = await topology.namespace('server')
    const [sixgate, tayga, plain] = [
      await topology.namespace('sixgate'),
      await topology.namespace('tayga'),
      await topology.namespace('plain'),
    ]
    const base = { topology, client, server }
    await link(base, sixgate, 0, '192.0.2.80/25')
    await link(base, tayga, 1, '192.0.2.180/25')
    await link(base, plain, 2)
    await tayga.ip('address', 'add', '192.0.2.129/25', 'dev', 'b1')
    await plain.ip('address', 'add', '2001:db8:80::1/64', 'dev', 'b2', 'nodad')
    await plain.sysctl({ 'net.ipv6.conf.all.forwarding': 1 })
    for (const prefix of ['64:ff9b::/96', STATELESS.prefix])
      await client.ip('-6', 'route', 'add', prefix, 'via', '2001:db8:10::1')
    await client.ip('-6', 'route', 'add', '2001:db8:64::/96', 'via', '2001:db8:11::1')
    await client.ip('-6', 'route', 'add', '2001:db8:80::/64', 'via', '2001:db8:12::1')
    await server.ip('route', 'add', '198.51.100.64/26', 'via', '192.0.2.1')
    await server.ip('route', 'add', '198.51.100.128/25', 'via', '192.0.2.129')
    await server.ip('-6', 'route', 'add', '2001:db8:12::/64', 'via', '2001:db8:80::1')
    await startTayga(topology, tayga, capacity.stateless)
    const file = topology.ownPath(`/run/sixgate-lab/${name}-${topology.id}.yaml`)
    writeFileSync(file, configuration(capacity))
    const gateway = await new Gateway(sixgate, file, `b${topology.id}`).start()
    const sixgateTarget = capacity.stateless ? '2001:db8:65::192.0.2.80' : '64:ff9b::192.0.2.80'
    const target = { sixgate: sixgateTarget, tayga: '2001:db8:64::192.0.2.180', plain: '2001:db8:80::80' }
    for (const [way, address] of Object.entries(target))
      await until(`${way} carries a ping`, async () => {
        return (await client.attempt('ping', ['-6', '-c', '1', '-W', '1', address])).code === 0
      })
    return { ...base, gateway, target }
  } catch (error) {
    await topology.close()
    throw error
  }
}
