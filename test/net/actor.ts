// SPDX-License-Identifier: Apache-2.0
/** A host of a story: a process in its namespace that opens sockets as it is told over IPC (see host.ts). */
import { createCipheriv, createHash } from 'node:crypto'
import { createSocket, type Socket as Datagram } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'

/** Endless bytes that depend on the seed alone, so that both ends know what must arrive. */
function* stream(seed: string, total: number, chunk = 256 * 1024): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(chunk)
  for (let left = total; left > 0; left -= chunk) yield cipher.update(zeros.subarray(0, Math.min(chunk, left)))
}

async function write(socket: Socket, seed: string, total: number, pace: number): Promise<void> {
  for (const part of stream(seed, total, pace ? 64 * 1024 : undefined)) {
    if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve))
    if (pace) await new Promise((resolve) => setTimeout(resolve, pace))
  }
}

export interface Received {
  readonly bytes: number
  readonly sha256: string
  readonly local: string
  readonly remote: string
}

const name = (address?: string, port?: number) =>
  address?.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
const transfers = new Map<number, { bytes: number; done: Promise<Received> }>()
const udp = new Map<number, Datagram>()
let next = 1

function receive(socket: Socket): { bytes: number; done: Promise<Received> } {
  const hash = createHash('sha256')
  const local = name(socket.localAddress, socket.localPort)
  const remote = name(socket.remoteAddress, socket.remotePort)
  const state = { bytes: 0, done: Promise.resolve({} as Received) }
  state.done = new Promise<Received>((resolve, reject) => {
    socket.on('data', (chunk) => {
      hash.update(chunk)
      state.bytes += chunk.length
    })
    socket.on('end', () => resolve({ bytes: state.bytes, sha256: hash.digest('hex'), local, remote }))
    socket.on('error', reject)
  })
  // Whoever awaits it hears of the error; a transfer that nobody awaits must not end the actor.
  state.done.catch(() => {})
  return state
}

function dial(host: string, port: number, localPort?: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ...(localPort && { localPort }), allowHalfOpen: true })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
    socket.setTimeout(20_000, () => socket.destroy(new Error(`${host} ${port}: silent for 20 s`)))
  })
}

export const operations = {
  /** Sends `bytes` of the seed's stream to whoever connects, `pace` ms between 64 KiB. */
  async source({ host, port, seed, bytes, pace = 0 }: SourceOptions): Promise<void> {
    await serve(host, port, async (socket) => {
      await write(socket, seed, bytes, pace)
      socket.end()
    })
  },

  /** Reads to the end and answers with what it got, as JSON. */
  async sink({ host, port }: { host: string; port: number }): Promise<void> {
    await serve(host, port, async (socket) => {
      const got = await receive(socket).done
      socket.end(JSON.stringify(got))
    })
  },

  /** Sends everything back, prefixed with the address the connection came from. */
  async echo({ host, port }: { host: string; port: number }): Promise<void> {
    await serve(host, port, async (socket) => {
      socket.write(`${name(socket.remoteAddress, socket.remotePort)}\n`)
      socket.pipe(socket)
    })
  },

  /** Connects and reads to the end; the handle serves `progress` and `finish`. */
  async download({ host, port }: { host: string; port: number }): Promise<number> {
    const socket = await dial(host, port)
    const handle = next++
    transfers.set(handle, receive(socket))
    return handle
  },

  async progress({ handle }: { handle: number }): Promise<number> {
    return transfers.get(handle)?.bytes ?? 0
  },

  async finish({ handle }: { handle: number }): Promise<Received> {
    const transfer = transfers.get(handle)
    if (!transfer) throw new Error('no such transfer')
    return transfer.done
  },

  /** Sends to a sink and returns what the sink got. */
  async upload({ host, port, seed, bytes }: Omit<SourceOptions, 'pace'>): Promise<Received> {
    const socket = await dial(host, port)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    await write(socket, seed, bytes, 0)
    socket.end()
    await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject))
    return JSON.parse(answer)
  },

  /** One exchange with an echo: the first line is how the other end sees this one. */
  async greet({ host, port, text, localPort }: GreetOptions): Promise<{ seen: string; local: string; text: string }> {
    const socket = await dial(host, port, localPort)
    const local = name(socket.localAddress, socket.localPort)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    socket.end(text)
    await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject))
    const line = answer.indexOf('\n')
    return { seen: answer.slice(0, line), local, text: answer.slice(line + 1) }
  },

  /** Answers each datagram with itself; the result is the handle. */
  async udpEcho({ host, port }: { host: string; port: number }): Promise<number> {
    const socket = await bind(host, port)
    socket.on('message', (message, from) => socket.send(message, from.port, from.address))
    return keep(socket)
  },

  /** Sends datagrams of the given sizes one after the other, each once the one before came back. */
  async udpAsk({ host, port, sizes, local, localPort }: UdpOptions): Promise<{ local: string; sizes: number[] }> {
    const socket = await bind(local ?? (host.includes(':') ? '::' : '0.0.0.0'), localPort ?? 0)
    try {
      const back: number[] = []
      for (const [index, size] of sizes.entries()) {
        const payload = Buffer.alloc(size, index + 1)
        back.push(await ask(socket, payload, host, port))
      }
      return { local: String(socket.address().port), sizes: back }
    } finally {
      socket.close()
    }
  },

  /** Keeps what arrives, for `udpHeard`. */
  async udpListen({ host, port }: { host: string; port: number }): Promise<number> {
    const socket = await bind(host, port)
    const handle = keep(socket)
    heard.set(handle, [])
    socket.on('message', (message, from) =>
      heard.get(handle)?.push({ from: name(from.address, from.port), size: message.length }),
    )
    return handle
  },

  async udpHeard({ handle }: { handle: number }): Promise<{ from: string; size: number }[]> {
    return heard.get(handle) ?? []
  },

  /** Sends datagrams numbered from 0, one each millisecond or as many as it then owes, until `udpStop`. */
  async udpNumber({ host, port, local, every }: NumberOptions): Promise<number> {
    const socket = await bind(local, 0)
    const handle = keep(socket)
    const began = performance.now()
    const state = { sent: 0, timer: undefined as NodeJS.Timeout | undefined }
    state.timer = setInterval(() => {
      // a burst after a standstill would try the receiver's buffer, not the way
      for (let left = 4; left > 0 && state.sent * every < performance.now() - began; left--)
        socket.send(String(state.sent++), port, host)
    }, 1)
    numbered.set(handle, state)
    return handle
  },

  /** How many were sent. */
  async udpStop({ handle }: { handle: number }): Promise<number> {
    const state = numbered.get(handle)
    clearInterval(state?.timer)
    return state?.sent ?? 0
  },

  /** Notes numbered datagrams by the address they come from, for `udpTally`. */
  async udpCount({ host, port }: { host: string; port: number }): Promise<number> {
    const socket = await bind(host, port)
    const handle = keep(socket)
    const tally = new Map<string, number[]>()
    tallies.set(handle, tally)
    socket.on('message', (message, { address }) => {
      const numbers = tally.get(address)
      if (numbers) numbers.push(Number(message))
      else tally.set(address, [Number(message)])
    })
    return handle
  },

  async udpTally({ handle }: { handle: number }): Promise<Record<string, number[]>> {
    return Object.fromEntries(tallies.get(handle) ?? [])
  },
}

