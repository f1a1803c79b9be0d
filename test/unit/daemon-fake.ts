// SPDX-License-Identifier: Apache-2.0
/** A daemon whose kernel, translator, DNS server and clock are in memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { ManualClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { type Daemon, startDaemon } from '../../src/daemon.ts'
import type { Dns64Options } from '../../src/dns64/server.ts'
import { silentLog } from '../../src/log.ts'
import type { Dataplane, DataplaneConfig, DataplaneOptions } from '../../src/system/dataplane.ts'
import { FakeSystem } from '../../src/system/fake.ts'

export const BASE = `
version: 1
interfaces:
  - { name: lan0, role: inside, addresses: ["2001:db8:1::1/64"] }
  - { name: wan0, role: outside, addresses: ["192.0.2.2/24"], routes: ["0.0.0.0/0 via 192.0.2.1"] }
nat64:
  allowNonGlobal: true
  pools: [{ addresses: ["198.51.100.64/28"], announce: true }]
`

export const config = (text = BASE): Config => loadConfig(text)

export class FakePlane implements Dataplane {
  readonly options: DataplaneOptions
  readonly configured: DataplaneConfig[] = []
  closed: { keep?: boolean } | undefined
  readonly #system: FakeSystem

  constructor(system: FakeSystem, options: DataplaneOptions) {
    this.#system = system
    this.options = options
    if (!system.devices.has(options.device)) system.addLink(options.device, { type: 'tun', up: false })
  }

  configure(config: DataplaneConfig): number {
    this.configured.push(config)
    return 0
  }

  status() {
    const { device, threads, maxSessions } = this.options
    const still = { packets64: 0, bytes64: 0, packets46: 0, bytes46: 0, dropped: 0 }
    const none = { sessions: 0, bindings: 0, halfOpen: 0, evicted: 0, ...still, siit: still, mtus: [], pools: [] }
    return { device, threads, adopted: 0, adoption: 'fake', maxSessions, ...none } as const
  }

  sessions = () => []
  bindings = () => []
  drops = () => []
  openTrace = () => 1
  readTrace = () => undefined
  closeTrace = () => {}
  /** Records of the log of bindings that wait. */
  logged: Buffer[] = []

  readLog(buffer: Buffer): number {
    const next = this.logged.shift()
    next?.copy(buffer)
    return next ? 1 : 0
  }

  logCounters = () => ({ events: 0, lost: 0 })
  foresee = () => ({}) as ReturnType<Dataplane['foresee']>
  clients = () => []
  attach = () => ''
  fastpath = () => ({ loaded: false, why: 'a fake has none', verifier: '' })
  policy = () => []

  close(options: { keep?: boolean } = {}): void {
    if (this.closed) return
    this.closed = options
    if (!options.keep) this.#system.removeLink(this.options.device)
  }
}

export class World {
  readonly system = new FakeSystem()
  readonly clock = new ManualClock()
  readonly directory = mkdtempSync(join(tmpdir(), 'sixgate-daemon-'))
  readonly planes: FakePlane[] = []
  readonly dns: { options: Dns64Options; updates: Dns64Options[]; closed: boolean }[] = []
  failDns: Error | undefined
  daemon: Daemon | undefined

  constructor() {
    onTestFinished(() => rmSync(this.directory, { recursive: true }))
    onTestFinished(() => this.daemon?.close())
    this.system.commands.set('radvd', (args) => {
      if (args.includes('--version')) return 'Version: 2.20\n'
      return ''
    })
  }

  async start(config: Config): Promise<Daemon> {
    this.daemon = await startDaemon({
      config,
      runDirectory: this.directory,
      stateDirectory: this.directory,
      system: this.system,
      openDataplane: (options) => {
        const plane = new FakePlane(this.system, options)
        this.planes.push(plane)
        return plane
      },
      startDns64: async (options) => {
        if (this.failDns) throw this.failDns
        const server = { options, updates: [] as Dns64Options[], closed: false }
        this.dns.push(server)
        return {
          update: async (changed) => {
            if (this.failDns) throw this.failDns
            server.updates.push(changed)
          },
          stats: () => ({ queries: 0 }),
          close: async () => {
            server.closed = true
          },
        }
      },
      log: silentLog,
      clock: this.clock,
    })
    return this.daemon
  }

  /** Forgets the daemon as if it had been killed: nothing is taken back, its lock is gone. */
  async kill(): Promise<void> {
    await this.daemon?.close({ keep: true })
    this.daemon = undefined
  }

  has(...parts: string[]): boolean {
    return [...this.system.resources.values()].some((resource) =>
      parts.every((part) => JSON.stringify(resource).includes(part)),
    )
  }
}
