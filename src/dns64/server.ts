// SPDX-License-Identifier: Apache-2.0
/** The DNS64 service: listeners, cache, resolver and upstreams put together, and changed while they run. */
import type { Logger } from 'pino'
import { type Clock, systemClock } from '../clock.ts'
import type { Dns64Config } from '../config/schema.ts'
import { parseDuration, parseSize } from '../config/units.ts'
import { parseEndpoint } from '../net/address.ts'
import { Cache } from './cache.ts'
import { Policy } from './policy.ts'
import { QueryLog } from './query-log.ts'
import { Resolver } from './resolver.ts'
import { Responder } from './responder.ts'
import { Counters, type Dns64Stats } from './stats.ts'
import { TcpClients, TcpListener } from './tcp.ts'
import { UdpListener } from './udp.ts'
import { Upstream } from './upstream.ts'

export type { Dns64Stats } from './stats.ts'

export interface Dns64Options {
  readonly config: Dns64Config
  /** The prefixes to synthesise with: those of the section, else those of nat64. */
  readonly prefixes: readonly string[]
  readonly allowNonGlobal: boolean
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly clock?: Clock
}

export interface Dns64Server {
  /** Takes a new configuration; sockets that are listened on before and after stay open. */
  update(options: Dns64Options): Promise<void>
  stats(): Dns64Stats
  close(): Promise<void>
}

interface Listener {
  readonly udp: UdpListener
  readonly tcp: TcpListener
}

export async function startDns64(options: Dns64Options): Promise<Dns64Server> {
  const server = new Server(options)
  try {
    await server.update(options)
  } catch (error) {
    await server.close()
    throw error
  }
  return server
}

class Server implements Dns64Server {
  readonly #counters = new Counters()
  readonly #clients = new TcpClients()
  readonly #log: QueryLog
  readonly #upstream: Upstream
  readonly #resolver: Resolver
  readonly #responder: Responder
  readonly #listeners = new Map<string, Listener>()
  #cache: Cache
  #cacheSize: number

  constructor(options: Dns64Options) {
    const clock = options.clock ?? systemClock
    const policy = new Policy(options)
    this.#log = new QueryLog(options.log)
    this.#cacheSize = parseSize(options.config.cacheSize)
    this.#cache = new Cache(this.#cacheSize)
    this.#upstream = new Upstream(clock)
    this.#resolver = new Resolver(clock, this.#upstream, policy, this.#cache)
    this.#responder = new Responder(clock, this.#resolver, this.#counters, this.#log, policy, this.#cache)
    // The first query may come before the last socket is open.
    this.#configure(options, policy)
  }

  async update(options: Dns64Options): Promise<void> {
    const policy = new Policy(options)
    await this.#listen(options.config.listen)
    this.#configure(options, policy)
  }

  #configure({ config }: Dns64Options, policy: Policy): void {
    const size = parseSize(config.cacheSize)
    if (size === this.#cacheSize) this.#cache.clear()
    else this.#cache = new Cache(size)
    this.#cacheSize = size
    this.#clients.limits = { connections: config.tcpConnections, idle: parseDuration(config.tcpIdleTimeout) * 1000 }
    this.#log.enabled = config.queryLog
    this.#upstream.configure(config.upstreams, parseDuration(config.upstreamTimeout) * 1000)
    this.#resolver.configure(policy, this.#cache)
    this.#responder.configure(policy, this.#cache, config.rateLimit)
  }

  /** New sockets first: when one cannot be had, all stays as it was. */
  async #listen(wanted: readonly string[]): Promise<void> {
    const fresh = wanted.filter((endpoint) => !this.#listeners.has(endpoint))
    const stale = [...this.#listeners.keys()].filter((endpoint) => !wanted.includes(endpoint))
    // An address and the wildcard cannot both have a port: there the old one has to go before.
    const ports = fresh.map(portOf)
    const inTheWay = stale.filter((endpoint) => ports.includes(portOf(endpoint)))
    await this.#drop(inTheWay)
    try {
      await this.#add(fresh)
    } catch (error) {
      await this.#add(inTheWay)
      throw error
    }
    await this.#drop(stale)
  }

  async #add(endpoints: readonly string[]): Promise<void> {
    for (const [endpoint, listener] of await this.#open(endpoints)) this.#listeners.set(endpoint, listener)
  }

  async #drop(endpoints: readonly string[]): Promise<void> {
    for (const endpoint of endpoints) {
      const listener = this.#listeners.get(endpoint)
      this.#listeners.delete(endpoint)
      if (listener) await close(listener)
    }
  }

  async #open(endpoints: readonly string[]): Promise<Map<string, Listener>> {
    const opened = new Map<string, Listener>()
    try {
      for (const endpoint of endpoints) {
        const udp = new UdpListener(endpoint, this.#responder)
        try {
          opened.set(endpoint, { udp, tcp: await TcpListener.open(endpoint, this.#responder, this.#clients) })
        } catch (error) {
          udp.close()
          throw error
        }
      }
    } catch (error) {
      for (const listener of opened.values()) await close(listener)
      throw error
    }
    return opened
  }

  stats(): Dns64Stats {
    const counters = this.#counters
    return {
      queries: { udp: counters.udp, tcp: counters.tcp },
      answers: counters.answersByName(),
      synthesised: counters.synthesised,
      truncated: counters.truncated,
      cache: {
        hits: counters.hits,
        misses: counters.misses,
        entries: this.#cache.entries,
        bytes: this.#cache.bytesUsed,
        evictions: this.#cache.evictions,
      },
      dropped: {
        rateLimited: counters.rateLimited,
        malformed: counters.malformed,
        overload: counters.overload,
        unsent: counters.unsent,
      },
      refused: counters.refused,
      outstanding: this.#resolver.waiting,
      tcpConnections: this.#clients.count,
      upstreams: this.#upstream.stats(),
      unsolicitedAnswers: this.#upstream.unsolicited,
    }
  }

  async close(): Promise<void> {
    this.#upstream.close()
    const listeners = [...this.#listeners.values()]
    this.#listeners.clear()
    await Promise.all(listeners.map(close))
  }
}

function portOf(endpoint: string): number {
  return parseEndpoint(endpoint).port
}

async function close({ udp, tcp }: Listener): Promise<void> {
  udp.close()
  await tcp.close()
}
