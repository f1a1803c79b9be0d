// SPDX-License-Identifier: Apache-2.0
/** The real gateway, `sixgate run`, started in a namespace and spoken to through its unix socket. */
import { request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Namespace } from './netns.ts'
import { Background, until } from './process.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface Reply {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  /** Parsed JSON; a test looks at whatever the API answered. */
  readonly body: any
}

export interface ApiOptions {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export class Gateway {
  readonly namespace: Namespace
  readonly config: string
  readonly instance: string
  /** Its TUN device. */
  readonly device: string
  readonly runDirectory: string
  readonly stateDirectory: string
  process: Background | undefined

  constructor(namespace: Namespace, config: string, instance = `t${namespace.topology.id}`) {
    this.namespace = namespace
    this.config = config
    this.instance = instance
    this.device = `sixgate0-${instance}`
    this.runDirectory = namespace.topology.ownPath(`/run/sixgate-${instance}`)
    this.stateDirectory = namespace.topology.ownPath(`/var/lib/sixgate-${instance}`)
  }

  /** Starts it and waits until it says it is ready. */
  async start(): Promise<this> {
    const started = this.launch()
    await until('the gateway is ready', async () => {
      if (started.exit) return true
      return (await this.api('/healthz')).status === 200
    })
    if (started.exit) throw new Error(`the gateway ended with ${started.exit.code}\n${started.output}`)
    return this
  }

  /** Starts it without waiting; `wrapper` is a command that runs it, such as setpriv. */
  launch(wrapper: readonly string[] = []): Background {
    const args = [main, 'run', '-c', this.config, '--instance', this.instance]
    const [command = '', ...rest] = [...wrapper, process.execPath, ...args]
    this.process = this.namespace.spawn(command, rest)
    return this.process
  }

  /** What it has written to its log so far. */
  get log(): string {
    return this.process?.output ?? ''
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM') {
    return await this.process?.stop(signal)
  }

  /** One request to the REST API through the unix socket, where no token is needed. */
  api(path: string, options: ApiOptions = {}): Promise<Reply> {
    const text = options.body === undefined ? undefined : JSON.stringify(options.body)
    return new Promise((resolve, reject) => {
      const headers = { ...(text !== undefined && { 'content-type': 'application/json' }), ...options.headers }
      const socketPath = join(this.runDirectory, 'api.sock')
      const call = request(
        { socketPath, path, method: options.method ?? 'GET', headers, timeout: 20_000 },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const body = Buffer.concat(chunks).toString()
            const json = /[/+]json/.test(answer.headers['content-type'] ?? '')
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              text: body,
              body: json ? JSON.parse(body) : undefined,
            })
          })
        },
      )
      call.on('error', reject)
      call.on('timeout', () => call.destroy(new Error(`${path}: no answer`)))
      call.end(text)
    })
  }
}
