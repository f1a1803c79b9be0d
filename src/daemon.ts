// SPDX-License-Identifier: Apache-2.0
/**
 * The composition root: checks a configuration, brings kernel, translator and services to it as one transaction,
 * keeps them there, and takes everything back at the end.
 */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { AdvertiseService, advertise } from './advertise.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Config } from './config/schema.ts'
import { Dhcp4Service } from './dhcp4.ts'
import { Dns64Service, loadDns64, type StartDns64 } from './dns64.ts'
import { type Fault, GatewayError } from './errors.ts'
import { type Feature, HOST_SYSCTLS, type Host, type Names, namesOf } from './feature.ts'
import { interfaces } from './interfaces.ts'
import type { Log } from './log.ts'
import { dataplaneConfig, dataplaneOptions, nat64 } from './nat64.ts'
import { parseEndpoint } from './net/address.ts'
import type { CloseOptions, Service } from './service.ts'
import type { Dataplane, DataplaneOptions, OpenDataplane } from './system/dataplane.ts'
import { FileLedger, type Ledger } from './system/ledger.ts'
import { type Lock, lock } from './system/lock.ts'
import { NOTHING, reconcile, union } from './system/reconcile.ts'
import { keyOf, type Resource, type Sysctl, type System } from './system/system.ts'

export const FEATURES: readonly Feature[] = [interfaces, nat64, advertise]

/** Changes in the kernel come in bursts; one look after the burst is enough. */
const SETTLE = 200

/** A look without a reason, in case an event was lost. */
const REVIEW = 60_000

/** Milliseconds to wait for duplicate address detection, which takes one to two seconds. */
const LONGEST_DAD = 4000
const DAD_PAUSE = 100

export interface DaemonOptions {
  readonly config: Config
  readonly instance?: string
  readonly runDirectory?: string
  readonly stateDirectory?: string
  readonly system: System
  readonly openDataplane: OpenDataplane
  readonly startDns64?: StartDns64
  readonly log: Log
  readonly clock?: Clock
}

export interface InterfaceStatus {
  readonly name: string
  readonly role: string
  readonly state: 'up' | 'down' | 'missing'
  readonly mtu?: number
  readonly addresses: readonly string[]
}

export interface Status {
  readonly version: string
  readonly instance: string
  /** Seconds. */
  readonly uptime: number
  readonly configHash: string
  readonly interfaces: readonly InterfaceStatus[]
  readonly nat64: ReturnType<Dataplane['status']> | null
  readonly clients: ReturnType<Dataplane['clients']>
  readonly dns64: unknown
  readonly advertise: unknown
  readonly dhcp4: unknown
  readonly warnings: readonly string[]
}

export function configHash(config: Config): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 16)
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** What the device and the session file are made with; configure() does not change it. */
function shapeOf(options: DataplaneOptions | undefined): unknown {
  return options && { ...options, config: undefined }
}

type Undo = () => Promise<void> | void

export class Daemon {
  readonly names: Names
  readonly instance: string
  readonly system: System
  readonly #options: DaemonOptions
  readonly #log: Log
  readonly #clock: Clock
  readonly #ledger: Ledger
  readonly #lock: Lock
  readonly #dns64: Dns64Service
  readonly #services: readonly Service[]
  readonly #started: number
  #config: Config
  #host: Host = { links: [], sysctls: {} }
  #dataplane: Dataplane | undefined
  #planeOptions: DataplaneOptions | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #watch: { close(): void } | undefined
  #cancelReview: () => void = () => {}
  #cancelSettle: (() => void) | undefined
  #warnings = new Map<string, string>()
  #closed = false

  constructor(options: DaemonOptions, names: Names, ledger: Ledger, held: Lock) {
    this.#options = options
    this.#config = options.config
    this.#clock = options.clock ?? systemClock
    this.#started = this.#clock.now()
    this.#log = options.log
    this.#ledger = ledger
    this.#lock = held
    this.names = names
    this.instance = options.instance ?? ''
    this.system = options.system
    this.#dns64 = new Dns64Service(options.startDns64 ?? loadDns64, options.log)
    const { system, log } = options
    this.#services = [
      new Dhcp4Service(system, this.#clock, log, names, () => this.#changed()),
      new AdvertiseService(system, this.#clock, log, names),
      this.#dns64,
    ]
  }

  get config(): Config {
    return this.#config
  }

  get runDirectory(): string {
    return this.names.runDirectory
  }

  get stateDirectory(): string {
    return this.names.stateDirectory
  }

  get dataplane(): Dataplane | undefined {
    return this.#dataplane
  }

  get dns64(): Dns64Service['server'] {
    return this.#dns64.server
  }

  /** One thing at a time: a change, a review or the end. */
  #exclusively<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(action)
    this.#queue = result.catch(() => {})
    return result
  }

