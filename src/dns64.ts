// SPDX-License-Identifier: Apache-2.0
/** DNS64 as the daemon runs it: started, changed and stopped as the configuration says. */
import type { Config } from './config/schema.ts'
import type { Dns64Options, Dns64Server, startDns64 } from './dns64/server.ts'
import type { Log } from './log.ts'
import type { CloseOptions, Service } from './service.ts'

/** What the daemon needs of the server; a test brings its own. */
export type Dns64Handle = Pick<Dns64Server, 'update' | 'close'> & { stats(): unknown }
export type StartDns64 = (options: Dns64Options) => Promise<Dns64Handle>

/** The server needs the addon, which a gateway without DNS64 does not load for it. */
export const loadDns64: StartDns64 = async (options) => {
  const server: { startDns64: typeof startDns64 } = await import('./dns64/server.ts')
  return server.startDns64(options)
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

  async close(_options: CloseOptions = {}): Promise<void> {
    const server = this.#server
    this.#server = undefined
    await server?.close()
  }
}
