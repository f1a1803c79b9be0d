// SPDX-License-Identifier: Apache-2.0
/**
 * The composition root: checks a configuration, brings kernel, translator and services to it as one transaction,
 * keeps them there, and takes everything back at the end.
 */
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { AdvertiseService, advertise } from './advertise.ts'
import { BindingLogService, type BindingLogStats } from './binding-log.ts'
import { ChecksumLog } from './checksum-log.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Config } from './config/schema.ts'
import { Datapath } from './datapath.ts'
import { Dhcp4Service } from './dhcp4.ts'
import { Dns64Service, loadDns64, type StartDns64 } from './dns64.ts'
import { type Fault, GatewayError } from './errors.ts'
import { type Feature, HOST_SYSCTLS, type Host, type Names, namesOf } from './feature.ts'
import { interfaces } from './interfaces.ts'
import type { Log } from './log.ts'
import { dataplaneConfig, dataplaneOptions, nat64 } from './nat64.ts'
import { parseEndpoint } from './net/address.ts'
import type { CloseOptions, Service } from './service.ts'
import { siit } from './siit.ts'
import { configHash, describe, type Status } from './status.ts'
import type { Dataplane, OpenDataplane } from './system/dataplane.ts'
import { FileLedger, type Ledger } from './system/ledger.ts'
import { type Lock, lock } from './system/lock.ts'
import { NOTHING, reconcile, union } from './system/reconcile.ts'
import { keyOf, type Resource, type Sysctl, type System } from './system/system.ts'
import { type OpenTunnels, openTunnels } from './system/tunnels.ts'
import { Translator } from './translator.ts'
import { TunnelService, type TunnelsReport } from './tunnel-service.ts'
import { tunnels } from './tunnels.ts'

export type { Status } from './status.ts'

export const FEATURES: readonly Feature[] = [interfaces, nat64, siit, tunnels, advertise]

/** Changes in the kernel come in bursts; one look after the burst is enough. */
const SETTLE = 200

/** Between two looks: a router whose routes change all the time still has work to do. */
const BREATHER = 1000

/** The watchers' programs have started by then. */
const CATCH_UP = 2000

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
  readonly openTunnels?: OpenTunnels
  readonly log: Log
  readonly clock?: Clock
}

type Undo = () => Promise<void> | void

export class Daemon {
  readonly names: Names
  readonly instance: string
  readonly system: System
  readonly #log: Log
  readonly #clock: Clock
  readonly #ledger: Ledger
  readonly #lock: Lock
  readonly #translator: Translator
  readonly #datapath: Datapath
  readonly #dns64: Dns64Service
  readonly #bindingLog: BindingLogService
  readonly #tunnels: TunnelService
  readonly #services: readonly Service[]
  readonly #started: number
  #config: Config
  #host: Host = { links: [], sysctls: {} }
  #queue: Promise<unknown> = Promise.resolve()
  #watch: { close(): void } | undefined
  #cancelReview: () => void = () => {}
  #cancelCatchUp: () => void = () => {}
  #cancelSettle: (() => void) | undefined
  #sit: boolean | undefined
  #warnings = new Map<string, string>()
  #reviewed = 0
  #runs = false
  #closed = false