interface SourceOptions {
  host: string
  port: number
  seed: string
  bytes: number
  pace?: number
}
interface GreetOptions {
  host: string
  port: number
  text: string
  localPort?: number
}
interface UdpOptions {
  host: string
  port: number
  sizes: number[]
  local?: string
  localPort?: number
}
interface NumberOptions {
  host: string
  port: number
  local: string
  /** Milliseconds. */
  every: number
}
export type Operations = typeof operations

const numbered = new Map<number, { sent: number; timer: NodeJS.Timeout | undefined }>()
const tallies = new Map<number, Map<string, number[]>>()
const heard = new Map<number, { from: string; size: number }[]>()

function keep(socket: Datagram): number {
  const handle = next++
  udp.set(handle, socket)
  return handle
}

function bind(host: string, port: number): Promise<Datagram> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' })
    socket.once('error', reject)
    socket.bind(port, host, () => resolve(socket))
  })
}

/** A datagram may be lost on the way of a path MTU discovery, so it is sent again each second. */
function ask(socket: Datagram, payload: Buffer, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = () => socket.send(payload, port, host, (error) => error && settle(() => reject(error)))
    const again = setInterval(send, 1000)
    const limit = setTimeout(() => settle(() => reject(new Error(`no answer to ${payload.length} bytes`))), 15_000)
    const onMessage = (message: Buffer) => {
      if (message.equals(payload)) settle(() => resolve(message.length))
    }
    const settle = (action: () => void) => {
      clearInterval(again)
      clearTimeout(limit)
      socket.off('message', onMessage)
      action()
    }
    socket.on('message', onMessage)
    send()
  })
}

function serve(host: string, port: number, talk: (socket: Socket) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      talk(socket).catch(() => socket.destroy())
    })
    server.once('error', reject)
    server.listen(port, host, () => resolve())
  })
}

process.on('message', async ({ id, operation, argument }: { id: number; operation: string; argument: unknown }) => {
  try {
    const work = operations[operation as keyof Operations] as (argument: unknown) => Promise<unknown>
    process.send?.({ id, value: await work(argument) })
  } catch (error) {
    process.send?.({ id, error: (error as Error).message })
  }
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
