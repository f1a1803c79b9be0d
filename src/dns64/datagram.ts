// SPDX-License-Identifier: Apache-2.0
/**
 * Batched UDP sockets (native/datagram.cc). Both sides see a ring of slots: a 64-byte header that names the
 * peer and the address that was asked, then the datagram. An answer written over its query goes back with one
 * call a batch; a copied header answers later.
 */

import { GatewayError } from '../errors.ts'
import type { Address } from '../net/address.ts'
import { loadAddon } from '../system/addon.ts'

export const SLOT = {
  size: 2048,
  /** Where the datagram begins. */
  payload: 64,
  /** 32 bits in the host's order. */
  length: 0,
  family: 4,
  truncated: 5,
  /** 16 bits in the host's order. */
  port: 6,
  peer: 8,
  local: 24,
  scope: 40,
} as const

interface NativeRing {
  readonly buffer: ArrayBuffer
}

interface NativeSocket {
  receive(ring: NativeRing): number
  send(ring: NativeRing, count: number): number
  port(): number
  close(): void
}

interface DatagramAddon {
  readonly DatagramRing: new (slots: number) => NativeRing
  readonly DatagramSocket: new (
    address: string,
    port: number,
    receiveBuffer: number,
    readable: () => void,
  ) => NativeSocket
}

export class DatagramRing {
  readonly native: NativeRing
  readonly slots: number
  readonly bytes: Uint8Array
  /** Lengths are `words[slot * WORDS_PER_SLOT]`. */
  readonly words: Int32Array
  readonly halves: Uint16Array

  constructor(slots: number) {
    this.native = new (loadAddon() as unknown as DatagramAddon).DatagramRing(slots)
    this.slots = slots
    this.bytes = new Uint8Array(this.native.buffer)
    this.words = new Int32Array(this.native.buffer)
    this.halves = new Uint16Array(this.native.buffer)
  }
}

export const WORDS_PER_SLOT = SLOT.size / 4
export const HALVES_PER_SLOT = SLOT.size / 2

export class DatagramSocket {
  readonly #native: NativeSocket

  /** Port 0 lets the kernel choose. `receiveBuffer` 0 keeps the kernel's size. */
  constructor(host: Address, port: number, receiveBuffer: number, readable: () => void) {
    try {
      const { DatagramSocket: Native } = loadAddon() as unknown as DatagramAddon
      this.#native = new Native(String(host), port, receiveBuffer, readable)
    } catch (cause) {
      throw listenError(cause, host.family === 6 ? `[${host}]:${port}` : `${host}:${port}`)
    }
  }

  /** How many datagrams were put into the first slots of the ring; fewer than fit means that none is left. */
  receive(ring: DatagramRing): number {
    return this.#native.receive(ring.native)
  }

  /** Sends those of the first `count` slots whose length is not 0; returns how many could not be sent. */
  send(ring: DatagramRing, count: number): number {
    return this.#native.send(ring.native, count)
  }

  get port(): number {
    return this.#native.port()
  }

  close(): void {
    this.#native.close()
  }
}

/** The operator's error for a socket that could not be bound. */
export function listenError(cause: unknown, endpoint: string): unknown {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') return new GatewayError('PORT_IN_USE', { values: { endpoint }, cause })
  if (code === 'EACCES') return new GatewayError('NEED_ROOT', { values: { capability: 'CAP_NET_BIND_SERVICE' }, cause })
  if (code === 'EADDRNOTAVAIL') return new GatewayError('ADDRESS_NOT_LOCAL', { values: { endpoint }, cause })
  return cause
}
