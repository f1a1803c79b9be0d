// SPDX-License-Identifier: Apache-2.0
/** Router advertisements with prefixes, RDNSS (RFC 8106) and PREF64 (RFC 8781), sent by radvd. */
import { rm } from 'node:fs/promises'
import type { Clock } from './clock.ts'
import type { AdvertisementConfig, Config } from './config/schema.ts'
import { parseDuration } from './config/units.ts'
import { type Fault, GatewayError } from './errors.ts'
import type { Feature, Names } from './feature.ts'
import type { Log } from './log.ts'
import type { CloseOptions, Service } from './service.ts'
import { writeAtomically } from './system/ledger.ts'
import { type Desired, NOTHING } from './system/reconcile.ts'
import { Supervised } from './system/supervise.ts'
import type { System } from './system/system.ts'

/** The first radvd that knows `nat64prefix`. */
const PREF64_VERSION = [2, 20] as const

/** RFC 8781 section 4.1: thirteen bits in units of eight seconds. */
const PREF64_LONGEST = 65528

/** RFC 4861 section 6.2.1: AdvDefaultLifetime. */
const LIFETIME_LONGEST = 9000

function block(head: string, lines: readonly string[]): string[] {
  return [`${head} {`, ...lines.map((line) => `  ${line}`), '};']
}

function renderInterface({ interface: dev, prefixes, rdnss, pref64, ...times }: AdvertisementConfig): string[] {
  const interval = parseDuration(times.interval)
  const lifetime = Math.min(parseDuration(times.lifetime), LIFETIME_LONGEST)
  // what is told must outlive two lost advertisements (RFC 8106 section 5.1)
  const told = Math.max(lifetime, 3 * interval)
  return block(`interface ${dev}`, [
    'AdvSendAdvert on;',
    'IgnoreIfMissing on;',
    `MaxRtrAdvInterval ${interval};`,
    `AdvDefaultLifetime ${lifetime};`,
    ...prefixes.flatMap((prefix) => block(`prefix ${prefix}`, ['AdvOnLink on;', 'AdvAutonomous on;'])),
    ...(rdnss.length > 0 ? block(`RDNSS ${rdnss.join(' ')}`, [`AdvRDNSSLifetime ${told};`]) : []),
    ...(pref64 !== undefined
      ? block(`nat64prefix ${pref64}`, [`AdvValidLifetime ${Math.min(Math.ceil(told / 8) * 8, PREF64_LONGEST)};`])
      : []),
  ])
}

export function renderRadvd(advertise: readonly AdvertisementConfig[]): string {
  return `${advertise.flatMap(renderInterface).join('\n')}\n`
}

export function canSendPref64(version: string): boolean {
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number)
  return major > PREF64_VERSION[0] || (major === PREF64_VERSION[0] && minor >= PREF64_VERSION[1])
}

async function radvdVersion(system: System): Promise<string> {
  // it ends with status 1 and tells on standard error
  const text = await system.run('radvd', ['--version'], 'radvd').catch((error: unknown) => {
    if (error instanceof GatewayError && error.code === 'COMMAND_FAILED') return error.detail ?? ''
    throw error
  })
  return /Version: *([\w.~+-]+)/.exec(text)?.[1] ?? 'of unknown version'
}

/** Who advertises itself as a router has to be one. */
export const advertise: Feature = {
  name: 'advertise',

  check(): Fault[] {
    return []
  },

  plan(config: Config): Desired {
    if (config.advertise.length === 0) return NOTHING
    return { present: [{ kind: 'sysctl', name: 'net.ipv6.conf.all.forwarding', value: '1' }], absent: [] }
  },
}

export class AdvertiseService implements Service {
  readonly name = 'advertise'
  readonly #system: System
  readonly #clock: Clock
  readonly #log: Log
  readonly #names: Names
  #advertise: readonly AdvertisementConfig[] = []
  #text = ''
  #version = ''
  #radvd: Supervised | undefined

  constructor(system: System, clock: Clock, log: Log, names: Names) {
    this.#system = system
    this.#clock = clock
    this.#log = log.child({ part: 'advertise' })
    this.#names = names
  }

  get #file(): string {
    return `${this.#names.runDirectory}/radvd.conf`
  }

  async check({ advertise }: Config): Promise<Fault[]> {
    if (advertise.length === 0) return []
    this.#version = await radvdVersion(this.#system)
    if (canSendPref64(this.#version)) return []
    return advertise.flatMap(({ pref64 }, index) =>
      pref64 === undefined
        ? []
        : [
            {
              path: `/advertise/${index}/pref64`,
              message: `radvd ${this.#version} cannot send it; that needs ${PREF64_VERSION.join('.')}`,
              remedy: 'On Debian 12: apt-get install -t bookworm-backports radvd; or leave pref64 out.',
            },
          ],
    )
  }

  async update({ advertise }: Config): Promise<void> {
    const text = advertise.length > 0 ? renderRadvd(advertise) : ''
    if (text === this.#text && (text === '' || this.#radvd)) return
    if (text === '') return this.close()
    const previous = this.#text
    try {
      await this.#write(text)
      if (this.#radvd) this.#radvd.reload()
      else this.#radvd = this.#supervise()
    } catch (error) {
      if (this.#radvd) await this.#write(previous)
      throw error
    }
    this.#text = text
    this.#advertise = advertise
  }

  /** radvd ends when it cannot read its file, so it reads it once before it has to live with it. */
  async #write(text: string): Promise<void> {
    const trial = `${this.#file}.trial`
    await writeAtomically(trial, text, 0o644)
    try {
      await this.#system.run('radvd', ['--configtest', '--config', trial], 'radvd')
    } catch (cause) {
      throw new GatewayError('COMMAND_FAILED', {
        values: { command: 'radvd' },
        detail: (cause as Error).message,
        cause,
      })
    } finally {
      await rm(trial, { force: true })
    }
    await writeAtomically(this.#file, text, 0o644)
  }

  #supervise(): Supervised {
    const args = ['--nodaemon', '--logmethod', 'stderr', '--config', this.#file]
    return new Supervised(this.#system, this.#clock, this.#log, {
      command: 'radvd',
      args: [...args, '--pidfile', `${this.#names.runDirectory}/radvd.pid`],
      package: 'radvd',
    })
  }

  status(): unknown {
    if (!this.#radvd) return undefined
    return { version: this.#version, ...this.#radvd.status(), links: this.#advertise.map((one) => one.interface) }
  }

  async close(options: CloseOptions = {}): Promise<void> {
    const radvd = this.#radvd
    this.#radvd = undefined
    this.#text = ''
    await radvd?.close(options)
    if (!options.keep) await rm(this.#file, { force: true })
  }
}
