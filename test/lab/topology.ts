// SPDX-License-Identifier: Apache-2.0
/**
 *   client ─── lan0  gw  wan0 ─── server                     host ─── mgmt0 gw
 *   2001:db8:1::10   2001:db8:1::1     192.0.2.80  www       2001:db8:ffff:ID::1
 *   IPv6 only        192.0.2.1         192.0.2.53  ns        2001:db8:ffff:ID::2
 *                    pool 198.51.100.64/28
 */
import { copyFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Gateway } from './gateway.ts'
import { type Namespace, sweep, Topology } from './netns.ts'
import { run } from './process.ts'

const origin = fileURLToPath(new URL('origin.ts', import.meta.url))
const visitor = fileURLToPath(new URL('visitor.ts', import.meta.url))

export const ZONE = 'example.net'

export interface Visit {
  readonly addresses: readonly string[]
  readonly page: string
}

export interface Lab {
  readonly topology: Topology
  readonly client: Namespace
  readonly router: Namespace
  readonly server: Namespace
  readonly gateway: Gateway
  /** The gateway's address on the link to the host. */
  readonly management: string
  /** Fetches a page by name, as a program on the client would. */
  visit(name: string): Promise<Visit>
}

/** The three namespaces with their links, without the gateway. */
export async function wire(label: string) {
  sweep()
  const topology = new Topology(label)
  try {
    const client = await topology.namespace('client')
    const router = await topology.namespace('gw')
    const server = await topology.namespace('server')
    await topology.veth(
      { namespace: client, name: 'eth0', addresses: ['2001:db8:1::10/64'] },
      { namespace: router, name: 'lan0' },
    )
    await topology.veth(
      { namespace: server, name: 'eth0', addresses: ['192.0.2.80/24', '192.0.2.53/24'] },
      { namespace: router, name: 'wan0' },
    )
    await client.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')
    await server.ip('route', 'add', '198.51.100.64/28', 'via', '192.0.2.1')
    return { topology, client, router, server }
  } catch (error) {
    topology.closeNow()
    throw error
  }
}

/** A link to the host, for the REST API. */
async function manage(topology: Topology, router: Namespace): Promise<string> {
  const subnet = `2001:db8:ffff:${topology.id.replace(/^0+(?=.)/, '')}`
  await topology.veth(
    { name: `sixgate-${topology.id}`, addresses: [`${subnet}::1/64`] },
    { namespace: router, name: 'mgmt0', addresses: [`${subnet}::2/64`] },
  )
  return `${subnet}::2`
}

/** The whole lab, up to a gateway that answers. `told` hears of each part as it stands. */
export async function openLab(label: string, config: string, told: (what: string) => void = () => {}): Promise<Lab> {
  const { topology, client, router, server } = await wire(label)
  try {
    const management = await manage(topology, router)
    client.resolver('2001:db8:1::1')
    told('network')
    await server.program(origin, ['192.0.2.80', '192.0.2.53', ZONE])
    told('server')
    // a change applied through the API is written through to the file, and the repository's is not to be edited
    const copy = topology.ownPath(`/run/sixgate-lab/${label}-${topology.id}.yaml`)
    copyFileSync(config, copy)
    const gateway = await new Gateway(router, copy, `l${topology.id}`).start()
    told('gateway')
    return {
      ...{ topology, client, router, server, gateway, management },
      async visit(name) {
        // `ip netns exec` binds the namespace's resolv.conf, so that getaddrinfo(3) asks the gateway
        const args = ['netns', 'exec', client.name, process.execPath, visitor, name]
        return JSON.parse(await run('ip', args, { timeout: 30 }))
      },
    }
  } catch (error) {
    await topology.close()
    throw error
  }
}