  async #look(): Promise<Host> {
    const wanted = HOST_SYSCTLS.map((name): Sysctl => ({ kind: 'sysctl', name, value: '' }))
    const [links, values] = await Promise.all([this.system.links(), this.system.read(wanted)])
    const sysctls: Record<string, string> = {}
    for (const [index, resource] of wanted.entries()) {
      const remembered = this.#ledger.entries.get(keyOf(resource))?.original as Sysctl | undefined
      const value = remembered?.value ?? values[index]?.value
      if (value !== undefined) sysctls[resource.name] = value
    }
    this.#host = { links, sysctls }
    return this.#host
  }

  /** What of the configuration cannot work on this host. */
  async check(config: Config): Promise<Fault[]> {
    const host = await this.#look()
    const faults = FEATURES.flatMap((feature) => feature.check(config, host))
    for (const service of this.#services) faults.push(...((await service.check?.(config)) ?? []))
    if (this.#planeOptions && config.nat64 && config.nat64.maxSessions !== this.#planeOptions.maxSessions) {
      faults.push({
        path: '/nat64/maxSessions',
        message: `is ${this.#planeOptions.maxSessions} while the daemon runs`,
        remedy: 'Leave it, or restart the daemon with the new file.',
      })
    }
    return faults
  }

  async start(): Promise<void> {
    await this.#exclusively(async () => {
      const marked = await this.system.marked(this.names.table, this.names.device)
      await this.#transact(this.#config, undefined, marked)
      this.#observe()
    })
    this.#log.info({ configHash: configHash(this.#config), device: this.names.device }, 'the gateway runs')
  }

  /** Atomic: on failure the previous configuration runs on. Sessions that are still allowed live on. */
  apply(config: Config): Promise<void> {
    return this.#exclusively(async () => {
      this.#mustRun()
      const previous = this.#config
      if (same(previous, config)) return
      await this.#transact(config, previous)
      this.#config = config
      this.#log.info({ configHash: configHash(config) }, 'the configuration is applied')
    })
  }

  #mustRun(): void {
    if (this.#closed) throw new GatewayError('DAEMON_UNREACHABLE', { detail: 'it is stopping' })
  }

  async #transact(config: Config, previous: Config | undefined, marked: readonly Resource[] = []): Promise<void> {
    const faults = await this.check(config)
    if (faults.length > 0) throw new GatewayError('CONFIG_INVALID', { faults })
    const undo: Undo[] = []
    try {
      await this.#bring(config, previous, marked, undo)
    } catch (error) {
      for (const step of undo.reverse()) {
        try {
          await step()
        } catch (cause) {
          this.#log.error({ err: cause }, 'could not be undone')
        }
      }
      if (!previous || (error instanceof GatewayError && error.code === 'CONFIG_INVALID')) throw error
      throw new GatewayError('APPLY_FAILED', { detail: (error as Error).message, cause: error })
    }
  }

  /** Steps that can fail come first; the translator is told last, for sessions it ends do not come back. */
  async #bring(config: Config, previous: Config | undefined, marked: readonly Resource[], undo: Undo[]): Promise<void> {
    const host = this.#host
    const plane = dataplaneOptions(config, host, this.names)
    const old = this.#planeOptions
    if (plane && !same(shapeOf(plane), shapeOf(old))) {
      undo.push(() => this.#openPlane(old))
      this.#openPlane(plane)
    }
    const applied = await reconcile(this.system, this.#ledger, this.#desired(config, host), marked)
    undo.push(applied.undo)
    this.#log.debug({ changes: applied.changes.length }, 'the kernel agrees')
    await this.#settle(config)
    for (const service of this.#services) {
      await service.update(config)
      undo.push(() => (previous ? service.update(previous) : service.close()))
    }
    if (!plane) this.#openPlane(undefined)
    else this.#configurePlane(plane)
  }

  /** An address that is still tentative (RFC 4862 section 5.4) cannot be listened on. */
  async #settle(config: Config): Promise<void> {
    const listened = new Set((config.dns64?.listen ?? []).map((text) => String(parseEndpoint(text).address)))
    for (let waited = 0; waited < LONGEST_DAD; waited += DAD_PAUSE) {
      const { links } = await this.#look()
      const waits = links.some(
        ({ carrier, addresses }) =>
          carrier && addresses.some(({ address, tentative }) => tentative && listened.has(address)),
      )
      if (!waits) return
      await sleep(DAD_PAUSE)
    }
  }

  #desired(config: Config, host: Host) {
    return union([
      ...FEATURES.map((feature) => feature.plan(config, host, this.names)),
      ...this.#services.map((service) => service.desired?.(config) ?? NOTHING),
    ])
  }

  /** Opens, reopens or closes the translator. Reopened it adopts its own sessions. */
  #openPlane(options: DataplaneOptions | undefined): void {
    this.#dataplane?.close({ keep: options !== undefined })
    this.#dataplane = undefined
    this.#planeOptions = undefined
    if (!options) return
    this.#dataplane = this.#options.openDataplane(options)
    this.#planeOptions = options
    const { adopted, adoption } = this.#dataplane.status()
    this.#log.info({ device: options.device, adopted, adoption }, 'the translator is open')
  }

  #configurePlane(options: DataplaneOptions): void {
    if (!this.#dataplane || same(options.config, this.#planeOptions?.config)) return
    const ended = this.#dataplane.configure(options.config)
    this.#planeOptions = options
    this.#log.info({ ended }, 'the translator is configured')
  }

  /** Watches the kernel; what others take away is put back. */
  #observe(): void {
    const onEnd = (error: unknown) => {
      this.#log.warn({ err: error }, 'the kernel is not watched for a moment')
      this.#watch?.close()
      this.#watch = undefined
      if (!this.#closed) this.#clock.after(1000, () => this.#closed || this.#observe())
    }
    this.#watch = this.system.watch(() => this.#changed(), onEnd)
    this.#scheduleReview()
  }

  #scheduleReview(): void {
    this.#cancelReview()
    this.#cancelReview = this.#clock.after(REVIEW, () => {
      this.#changed()
      this.#scheduleReview()
    })
  }

  #changed(): void {
    if (this.#cancelSettle || this.#closed) return
    this.#cancelSettle = this.#clock.after(SETTLE, () => {
      this.#cancelSettle = undefined
      void this.review()
    })
  }

  /** Puts back what is missing, and follows addresses that came or went. */
  async review(): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#closed) return
      try {
        await this.#repair()
        this.#warnings.delete('kernel')
      } catch (error) {
        this.#warnings.set('kernel', (error as Error).message)
        this.#log.error({ err: error }, 'the kernel does not agree with the configuration')
      }
    })
  }

  async #repair(): Promise<void> {
    const host = await this.#look()
    const options = this.#planeOptions
    if (options && !host.links.some(({ name }) => name === options.device)) {
      this.#log.warn({ device: options.device }, 'the device vanished and is made again')
      this.#openPlane(options)
    }
    const { changes } = await reconcile(this.system, this.#ledger, this.#desired(this.#config, host))
    if (changes.length > 0) {
      const keys = changes.map(({ before, after }) => keyOf((after ?? before) as Resource))
      this.#log.info({ changes: keys }, 'the kernel is brought back to the configuration')
      await this.#look()
    }
    const config = dataplaneConfig(this.#config, this.#host)
    if (config && this.#planeOptions) this.#configurePlane({ ...this.#planeOptions, config })
  }

  #interfaces(): InterfaceStatus[] {
    return this.#config.interfaces.map(({ name, role }) => {
      const link = this.#host.links.find((other) => other.name === name)
      if (!link) return { name, role, state: 'missing', addresses: [] }
      return {
        name,
        role,
        state: link.up && link.carrier ? 'up' : 'down',
        mtu: link.mtu,
        addresses: link.addresses.map(({ address, length }) => `${address}/${length}`),
      }
    })
  }

  status(): Status {
    const links = this.#interfaces()
    const running = (name: string) => this.#services.find((service) => service.name === name)?.status() ?? null
    return {
      version: VERSION,
      instance: this.instance,
      uptime: Math.floor((this.#clock.now() - this.#started) / 1000),
      configHash: configHash(this.#config),
      interfaces: links,
      nat64: this.#dataplane?.status() ?? null,
      clients: this.#dataplane?.clients(this.#config.accounting.top) ?? [],
      dns64: running('dns64'),
      advertise: running('advertise'),
      dhcp4: running('dhcp4'),
      warnings: [
        ...this.#warnings.values(),
        ...links.filter(({ state }) => state !== 'up').map(({ name, state }) => `${name} is ${state}`),
      ],
    }
  }

  /** Takes everything back; with `keep` the kernel's state and the sessions wait for a successor. Idempotent. */
  close(options: CloseOptions = {}): Promise<void> {
    return this.#exclusively(async () => {
      if (this.#closed) return
      this.#closed = true
      this.#watch?.close()
      this.#cancelReview()
      this.#cancelSettle?.()
      const steps: Undo[] = [
        ...this.#services.toReversed().map((service) => () => service.close(options)),
        async () => {
          if (!options.keep) await reconcile(this.system, this.#ledger, NOTHING)
        },
        () => this.#dataplane?.close(options),
        () => this.#lock.release(),
      ]
      for (const step of steps) {
        try {
          await step()
        } catch (error) {
          this.#log.error({ err: error }, 'could not be taken back')
        }
      }
    })
  }
}

const VERSION = '0.1.0'

export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const base = namesOf(options.instance)
  const names: Names = {
    ...base,
    runDirectory: options.runDirectory ?? base.runDirectory,
    stateDirectory: options.stateDirectory ?? base.stateDirectory,
  }
  await mkdir(names.runDirectory, { recursive: true, mode: 0o750 })
  const held = await lock(`${names.runDirectory}/lock`)
  try {
    const ledger = await FileLedger.open(`${names.runDirectory}/ledger.json`, await options.system.identity())
    const daemon = new Daemon(options, names, ledger, held)
    await daemon.start()
    return daemon
  } catch (error) {
    await held.release()
    throw error
  }
}
