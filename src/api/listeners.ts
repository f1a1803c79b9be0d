// SPDX-License-Identifier: Apache-2.0
/**
 * The sockets of the API: one HTTP server an endpoint, and the unix socket of the local CLI. A change of
 * `api.listen` opens the new ones before it is made and closes the old ones after it, so it can be undone.
 */
import { chmodSync, unlinkSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, type ListenOptions } from 'node:net'
import { GatewayError } from '../errors.ts'
import { Endpoint, parseAddress, parseEndpoint } from '../net/address.ts'

/** Strangers can make this many connections to one endpoint, and hold each no longer than the time-outs. */
const MAX_CONNECTIONS = 256
const TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 15_000, maxHeaderSize: 16_384 }

/** sun_path of sockaddr_un, less the final zero. */
const LONGEST_SOCKET_PATH = 107

export interface Staged {
  commit(): void
  undo(): Promise<void>
}

export class Listeners {
  #handler: RequestListener
  #servers = new Map<string, Server>()

  constructor(handler: RequestListener) {
    this.#handler = handler
  }

  /** The addresses that are really bound: port 0 of the configuration is the number the kernel gave. */
  get endpoints(): string[] {
    return [...this.#servers.values()].map((server) => {
      const { address, port } = server.address() as AddressInfo
      return new Endpoint(parseAddress(address), port).toString()
    })
  }

  /** Opens what `listen` names and is not open yet. All of it, or it throws and nothing has changed. */
  async stage(listen: readonly string[]): Promise<Staged> {
    const opened = new Map<string, Server>()
    const released: string[] = []
    const undo = async () => {
      await Promise.all([...opened.values()].map(close))
      for (const text of released) this.#servers.set(text, await this.#open(text))
    }
    try {
      for (const text of listen) {
        if (this.#servers.has(text) || opened.has(text)) continue
        opened.set(text, await this.#openInPlaceOf(text, listen, released))
      }
    } catch (error) {
      await undo()
      throw error
    }
    return { undo, commit: () => this.#adopt(opened, listen) }
  }

  async close(): Promise<void> {
    const servers = [...this.#servers.values()]
    this.#servers.clear()
    await Promise.all(servers.map(close))
  }

  #adopt(opened: ReadonlyMap<string, Server>, listen: readonly string[]): void {
    for (const [text, server] of opened) this.#servers.set(text, server)
    for (const text of [...this.#servers.keys()]) if (!listen.includes(text)) this.#release(text)
  }

  /** Not awaited: the request that made the change may have come through it, and is answered. */
  #release(text: string): void {
    const server = this.#servers.get(text)
    this.#servers.delete(text)
    if (server) void close(server)
  }

  /** An own socket that is not wanted any more may hold the port: `[::1]:8064` that becomes `[::]:8064`. */
  async #openInPlaceOf(text: string, listen: readonly string[], released: string[]): Promise<Server> {
    try {
      return await this.#open(text)
    } catch (error) {
      const { port } = parseEndpoint(text)
      const inTheWay = [...this.#servers.keys()].filter(
        (one) => !listen.includes(one) && parseEndpoint(one).port === port,
      )
      if (inTheWay.length === 0) throw error
      for (const one of inTheWay) this.#release(one)
      released.push(...inTheWay)
      return this.#open(text)
    }
  }

  /** `[::]` takes IPv4 too; the check of the configuration keeps another socket from its port. */
  #open(text: string): Promise<Server> {
    const { address, port } = parseEndpoint(text)
    const server = createServer(TIMEOUTS, this.#handler)
    server.maxConnections = MAX_CONNECTIONS
    return opened(server, { host: address.toString(), port }, text)
  }
}

/** The CLI's socket: for the owner only from its first moment. */
export async function listenUnix(path: string, handler: RequestListener): Promise<Server> {
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    const detail = `a socket's path has at most ${LONGEST_SOCKET_PATH} bytes; choose a shorter run directory`
    throw new GatewayError('LISTEN_FAILED', { values: { endpoint: path }, detail })
  }
  await removeStale(path)
  const server = createServer(TIMEOUTS, handler)
  const mask = process.umask(0o177)
  try {
    const ready = opened(server, { path }, path)
    process.umask(mask)
    await ready
  } finally {
    process.umask(mask)
  }
  chmodSync(path, 0o600)
  return server
}

/** Stops listening, lets requests under way finish, and drops idle connections at once. */
export function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const force = setTimeout(() => server.closeAllConnections(), 2000)
  return closed.finally(() => clearTimeout(force))
}

/** Whether somebody answers on the unix socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const done = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => done(true)).once('error', () => done(false))
  })
}

async function removeStale(path: string): Promise<void> {
  if (await answers(path)) throw new GatewayError('ALREADY_RUNNING', { detail: path })
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function opened(server: Server, options: ListenOptions, name: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'PORT_IN_USE' : 'LISTEN_FAILED'
      reject(new GatewayError(code, { values: { endpoint: name }, detail: error.message, cause: error }))
    })
    server.listen(options, () => {
      server.removeAllListeners('error')
      server.on('error', () => {})
      resolve(server)
    })
  })
}
