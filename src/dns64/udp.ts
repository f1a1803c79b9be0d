// SPDX-License-Identifier: Apache-2.0
/** A UDP listener: queries are answered in the slots they came in; those that wait are answered from a copy. */
import { parseEndpoint } from '../net/address.ts'
import type { Answer } from './answer.ts'
import { DatagramRing, DatagramSocket, HALVES_PER_SLOT, SLOT, WORDS_PER_SLOT } from './datagram.ts'
import { OUTCOME, type Responder } from './responder.ts'

const BATCH = 64
/** Batches read before the event loop gets its turn. */
const MAX_ROUNDS = 16
const RECEIVE_BUFFER = 4 << 20

export class UdpListener {
  readonly #socket: DatagramSocket
  readonly #responder: Responder
  readonly #ring = new DatagramRing(BATCH)
  readonly #late = new DatagramRing(BATCH)
  #lateCount = 0
  #flushing = false

  constructor(endpoint: string, responder: Responder) {
    this.#responder = responder
    const { address, port } = parseEndpoint(endpoint)
    this.#socket = new DatagramSocket(address, port, RECEIVE_BUFFER, () => this.#read())
  }

  close(): void {
    this.#socket.close()
  }

  #read(): void {
    const ring = this.#ring
    this.#responder.tick()
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const count = this.#socket.receive(ring)
      if (count === 0) return
      for (let slot = 0; slot < count; slot++) this.#answer(slot)
      this.#responder.counters.unsent += this.#socket.send(ring, count)
      if (count < BATCH) return
    }
  }

  #answer(slot: number): void {
    const { bytes, words, halves } = this.#ring
    const header = slot * SLOT.size
    const length = words[slot * WORDS_PER_SLOT]!
    const { counters } = this.#responder
    words[slot * WORDS_PER_SLOT] = 0
    counters.udp++
    // Nobody can be answered at port 0, and what was cut is not the query that was sent.
    if (halves[slot * HALVES_PER_SLOT + SLOT.port / 2] === 0 || bytes[header + SLOT.truncated] !== 0) {
      counters.malformed++
      return
    }
    const outcome = this.#responder.answer(bytes, header, header + SLOT.payload, length, false)
    if (outcome > 0) words[slot * WORDS_PER_SLOT] = outcome
    else if (outcome === OUTCOME.WAIT) this.#wait(header, length)
  }

  #wait(header: number, length: number): void {
    const packet = this.#ring.bytes.slice(header, header + SLOT.payload + length)
    this.#responder.wait(this.#ring.bytes, { reply: (answer) => this.#reply(packet, answer) })
  }

  #reply(packet: Uint8Array, answer: Answer): void {
    if (this.#lateCount === BATCH) this.#flush()
    const { bytes, words } = this.#late
    const slot = this.#lateCount++
    const header = slot * SLOT.size
    bytes.set(packet, header)
    const start = header + SLOT.payload
    words[slot * WORDS_PER_SLOT] = this.#responder.finish(bytes, start, packet.length - SLOT.payload, answer, false)
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    this.#responder.counters.unsent += this.#socket.send(this.#late, this.#lateCount)
    this.#lateCount = 0
  }
}