  constructor(options: DaemonOptions, names: Names, ledger: Ledger, held: Lock) {
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
    this.#bindingLog = new BindingLogService(() => this.dataplane, this.#clock, log)
    this.#translator = new Translator(options.openDataplane, log, (plane) => this.#bindingLog.over(plane))
    this.#datapath = new Datapath(log)
    this.#tunnels = new TunnelService(options.openTunnels ?? openTunnels, log, () => this.#host)
    this.#services = [
      this.#tunnels,
      new Dhcp4Service(system, this.#clock, log, names, () => this.#changed()),
      new AdvertiseService(system, this.#clock, log, names),
      this.#dns64,
      this.#bindingLog,
      new ChecksumLog(() => this.dataplane, this.#clock, log),
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
    return this.#translator.plane
  }

  get dns64(): Dns64Service['server'] {
    return this.#dns64.server
  }

  get bindingLog(): { stats(): BindingLogStats | undefined } {
    return { stats: () => this.#bindingLog.status() }
  }

  get tunnels(): { report(): TunnelsReport | undefined } {
    return this.#tunnels
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
    const made = new Set(
      [...this.#ledger.entries.values()].flatMap(({ set }) =>
        // a TUN device is there before the reconciler comes, and has this from it at once
        set?.kind === 'vlan' || set?.kind === 'sit' || (set?.kind === 'link' && set.attribute === 'addrgenmode')
          ? [set.dev]
          : [],
      ),
    )
    this.#host = { links, sysctls, made, ...(this.#sit !== undefined && { sit: this.#sit }) }
    return this.#host
  }

  /** What of the configuration cannot work on this host. */
  async check(config: Config): Promise<Fault[]> {
    if (config.tunnels.some(({ backend }) => backend !== 'sixgate')) this.#sit ??= await this.system.supports('sit')
    const host = this.#withAbsent(await this.#look())
    const faults = FEATURES.flatMap((feature) => feature.check(config, host))
    for (const service of this.#services) faults.push(...((await service.check?.(config)) ?? []))
    faults.push(...this.#others(config, host))
    const running = this.#translator.options?.maxSessions
    if (running !== undefined && config.nat64 && config.nat64.maxSessions !== running) {
      faults.push({
        path: '/nat64/maxSessions',
        message: `is ${running} while the daemon runs`,
        remedy: 'Leave it, or restart the daemon with the new file.',
      })
    }
    return faults
  }

  /** A link that went away is waited for: until it is back it hinders no other change, and no rollback. */
  #withAbsent(host: Host): Host {
    if (!this.#runs) return host
    const there = new Set(host.links.map(({ name }) => name))
    const absent = this.#config.interfaces.filter(({ name }) => !there.has(name))
    const none = { index: 0, up: false, carrier: false, mtu: 0, type: '', addresses: [] }
    return { ...host, links: [...host.links, ...absent.map(({ name }) => ({ ...none, name }))] }
  }

  /** Two translators in one namespace would take each other's routes; a device without a daemon has no carrier. */
  #others({ nat64, siit }: Config, { links }: Host): Fault[] {
    const other = links.find(
      ({ name, type, carrier }) => type === 'tun' && carrier && /^sixgate0/.test(name) && name !== this.names.device,
    )
    if ((!nat64 && !siit) || !other) return []
    const message = `another gateway translates here, through ${other.name}`
    return [
      {
        path: nat64 ? '/nat64' : '/siit',
        message,
        remedy: 'Stop it, or run this one in a network namespace of its own.',
      },
    ]
  }

  async start(): Promise<void> {
    await this.#exclusively(async () => {
      const marked = await this.system.marked(this.names.table, this.names.device)
      await this.#transact(this.#config, undefined, marked)
      this.#runs = true
      this.#observe()
    })
    this.#log.info({ configHash: configHash(this.#config), device: this.names.device }, 'the gateway runs')
  }

  /** Atomic: on failure the previous configuration runs on. Sessions that are still allowed live on. */
  apply(config: Config): Promise<void> {
    return this.#exclusively(async () => {
      this.#mustRun()
      const previous = this.#config
      if (configHash(previous) === configHash(config)) return
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
      const code = error instanceof GatewayError ? error.code : undefined
      if (!previous && code === 'APPLY_FAILED')
        throw new GatewayError('START_FAILED', { detail: (error as GatewayError).detail ?? '', cause: error })
      if (!previous || code === 'CONFIG_INVALID') throw error
      throw new GatewayError('APPLY_FAILED', { detail: (error as Error).message, cause: error })
    }
  }

  /** Steps that can fail come first; the translator is told last, for sessions it ends do not come back. */
  async #bring(config: Config, previous: Config | undefined, marked: readonly Resource[], undo: Undo[]): Promise<void> {
    const host = this.#host
    const plane = dataplaneOptions(config, host, this.names)
    const old = this.#translator.options
    if (plane && !this.#translator.fits(plane)) {
      undo.push(() => {
        this.#translator.open(old)
        if (previous) this.#datapath.update(this.dataplane, previous, host)
      })
      this.#translator.open(plane)
    }
    undo.push(() => (previous ? this.#tunnels.update(previous) : this.#tunnels.close()))
    this.#tunnels.prepare(config)
    const applied = await reconcile(this.system, this.#ledger, this.#desired(config, host), marked)
    undo.push(applied.undo)
    this.#log.debug({ changes: applied.changes.length }, 'the kernel agrees')
    await this.#settle(config)
    for (const service of this.#services) {
      await service.update(config)
      undo.push(() => (previous ? service.update(previous) : service.close()))
    }
    if (plane) this.#translator.configure(plane)
    else this.#translator.open(undefined)
    this.#datapath.update(this.dataplane, config, this.#host)
  }

  /** An address that is still tentative (RFC 4862 section 5.4) cannot be listened on. */
  async #settle(config: Config): Promise<void> {
    const endpoints = [...(config.dns64?.listen ?? []), ...config.api.listen]
    const listened = new Set(endpoints.map((text) => String(parseEndpoint(text).address)))
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

  /** Watches the kernel; what others take away is put back. */
  #observe(): void {
    const onEnd = (error: unknown) => {
      this.#log.warn({ err: error }, 'the kernel is not watched for a moment')
      this.#watch?.close()
      this.#watch = undefined
      if (!this.#closed) this.#clock.after(1000, () => this.#closed || this.#observe())
    }
    this.#watch = this.system.watch(() => this.#changed(), onEnd)
    // what moved while the watchers were starting
    this.#cancelCatchUp()
    this.#cancelCatchUp = this.#clock.after(CATCH_UP, () => this.#changed())
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
    const rest = this.#reviewed + BREATHER - this.#clock.now()
    this.#cancelSettle = this.#clock.after(Math.max(SETTLE, rest), () => {
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
      this.#reviewed = this.#clock.now()
    })
  }

  async #repair(): Promise<void> {
    const host = await this.#look()
    const { options } = this.#translator
    if (options && !host.links.some(({ name }) => name === options.device)) {
      this.#log.warn({ device: options.device }, 'the device vanished and is made again')
      this.#translator.open(options)
    }
    this.#tunnels.prepare(this.#config)
    const { changes } = await reconcile(this.system, this.#ledger, this.#desired(this.#config, host))
    if (changes.length > 0) {
      const keys = changes.map(({ before, after }) => keyOf((after ?? before) as Resource))
      this.#log.info({ changes: keys }, 'the kernel is brought back to the configuration')
      await this.#look()
    }
    const config = dataplaneConfig(this.#config, this.#host)
    if (config && this.#translator.options) this.#translator.configure({ ...this.#translator.options, config })
    this.#datapath.update(this.dataplane, this.#config, this.#host)
  }

  status(): Status {
    return describe({
      instance: this.instance,
      uptime: Math.floor((this.#clock.now() - this.#started) / 1000),
      config: this.#config,
      host: this.#host,
      dataplane: this.dataplane,
      ways: this.#datapath.status(),
      services: this.#services,
      warnings: [...this.#warnings.values()],
    })
  }

  /** Takes everything back; with `keep` the kernel's state and the sessions wait for a successor. Idempotent. */
  close(options: CloseOptions = {}): Promise<void> {
    return this.#exclusively(async () => {
      if (this.#closed) return
      this.#closed = true
      this.#watch?.close()
      this.#cancelReview()
      this.#cancelCatchUp()
      this.#cancelSettle?.()
      const steps: Undo[] = [
        ...this.#services
          .filter((service) => service !== this.#bindingLog)
          .toReversed()
          .map((service) => () => service.close(options)),
        async () => {
          if (!options.keep) await reconcile(this.system, this.#ledger, NOTHING)
        },
        () => this.#translator.close(options),
        // what the translator noted last is still logged
        () => this.#bindingLog.close(),
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

async function occupy(directory: string): Promise<Lock> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o750 })
    return await lock(`${directory}/lock`)
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    throw new GatewayError('DIRECTORY_UNWRITABLE', { values: { directory }, detail: (cause as Error).message, cause })
  }
}

export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const base = namesOf(options.instance)
  const names: Names = {
    ...base,
    runDirectory: options.runDirectory ?? base.runDirectory,
    stateDirectory: options.stateDirectory ?? base.stateDirectory,
  }
  const held = await occupy(names.runDirectory)
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
