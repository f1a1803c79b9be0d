// SPDX-License-Identifier: Apache-2.0
/** A story: namespaces named after it, the real gateway among them, and what it needs of the machine. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe } from 'vitest'
import { Gateway } from '../lab/gateway.ts'
import { type Namespace, Topology } from '../lab/netns.ts'
import { run, until } from '../lab/process.ts'

const probed = new Map<string, string | undefined>()

/** Why the machine cannot have it, or undefined. */
export function lacks(need: string): string | undefined {
  if (!probed.has(need)) probed.set(need, probe(need))
  return probed.get(need)
}

function probe(need: string): string | undefined {
  if (need === 'root') return process.getuid?.() === 0 ? undefined : 'not root'
  if (need === 'x86_64') return process.arch === 'x64' ? undefined : 'the machine boots an x86 kernel'
  if (need === 'tun') {
    try {
      closeSync(openSync('/dev/net/tun', 'r+'))
      return undefined
    } catch (error) {
      return `/dev/net/tun: ${(error as Error).message}`
    }
  }
  try {
    execFileSync('which', [need], { stdio: 'ignore' })
    return undefined
  } catch {
    return `${need} is not installed`
  }
}

/** Declares a story; `needs` are `root`, `tun` and names of commands. A skip carries its reason in its name. */
export function story(title: string, needs: readonly string[], tell: () => void): void {
  const missing = ['root', 'tun', ...needs].find((need) => lacks(need) !== undefined)
  if (missing === undefined) describe(title, tell)
  else describe.skip(`${title} SKIP: ${lacks(missing)} (needs ${missing})`, tell)
}

/** What every story's gateway has; a story's own keys replace whole sections. */
const BASE = {
  version: 1,
  interfaces: [
    { name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
    { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'] },
  ],
  nat64: {
    prefixes: ['64:ff9b::/96'],
    allowNonGlobal: true,
    pools: [{ addresses: ['198.51.100.64/28'] }],
  },
  translation: { icmpSourceV4: ['192.0.2.1'], icmpSourceV6: ['2001:db8:1::1'] },
  api: { listen: ['[::1]:8064'] },
}

export type Overrides = Record<string, unknown> & { nat64?: Record<string, unknown> }

/** A configuration for a story, as YAML reads it. */
export function configuration(overrides: Overrides = {}): string {
  const nat64 = { ...BASE.nat64, ...overrides.nat64 }
  return `${JSON.stringify({ ...BASE, ...overrides, nat64 }, null, 2)}\n`
}

export interface Scene {
  readonly topology: Topology
  readonly client: Namespace
  readonly router: Namespace
  readonly server: Namespace
  readonly gateway: Gateway
  readonly configFile: string
}

export interface SceneOptions {
  readonly config?: Overrides
  /** Adds to the topology before the gateway starts. */
  readonly extend?: (scene: Scene) => Promise<void>
  /** The story starts the gateway itself. */
  readonly idle?: boolean
  /** MTU of the links next to the gateway. */
  readonly mtu?: { readonly lan?: number; readonly wan?: number }
}

/**
 *   client ───── lan0 router wan0 ───── server
 *   2001:db8:1::10  2001:db8:1::1   192.0.2.1   192.0.2.80
 *                   pool 198.51.100.64/28
 */
export async function openScene(name: string, options: SceneOptions = {}): Promise<Scene> {
  const topology = new Topology(name)
  try {
    const client = await topology.namespace('client')
    const router = await topology.namespace('gw')
    const server = await topology.namespace('server')
    const { lan, wan } = options.mtu ?? {}
    await topology.veth(
      { namespace: client, name: 'eth0', addresses: ['2001:db8:1::10/64'], ...(lan && { mtu: lan }) },
      { namespace: router, name: 'lan0', ...(lan && { mtu: lan }) },
    )
    await topology.veth(
      { namespace: server, name: 'eth0', addresses: ['192.0.2.80/24'], ...(wan && { mtu: wan }) },
      { namespace: router, name: 'wan0', ...(wan && { mtu: wan }) },
    )
    await client.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')
    await server.ip('route', 'add', '198.51.100.64/28', 'via', '192.0.2.1')
    const configFile = topology.ownPath(`/run/sixgate-lab/${name}-${topology.id}.yaml`)
    writeFileSync(configFile, configuration(options.config))
    const gateway = new Gateway(router, configFile)
    const scene = { topology, client, router, server, gateway, configFile }
    await options.extend?.(scene)
    if (!options.idle) {
      await gateway.start()
      await settled(router)
    }
    return scene
  } catch (error) {
    await topology.close()
    throw error
  }
}

/** Addresses that a gateway has just added answer nobody until their uniqueness is known (RFC 4862 section 5.4). */
export async function settled(namespace: Namespace): Promise<void> {
  await until('no address is tentative', async () => (await namespace.ip('-6', 'address', 'show', 'tentative')) === '')
}

/** A scene for all tests of a story; read it inside a test only. */
export function useScene(name: string, options: SceneOptions = {}): { readonly now: Scene } {
  let scene: Scene | undefined
  beforeAll(async () => {
    scene = await openScene(name, options)
  })
  afterAll(async () => {
    await scene?.topology.close()
  })
  return {
    get now() {
      if (!scene) throw new Error('the scene is not open')
      return scene
    },
  }
}

/** Packets by drop reason. */
export async function drops(gateway: Gateway): Promise<Record<string, number>> {
  const { body } = await gateway.api('/api/v1/drops')
  return Object.fromEntries(body.drops.map((drop: { reason: string; packets: number }) => [drop.reason, drop.packets]))
}

/** A capture with tcpdump that is running when this returns; `packets` ends it and reads it with tshark. */
export async function capture(namespace: Namespace, device: string, filter: string) {
  const file = namespace.topology.ownPath(`/run/sixgate-lab/${namespace.name}-${device}-${Date.now()}.pcap`)
  const args = ['-i', device, '-U', '-Z', 'root', '--immediate-mode', '-w', file, ...filter.split(' ').filter(Boolean)]
  const tcpdump = namespace.spawn('tcpdump', args)
  await tcpdump.waitFor(/listening on/)
  return {
    process: tcpdump,
    file,
    /** The given fields of each packet. */
    async packets(fields: readonly string[], options: { stop?: boolean } = {}): Promise<string[][]> {
      if (options.stop !== false) await tcpdump.stop('SIGINT')
      const text = await run('tshark', [
        '-r',
        file,
        '-o',
        'udp.check_checksum:TRUE',
        '-T',
        'fields',
        ...fields.flatMap((field) => ['-e', field]),
      ])
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('\t'))
    },
  }
}
