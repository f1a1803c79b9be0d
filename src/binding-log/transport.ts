// SPDX-License-Identifier: Apache-2.0
/** The ways to a collector: a connected UDP socket, or TCP (RFC 7011 sections 10.3 and 10.4). */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Endpoint } from '../net/address.ts'
import type { Message } from './ipfix.ts'

export interface Connection {
  /** The largest message. */
  readonly limit: number
  /** `done` is called once, with the events that were not handed to the kernel, and why. */
  send(messages: readonly Message[], done: (unsent: number, error?: Error) => void): void
  close(): Promise<void>
}

export interface Listener {
  up(connection: Connection): void
  /** Once, also when it never came up. */
  down(error: Error): void
}

export type Transport = (listener: Listener) => { destroy(): void }

const UDP_AND_IP = { 4: 28, 6: 48 } as const

/** Connected, so that the kernel tells of a collector that is not there. A lost datagram is not sent again. */
export function udp({ address, port }: Endpoint, mtu: number): Transport {
  return ({ up, down }) => {
    const socket = createSocket(address.family === 4 ? 'udp4' : 'udp6')
    let ended = false
    const end = (error?: Error) => {
      if (ended) return
      ended = true
      socket.close()
      if (error) down(error)
    }
    const send: Connection['send'] = (messages, done) => {
      let left = messages.length
      if (left === 0) return done(0)
      let unsent = 0
      let failure: Error | undefined
      for (const { bytes, events } of messages)
        socket.send(bytes, (error) => {
          if (error) {
            unsent += events
            failure = error
          }
          if (--left === 0) done(unsent, failure)
        })
    }
    socket.on('error', end)
    // the callback gets the error, which its type leaves out
    socket.connect(port, String(address), (error?: Error) => {
      if (error) return end(error)
      const limit = mtu - UDP_AND_IP[address.family]
      up({ limit, send, close: async () => end() })
    })
    socket.unref()
    return { destroy: () => end() }
  }
}

/** Long enough to keep the headers small, short enough to begin anew soon when a connection breaks. */
const TCP_MESSAGE = 16_384

const CONNECT_TIMEOUT = 5000
/** A collector that takes nothing for so long is not one. */
const STALL_TIMEOUT = 30_000

export function tcp({ address, port }: Endpoint): Transport {
  return ({ up, down }) => {
    const socket = connect({ host: String(address), port, noDelay: true, keepAlive: true })
    let failure: Error | undefined
    socket.setTimeout(CONNECT_TIMEOUT, () =>
      socket.destroy(new Error(`no connection within ${CONNECT_TIMEOUT / 1000} s`)),
    )
    socket.on('error', (error) => {
      failure = error
    })
    socket.on('close', () => down(failure ?? new Error('the collector closed the connection')))
    // nothing is said on the way back (RFC 7011 section 10.4); reading it shows the end
    socket.resume()
    const send: Connection['send'] = (messages, done) => {
      const events = messages.reduce((sum, message) => sum + message.events, 0)
      socket.setTimeout(STALL_TIMEOUT, () => socket.destroy(new Error(`nothing taken for ${STALL_TIMEOUT / 1000} s`)))
      socket.write(Buffer.concat(messages.map(({ bytes }) => bytes)), (error) => {
        socket.setTimeout(0)
        done(error ? events : 0, error ?? undefined)
      })
    }
    const close = () => new Promise<void>((resolve) => void socket.once('close', () => resolve()).destroySoon())
    socket.on('connect', () => {
      socket.setTimeout(0)
      up({ limit: TCP_MESSAGE, send, close })
    })
    return { destroy: () => void socket.destroy() }
  }
}
