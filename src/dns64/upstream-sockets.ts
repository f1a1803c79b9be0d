// SPDX-License-Identifier: Apache-2.0
/**
 * Source ports of upstream queries. A few sockets are open at a time, one is drawn for each query, and each is
 * replaced after some use, so that a port learnt from one answer helps to forge no later one (RFC 5452 section
 * 9.2). The kernel draws the ports: it leaves out those reserved for the translator's pools.
 */
import { randomFillSync } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { type Family, parseAddress } from '../net/address.ts'
import { DatagramRing, DatagramSocket, HALVES_PER_SLOT, SLOT, WORDS_PER_SLOT } from './datagram.ts'
import type { Server } from './upstream-server.ts'
import { get16, put16 } from './wire.ts'

const SOCKETS = 16
const USES = 64
const ANY = { 4: parseAddress('0.0.0.0'), 6: parseAddress('::') } as const

/** One query on its way to one server. */
export interface Attempt {
  readonly context: object
  readonly server: Server
  readonly sentAt: number
  id: number
  socket: SourceSocket | undefined
}

interface SourceSocket {
  readonly datagrams: DatagramSocket
  readonly waiting: Map<number, Attempt>
  uses: number
}

export class UpstreamSockets {
  readonly #received: (attempt: Attempt, bytes: Uint8Array) => boolean
  readonly #pools: Record<Family, SourceSocket[]> = { 4: [], 6: [] }
  readonly #open = new Set<SourceSocket>()
  readonly #receiving = new DatagramRing(32)
  readonly #sending = new DatagramRing(1)
  readonly #random = new Uint8Array(4096)
  #randomAt = 4096
  unsolicited = 0

  /** `received` says whether it took the answer for one; if not, the right one may still come. */
  constructor(received: (attempt: Attempt, bytes: Uint8Array) => boolean) {
    this.#received = received
  }

  /** Sends a query under a fresh identifier. What cannot be sent is like what gets no answer. */
  send(attempt: Attempt, query: Uint8Array): void {
    const { address, port } = attempt.server.endpoint
    const socket = this.#draw(address.family)
    do attempt.id = this.#draw16()
    while (socket.waiting.has(attempt.id))
    put16(query, 0, attempt.id)
    attempt.socket = socket
    socket.waiting.set(attempt.id, attempt)
    const { bytes, words, halves } = this.#sending
    bytes.fill(0, 0, SLOT.payload)
    words[SLOT.length] = query.length
    bytes[SLOT.family] = address.family
    halves[SLOT.port / 2] = port
    bytes.set(attempt.server.addressBytes, SLOT.peer)
    if (address.zone !== undefined) words[SLOT.scope / 4] = scopeOf(address.zone)
    bytes.set(query, SLOT.payload)
    socket.datagrams.send(this.#sending, 1)
  }

  forget(attempt: Attempt): void {
    const { socket } = attempt
    if (!socket) return
    attempt.socket = undefined
    socket.waiting.delete(attempt.id)
    this.#retire(socket)
  }

  close(): void {
    for (const socket of this.#open) socket.datagrams.close()
    this.#open.clear()
  }

  #draw(family: Family): SourceSocket {
    const pool = this.#pools[family]
    if (pool.length < SOCKETS) pool.push(this.#create(family))
    const index = pool.length < SOCKETS ? pool.length - 1 : this.#draw16() % SOCKETS
    const socket = pool[index]!
    if (++socket.uses >= USES) pool.splice(index, 1)
    return socket
  }

  #create(family: Family): SourceSocket {
    const socket: SourceSocket = {
      datagrams: new DatagramSocket(ANY[family], 0, 0, () => this.#read(socket)),
      waiting: new Map(),
      uses: 0,
    }
    this.#open.add(socket)
    return socket
  }

  /** Closes a socket that is used up and waits for nothing. */
  #retire(socket: SourceSocket): void {
    if (socket.uses < USES || socket.waiting.size > 0 || !this.#open.delete(socket)) return
    socket.datagrams.close()
  }

  #read(socket: SourceSocket): void {
    const ring = this.#receiving
    for (let count = ring.slots; count === ring.slots; ) {
      count = socket.datagrams.receive(ring)
      for (let slot = 0; slot < count; slot++) if (!this.#take(socket, slot)) this.unsolicited++
    }
  }

  /** Hands on an answer that one of our queries waits for; false for any other datagram. */
  #take(socket: SourceSocket, slot: number): boolean {
    const { bytes, words, halves } = this.#receiving
    const at = slot * SLOT.size
    const length = words[slot * WORDS_PER_SLOT]!
    if (length < 12 || bytes[at + SLOT.truncated]) return false
    const attempt = socket.waiting.get(get16(bytes, at + SLOT.payload))
    if (!attempt) return false
    const { addressBytes, endpoint } = attempt.server
    const { address, port } = endpoint
    if (halves[slot * HALVES_PER_SLOT + SLOT.port / 2] !== port || bytes[at + SLOT.family] !== address.family)
      return false
    for (let index = 0; index < addressBytes.length; index++) {
      if (addressBytes[index] !== bytes[at + SLOT.peer + index]) return false
    }
    // What is kept of it outlives the slot.
    return this.#received(attempt, bytes.slice(at + SLOT.payload, at + SLOT.payload + length))
  }

  #draw16(): number {
    if (this.#randomAt + 2 > this.#random.length) {
      randomFillSync(this.#random)
      this.#randomAt = 0
    }
    this.#randomAt += 2
    return get16(this.#random, this.#randomAt - 2)
  }
}

/** The kernel's number of a link, by which it knows the scope of a link-local address. */
function scopeOf(zone: string): number {
  const addresses = networkInterfaces()[zone] ?? []
  return addresses.find(({ family }) => family === 'IPv6')?.scopeid ?? 0
}
