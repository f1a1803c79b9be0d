// SPDX-License-Identifier: Apache-2.0
/** A TCP listener (RFC 7766): pipelined queries, answers as they come, idle and excess connections closed. */
import { createServer, type Server, type Socket } from 'node:net'
import { canonicalHost, parseEndpoint } from '../net/address.ts'
import { listenError, SLOT } from './datagram.ts'
import { OUTCOME, type Responder } from './responder.ts'
import { get16, MAX_MESSAGE, put16 } from './wire.ts'

/** Queries of one connection that may wait for an answer; more are read when some are answered. */
const MAX_PIPELINED = 64
/** Answers a client does not read, in bytes, before it is given up. */
const MAX_UNREAD = 1 << 20

interface TcpLimits {
  readonly connections: number
  /** Milliseconds. */
  readonly idle: number
}

/** The connections of all listeners: they share one limit. */
export class TcpClients {
  readonly #open = new Set<Connection>()
  limits: TcpLimits = { connections: 256, idle: 10_000 }

  get count(): number {
    return this.#open.size
  }

  /** Makes room by closing the connection that is idle longest; one that waits for an answer is not idle. */
  admit(connection: Connection): boolean {
    if (this.#open.size >= this.limits.connections) {
      const idle = [...this.#open].filter(({ waiting }) => waiting === 0)
      const oldest = idle.sort((a, b) => a.lastUse - b.lastUse)[0]
      if (!oldest) return false
      oldest.close()
    }
    this.#open.add(connection)
    return true
  }

  leave(connection: Connection): void {
    this.#open.delete(connection)
  }
}

export class TcpListener {
  readonly #server: Server
  readonly #connections = new Set<Connection>()

  private constructor(responder: Responder, clients: TcpClients) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const connection = new Connection(socket, responder, clients, () => {
        this.#connections.delete(connection)
        clients.leave(connection)
      })
      if (!clients.admit(connection)) return connection.close()
      this.#connections.add(connection)
    })
  }

  static async open(endpoint: string, responder: Responder, clients: TcpClients): Promise<TcpListener> {
    const listener = new TcpListener(responder, clients)
    const { address, port } = parseEndpoint(endpoint)
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (cause) => reject(listenError(cause, endpoint)))
      // Only the unspecified address takes both families, as its UDP twin does.
      listener.#server.listen({ host: String(address), port, ipv6Only: String(address) !== '::' }, () => resolve())
    })
    listener.#server.on('error', () => {})
    return listener
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections) connection.close()
    await closed
  }
}

class Connection {
  readonly #socket: Socket
  readonly #responder: Responder
  /** A slot header for the responder, then room for one query and its answer. */
  readonly #header: Uint8Array
  #received: Buffer = Buffer.alloc(0)
  waiting = 0
  lastUse = performance.now()

  constructor(socket: Socket, responder: Responder, clients: TcpClients, closed: () => void) {
    this.#socket = socket
    this.#responder = responder
    this.#header = slotHeader(socket.remoteAddress)
    socket.setTimeout(clients.limits.idle, () => {
      if (this.waiting === 0) this.close()
    })
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => this.close())
    socket.on('close', closed)
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    this.#drain()
  }

  #drain(): void {
    this.#responder.tick()
    while (this.waiting < MAX_PIPELINED && this.#received.length >= 2 && !this.#socket.destroyed) {
      const length = get16(this.#received, 0)
      if (this.#received.length < length + 2) break
      const message = this.#received.subarray(2, length + 2)
      this.#received = this.#received.subarray(length + 2)
      this.lastUse = performance.now()
      this.#answer(message)
    }
    // What arrives while too many queries wait, or an answer is not read, stays with the kernel.
    const full = this.waiting >= MAX_PIPELINED || this.#socket.writableNeedDrain
    if (full && !this.#socket.isPaused()) this.#socket.pause()
    else if (!full && this.#socket.isPaused()) this.#socket.resume()
  }

  #answer(message: Uint8Array): void {
    this.#responder.counters.tcp++
    const start = SLOT.payload
    SCRATCH.set(this.#header)
    SCRATCH.set(message, start)
    const outcome = this.#responder.answer(SCRATCH, 0, start, message.length, true)
    if (outcome > 0) this.#send(outcome)
    else if (outcome === OUTCOME.NONE) this.close()
    else this.#wait(message.slice())
  }

  #wait(message: Uint8Array): void {
    this.waiting++
    const accepted = this.#responder.wait(SCRATCH, {
      reply: (answer) => {
        this.waiting--
        if (this.#socket.destroyed) return
        SCRATCH.set(message, SLOT.payload)
        this.#send(this.#responder.finish(SCRATCH, SLOT.payload, message.length, answer, true))
        if (this.waiting === MAX_PIPELINED - 1) this.#drain()
      },
    })
    if (!accepted) this.close()
  }

  #send(length: number): void {
    const frame = Buffer.allocUnsafe(length + 2)
    put16(frame, 0, length)
    frame.set(SCRATCH.subarray(SLOT.payload, SLOT.payload + length), 2)
    if (this.#socket.write(frame)) return
    if (this.#socket.writableLength > MAX_UNREAD) this.close()
    else if (this.#socket.listenerCount('drain') === 0) this.#socket.once('drain', () => this.#drain())
  }
}

/** One for all connections: a message is answered before the next is read. */
const SCRATCH = new Uint8Array(SLOT.payload + MAX_MESSAGE + 64)

function slotHeader(remote: string | undefined): Uint8Array {
  const header = new Uint8Array(SLOT.payload)
  const address = canonicalHost(remote ?? '::')
  header[SLOT.family] = address.family
  header.set(address.toBytes(), SLOT.peer)
  return header
}
