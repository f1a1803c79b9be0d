// SPDX-License-Identifier: Apache-2.0
/**
 * The log of bindings: who had which outside address and port, and when (RFC 6888 section 4, RFC 8158). The packet
 * threads note events in a ring; they are fetched here in batches and handed to every target.
 */
import { Collector } from './binding-log/collector.ts'
import { JsonFile } from './binding-log/json-file.ts'
import { RECORD_SIZE } from './binding-log/record.ts'
import type { Target, TargetStats } from './binding-log/target.ts'
import { tcp, udp } from './binding-log/transport.ts'
import type { Clock } from './clock.ts'
import type { CollectorConfig, Config } from './config/schema.ts'
import { parseDuration } from './config/units.ts'
import { GatewayError } from './errors.ts'
import type { Log } from './log.ts'
import { parseEndpoint } from './net/address.ts'
import type { Service } from './service.ts'
import type { Dataplane } from './system/dataplane.ts'

/** Milliseconds between two looks. The ring then holds 650,000 events a second. */
const POLL = 100

/** Records fetched at once; between two such batches others have their turn. */
const BATCH = 4096

export interface BindingLogStats {
  /** Events noted by the packet threads. */
  readonly events: number
  /** Events lost because the ring was full. */
  readonly lost: number
  readonly targets: readonly TargetStats[]
}

type Plane = Pick<Dataplane, 'readLog' | 'logCounters' | 'status'>

export class BindingLogService implements Service {
  readonly name = 'bindingLog'
  readonly #plane: () => Plane | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #records = Buffer.alloc(BATCH * RECORD_SIZE)
  /** By what they are configured as. */
  #targets = new Map<string, Target>()
  #cancel: () => void = () => {}
  /** Of data planes that are closed. */
  #past = { events: 0, lost: 0 }
  #told = 0

  constructor(plane: () => Plane | undefined, clock: Clock, log: Log) {
    this.#plane = plane
    this.#clock = clock
    this.#log = log.child({ part: 'bindingLog' })
  }

  /** New targets are opened before old ones are closed, so that no event falls in between. */
  async update(config: Config): Promise<void> {
    const before = this.#targets
    const after = await this.#open(config)
    if (before.size > 0) this.#fetchAll(this.#plane())
    this.#targets = after
    const pools = (config.nat64?.pools ?? []).map(({ addresses }) => addresses)
    for (const target of after.values()) target.setPools(pools)
    this.#cancel()
    if (after.size > 0) this.#schedule(POLL)
    for (const [key, target] of before) if (!after.has(key)) await target.close()
  }

  async #open(config: Config): Promise<Map<string, Target>> {
    const opened: Target[] = []
    const targets = new Map<string, Target>()
    try {
      for (const [key, open] of this.#wanted(config)) {
        const known = this.#targets.get(key)
        const target = known ?? (await open())
        if (!known) opened.push(target)
        targets.set(key, target)
      }
      return targets
    } catch (error) {
      for (const target of opened) await target.close()
      throw error
    }
  }

  #wanted({ log: { bindings } }: Config): readonly (readonly [string, () => Target | Promise<Target>])[] {
    return [
      ...(bindings?.files ?? []).map((file) => [file, () => this.#openFile(file)] as const),
      ...(bindings?.collectors ?? []).map((one) => [JSON.stringify(one), () => this.#openCollector(one)] as const),
    ]
  }

  #openCollector({ address, transport, observationDomain, templateRefresh, mtu }: CollectorConfig): Target {
    const endpoint = parseEndpoint(address)
    return new Collector({
      name: `${transport} ${endpoint}`,
      transport: transport === 'tcp' ? tcp(endpoint) : udp(endpoint, mtu),
      reliable: transport === 'tcp',
      domain: observationDomain,
      refresh: parseDuration(templateRefresh) * 1000,
      clock: this.#clock,
      log: this.#log,
    })
  }

  async #openFile(file: string): Promise<Target> {
    try {
      return await JsonFile.open(file, this.#log, this.#plane()?.status().bindings ?? 0)
    } catch (cause) {
      throw new GatewayError('LOG_UNWRITABLE', { values: { file }, detail: (cause as Error).message, cause })
    }
  }

  #schedule(after: number): void {
    this.#cancel = this.#clock.after(after, () => {
      const more = this.#fetch(this.#plane())
      this.#schedule(more ? 0 : POLL)
    })
  }

  /** One batch; whether there may be more. */
  #fetch(plane: Plane | undefined): boolean {
    if (!plane) return false
    const count = plane.readLog(this.#records)
    for (const target of this.#targets.values()) if (count > 0) target.write(this.#records, count)
    this.#tell()
    return count === BATCH
  }

  #fetchAll(plane: Plane | undefined): void {
    while (this.#fetch(plane));
  }

  #tell(): void {
    const { lost } = this.#counters()
    if (lost === this.#told) return
    for (const target of this.#targets.values()) target.missed(lost - this.#told)
    this.#told = lost
  }

  #counters(): { events: number; lost: number } {
    const now = this.#plane()?.logCounters() ?? { events: 0, lost: 0 }
    return { events: this.#past.events + now.events, lost: this.#past.lost + now.lost }
  }

  /** The data plane is closed; what it noted last is still to be had. */
  over(plane: Plane): void {
    const { events, lost } = plane.logCounters()
    this.#past = { events: this.#past.events + events, lost: this.#past.lost + lost }
    this.#fetchAll(plane)
  }

  status(): BindingLogStats | undefined {
    if (this.#targets.size === 0) return undefined
    return { ...this.#counters(), targets: [...this.#targets.values()].map((target) => target.stats()) }
  }

  /** After the data plane. */
  async close(): Promise<void> {
    this.#cancel()
    const targets = this.#targets
    this.#targets = new Map()
    for (const target of targets.values()) await target.close()
  }
}
