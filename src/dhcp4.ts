// SPDX-License-Identifier: Apache-2.0
/**
 * DHCPv4 on links that ask for it. udhcpc speaks the protocol and tells of leases; the address and the routes are the
 * gateway's own resources, so nothing but what the lease says is changed on the host.
 */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Clock } from './clock.ts'
import type { Config } from './config/schema.ts'
import type { Names } from './feature.ts'
import type { Log } from './log.ts'
import { parseAddress, parsePrefix } from './net/address.ts'
import type { CloseOptions, Service } from './service.ts'
import { writeAtomically } from './system/ledger.ts'
import type { Desired } from './system/reconcile.ts'
import { Supervised } from './system/supervise.ts'
import { MAIN_TABLE, type Resource, type System } from './system/system.ts'

const SCRIPT = fileURLToPath(new URL('system/udhcpc.script', import.meta.url))

/** Behind the routes of the configuration, which have metric 0. */
const METRIC = 100

export interface Lease {
  /** `ADDRESS/LENGTH`. */
  readonly address: string
  /** Without `via` the destination is on the link. */
  readonly routes: readonly { readonly prefix: string; readonly via?: string }[]
}

function routesOf(router: string, staticRoutes: string): Lease['routes'] {
  const words = staticRoutes.split(' ').filter(Boolean)
  // RFC 3442: a client that is sent classless routes ignores the router
  if (words.length === 0) {
    const via = router.split(' ').find(Boolean)
    return via === undefined ? [] : [{ prefix: '0.0.0.0/0', via: String(parseAddress(via)) }]
  }
  const routes: { prefix: string; via?: string }[] = []
  for (let index = 0; index + 1 < words.length; index += 2) {
    const prefix = String(parsePrefix(words[index] ?? ''))
    const via = String(parseAddress(words[index + 1] ?? ''))
    routes.push(via === '0.0.0.0' ? { prefix } : { prefix, via })
  }
  return routes
}

/** A line of udhcpc.script; undefined when it brings no lease. What a server sent is not trusted to be well formed. */
export function parseLease(line: string): { event: string; lease?: Lease } | undefined {
  const [word, event = '', ip = '', mask = '', router = '', staticRoutes = ''] = line.split('\t')
  if (word !== 'lease') return undefined
  if (event !== 'bound' && event !== 'renew') return { event }
  const length = Number(mask)
  if (!Number.isInteger(length) || length < 1 || length > 32) throw new Error(`${JSON.stringify(mask)} is no length`)
  const address = parseAddress(ip)
  if (address.family !== 4) throw new Error(`${ip} is not IPv4`)
  return { event, lease: { address: `${address}/${length}`, routes: routesOf(router, staticRoutes) } }
}

function resourcesOf(dev: string, { address, routes }: Lease): Resource[] {
  const route = ({ prefix, via }: Lease['routes'][number]): Resource => ({
    kind: 'route',
    family: 4,
    prefix,
    dev,
    ...(via !== undefined && { via }),
    table: MAIN_TABLE,
    metric: METRIC,
  })
  return [{ kind: 'address', dev, address }, ...routes.map(route)]
}

interface Client {
  readonly program: Supervised
  lease: Lease | undefined
}

export class Dhcp4Service implements Service {
  readonly name = 'dhcp4'
  readonly #system: System
  readonly #clock: Clock
  readonly #log: Log
  readonly #names: Names
  readonly #onChange: () => void
  readonly #clients = new Map<string, Client>()

  constructor(system: System, clock: Clock, log: Log, names: Names, onChange: () => void) {
    this.#system = system
    this.#clock = clock
    this.#log = log.child({ part: 'dhcp4' })
    this.#names = names
    this.#onChange = onChange
  }

  #file(dev: string): string {
    return `${this.#names.runDirectory}/dhcp4-${dev}.json`
  }

  /** The lease of a daemon that was killed is used until the server says otherwise. */
  #remembered(dev: string): Lease | undefined {
    try {
      return JSON.parse(readFileSync(this.#file(dev), 'utf8')) as Lease
    } catch {
      return undefined
    }
  }

  #wanted(config: Config): Set<string> {
    return new Set(config.interfaces.filter(({ dhcp4 }) => dhcp4).map(({ name }) => name))
  }

  async update(config: Config): Promise<void> {
    const wanted = this.#wanted(config)
    for (const dev of this.#clients.keys()) if (!wanted.has(dev)) await this.#stop(dev, {})
    for (const dev of wanted) if (!this.#clients.has(dev)) this.#start(dev)
  }

  #start(dev: string): void {
    const lease = this.#remembered(dev)
    const again = lease ? ['-r', lease.address.split('/')[0] ?? ''] : []
    const program = new Supervised(this.#system, this.#clock, this.#log, {
      command: 'udhcpc',
      args: ['-f', '-R', '-t', '5', '-T', '2', '-A', '10', '-i', dev, '-s', SCRIPT, '-O', 'staticroutes', ...again],
      package: 'udhcpc',
      onLine: (line) => this.#heard(dev, line),
    })
    this.#clients.set(dev, { program, lease })
  }

  #heard(dev: string, line: string): void {
    const client = this.#clients.get(dev)
    if (!client) return
    try {
      const told = parseLease(line)
      if (!told) return
      this.#log.info({ interface: dev, ...told }, 'DHCP')
      if (told.lease) this.#take(dev, client, told.lease)
      // at its start udhcpc says that nothing is configured, which is not so after a take-over
      else if (told.event === 'deconfig' && client.lease && this.#confirmed.has(dev)) this.#take(dev, client, undefined)
    } catch (error) {
      this.#log.warn({ interface: dev, err: error }, 'an unusable lease')
    }
  }

  /** Links whose present client has had an answer. */
  readonly #confirmed = new Set<string>()

  #take(dev: string, client: Client, lease: Lease | undefined): void {
    this.#confirmed.add(dev)
    client.lease = lease
    const saved = lease
      ? writeAtomically(this.#file(dev), `${JSON.stringify(lease)}\n`)
      : rm(this.#file(dev), { force: true })
    saved.catch((error) => this.#log.warn({ err: error }, 'the lease cannot be saved'))
    this.#onChange()
  }

  desired(config: Config): Desired {
    const present = [...this.#wanted(config)].flatMap((dev) => {
      const client = this.#clients.get(dev)
      const lease = client ? client.lease : this.#remembered(dev)
      return lease ? resourcesOf(dev, lease) : []
    })
    return { present, absent: [] }
  }

  status(): unknown {
    if (this.#clients.size === 0) return undefined
    return [...this.#clients].map(([dev, { program, lease }]) => ({
      interface: dev,
      ...program.status(),
      address: lease?.address ?? null,
    }))
  }

  async #stop(dev: string, options: CloseOptions): Promise<void> {
    const client = this.#clients.get(dev)
    this.#clients.delete(dev)
    this.#confirmed.delete(dev)
    await client?.program.close(options)
    if (!options.keep) await rm(this.#file(dev), { force: true })
  }

  async close(options: CloseOptions = {}): Promise<void> {
    for (const dev of [...this.#clients.keys()]) await this.#stop(dev, options)
  }
}
