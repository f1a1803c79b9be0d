// SPDX-License-Identifier: Apache-2.0
/** DNS64 as the daemon runs it: started, changed and stopped as the configuration says. */
import type { Config, Dns64Config } from './config/schema.ts'
import type { Log } from './log.ts'
import type { Service } from './service.ts'

export interface Dns64Options {
  readonly config: Dns64Config
  /** The prefixes to synthesise with. */
  readonly prefixes: readonly string[]
  readonly allowNonGlobal: boolean
  readonly log: Log
}

export interface Dns64Handle {
  update(options: Dns64Options): Promise<void>
  stats(): unknown
  close(): Promise<void>
}

export type StartDns64 = (options: Dns64Options) => Promise<Dns64Handle>

/** The server and its codec are loaded only where they are used. */
export const loadDns64: StartDns64 = async (options) => {
  const module = new URL('./dns64/server.ts', import.meta.url).href
  const { startDns64 } = (await import(module)) as { startDns64: StartDns64 }
  return startDns64(options)
}

function optionsOf(config: Config, log: Log): Dns64Options | undefined {
  if (!config.dns64) return undefined
  return {
    config: config.dns64,
    prefixes: config.dns64.prefixes ?? config.nat64?.prefixes ?? [],
    allowNonGlobal: config.nat64?.allowNonGlobal ?? false,
    log,
  }
}

export class Dns64Service implements Service {
  readonly name = 'dns64'
  readonly #start: StartDns64
  readonly #log: Log
  #server: Dns64Handle | undefined

  constructor(start: StartDns64, log: Log) {
    this.#start = start
    this.#log = log.child({ part: 'dns64' })
  }

  get server(): Dns64Handle | undefined {
    return this.#server
  }

  async update(config: Config): Promise<void> {
    const options = optionsOf(config, this.#log)
    if (!options) return this.close()
    if (this.#server) await this.#server.update(options)
    else this.#server = await this.#start(options)
  }

  status(): unknown {
    return this.#server?.stats()
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    await server?.close()
  }
}
