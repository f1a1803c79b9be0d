// SPDX-License-Identifier: Apache-2.0
/** One question over TCP, for an answer that was too long for UDP (RFC 7766 section 5). */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Endpoint } from '../net/address.ts'
import { get16, put16 } from './wire.ts'

const MAX_CONNECTIONS = 128
let connections = 0

/** Calls `done` at most once, with the message or with nothing; the result gives up silently. */
export function askOverTcp(endpoint: Endpoint, query: Uint8Array, done: (bytes?: Uint8Array) => void): () => void {
  if (connections >= MAX_CONNECTIONS) {
    queueMicrotask(() => done())
    return () => {}
  }
  connections++
  query.set(randomBytes(2), 0)
  const frame = new Uint8Array(query.length + 2)
  put16(frame, 0, query.length)
  frame.set(query, 2)
  let received = Buffer.alloc(0)
  let open = true
  const finish = (bytes?: Uint8Array) => {
    if (!open) return
    stop()
    done(bytes)
  }
  const socket = connect({ host: String(endpoint.address), port: endpoint.port }, () => socket.write(frame))
  const stop = () => {
    if (!open) return
    open = false
    connections--
    socket.destroy()
  }
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    const length = received.length >= 2 ? get16(received, 0) : Number.POSITIVE_INFINITY
    if (received.length >= length + 2) finish(Uint8Array.from(received.subarray(2, length + 2)))
  })
  socket.on('error', () => finish())
  socket.on('close', () => finish())
  return stop
}
