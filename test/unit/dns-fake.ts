// SPDX-License-Identifier: Apache-2.0
/**
 * A scripted upstream, a gateway before it and a client behind it, on loopback. Messages are written here byte
 * by byte, without compression and without the code under test, and read by dns2.
 */
import { createSocket, type Socket } from 'node:dgram'
import { connect, createServer, type Server } from 'node:net'
import { Packet } from 'dns2'
import type { Clock } from '../../src/clock.ts'
import type { Dns64Config } from '../../src/config/schema.ts'
import { type Dns64Server, startDns64 } from '../../src/dns64/server.ts'
import { A, buildQuery, FLAGS, type QueryOptions, soa, u16 } from './dns-records.ts'

export * from './dns-records.ts'

export interface Reply {
  readonly rcode?: number
  readonly flags?: number
  readonly answers?: readonly Buffer[]
  readonly authorities?: readonly Buffer[]
  readonly additionals?: readonly Buffer[]
  /** Replaces the identifier, to forge. */
  readonly id?: number
  readonly question?: Buffer
}

export interface Asked {
  readonly name: string
  readonly type: number
  readonly port: number
  readonly id: number
  readonly flags: number
  readonly dnssecOk: boolean
  readonly transport: 'udp' | 'tcp'
  readonly packet: Buffer
  /** Answers now, whatever the script says; for scripts that say 'hold'. */
  reply(reply: Reply): void
  /** Sends bytes as they are, from the server that was asked. */
  raw(bytes: Buffer): void
}

export type Script = (asked: Asked) => Reply | 'silent' | undefined

export function buildReply(query: Buffer, reply: Reply): Buffer {
  const question = reply.question ?? readQuestion(query).question
  const answers = reply.answers ?? []
  const authorities = reply.authorities ?? []
  const additionals = reply.additionals ?? []
  const flags = FLAGS.QR | FLAGS.RA | (query.readUInt16BE(2) & FLAGS.RD) | (reply.flags ?? 0) | (reply.rcode ?? 0)
  const counts = [1, answers.length, authorities.length, additionals.length].map(u16)
  const id = u16(reply.id ?? query.readUInt16BE(0))
  return Buffer.concat([id, u16(flags), ...counts, question, ...answers, ...authorities, ...additionals])
}

function readQuestion(packet: Buffer): { name: string; type: number; question: Buffer } {
  const labels: string[] = []
  let at = 12
  for (; packet[at]! > 0; at += packet[at]! + 1) labels.push(packet.toString('latin1', at + 1, at + 1 + packet[at]!))
  return { name: labels.join('.'), type: packet.readUInt16BE(at + 1), question: packet.subarray(12, at + 5) }
}

/** A name server over UDP and TCP on one port that follows a script and remembers what it was asked. */
export class FakeUpstream {
  readonly asked: Asked[] = []
  readonly #udp: Socket
  readonly #tcp: Server
  #wake: (() => void)[] = []
  script: Script

  private constructor(udp: Socket, tcp: Server, script: Script) {
    this.#udp = udp
    this.#tcp = tcp
    this.script = script
  }

  static async start(script: Script = () => ({})): Promise<FakeUpstream> {
    for (;;) {
      const udp = createSocket('udp4')
      await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
      const tcp = createServer()
      const free = await new Promise<boolean>((resolve) => {
        tcp.once('error', () => resolve(false))
        tcp.listen(udp.address().port, '127.0.0.1', () => resolve(true))
      })
      if (!free) {
        udp.close()
        continue
      }
      const upstream = new FakeUpstream(udp, tcp, script)
      upstream.#listen()
      return upstream
    }
  }

  get port(): number {
    return this.#udp.address().port
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Resolves once `count` queries (of a type, if given) have arrived. */
  async received(count: number, type?: number): Promise<Asked[]> {
    for (;;) {
      const matching = this.asked.filter((asked) => type === undefined || asked.type === type)
      if (matching.length >= count) return matching
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  async close(): Promise<void> {
    this.#udp.close()
    await new Promise((resolve) => this.#tcp.close(resolve))
  }

  #listen(): void {
    this.#udp.on('message', (packet, { port, address }) =>
      this.#take(packet, port, 'udp', (bytes) => this.#udp.send(bytes, port, address)),
    )
    this.#tcp.on('connection', (socket) => {
      let received = Buffer.alloc(0)
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk])
        while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
          const length = received.readUInt16BE(0)
          const packet = received.subarray(2, 2 + length)
          received = received.subarray(2 + length)
          this.#take(packet, socket.remotePort ?? 0, 'tcp', (bytes) =>
            socket.write(Buffer.concat([u16(bytes.length), bytes])),
          )
        }
      })
    })
  }

  #take(packet: Buffer, port: number, transport: 'udp' | 'tcp', send: (bytes: Buffer) => void): void {
    const { name, type, question } = readQuestion(packet)
    const opt = packet.subarray(12 + question.length)
    const asked: Asked = {
      name,
      type,
      port,
      id: packet.readUInt16BE(0),
      flags: packet.readUInt16BE(2),
      dnssecOk: opt.length >= 11 && (opt[7]! & 0x80) !== 0,
      transport,
      packet,
      reply: (reply) => send(buildReply(packet, reply)),
      raw: send,
    }
    this.asked.push(asked)
    const reply = this.script(asked)
    if (reply !== undefined && reply !== 'silent') asked.reply(reply)
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }
}

export interface ReadRecord {
  readonly name: string
  readonly type: number
  readonly ttl: number
  readonly address?: string
  readonly domain?: string
}

/** What dns2 reads; a message it cannot read whole is a failed test. */
export function read(bytes: Buffer) {
  const packet = Packet.parse(bytes)
  if (packet.errors.length > 0) throw packet.errors[0]
  return packet as unknown as {
    header: { id: number; qr: number; tc: number; aa: number; rd: number; ra: number; z: number; rcode: number }
    questions: { name: string; type: number }[]
    answers: ReadRecord[]
    authorities: ReadRecord[]
    additionals: (ReadRecord & { class: number; rdata: { ednsCode: number; infoCode?: number }[] })[]
    flags: number
  }
}

export function flagsOf(bytes: Buffer): number {
  return bytes.readUInt16BE(2)
}

export async function freePort(): Promise<number> {
  const socket = createSocket({ type: 'udp6', ipv6Only: false })
  await new Promise<void>((resolve) => socket.bind(0, '::', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(() => resolve()))
  return port
}

export type Section = Partial<Dns64Config> & {
  readonly synthesis?: readonly string[]
  readonly allowNonGlobal?: boolean
}

const SILENT = { info: () => {}, warn: () => {} }

export class Gateway {
  readonly server: Dns64Server
  readonly port: number
  readonly #options: ReturnType<typeof gatewayOptions>

  private constructor(server: Dns64Server, port: number, options: ReturnType<typeof gatewayOptions>) {
    this.server = server
    this.port = port
    this.#options = options
  }

  static async start(upstreams: readonly FakeUpstream[], section: Section = {}, clock?: Clock): Promise<Gateway> {
    const port = await freePort()
    const options = gatewayOptions(port, upstreams, section, clock)
    return new Gateway(await startDns64(options), port, options)
  }

  /** Changes some keys of the section. */
  async update(section: Section): Promise<void> {
    const { synthesis, allowNonGlobal, ...rest } = section
    await this.server.update({
      ...this.#options,
      prefixes: synthesis ?? this.#options.prefixes,
      allowNonGlobal: allowNonGlobal ?? this.#options.allowNonGlobal,
      config: { ...this.#options.config, ...rest } as Dns64Config,
    })
  }

  async close(): Promise<void> {
    await this.server.close()
  }

  ask(name: string, type: number, options: QueryOptions = {}): Promise<ReturnType<typeof read>> {
    return this.send(buildQuery(name, type, options)).then(read)
  }

  send(packet: Buffer, host = '127.0.0.1'): Promise<Buffer> {
    return exchange(packet, this.port, host)
  }

  /** What the packet is answered with: nothing, if a query sent behind it is answered first. */
  async answersTo(packet: Buffer): Promise<Buffer | undefined> {
    const sentinel = buildQuery('ipv4only.arpa', A, { id: 1 })
    const socket = createSocket('udp4')
    try {
      const first = new Promise<Buffer>((resolve) => socket.once('message', resolve))
      socket.send(packet, this.port, '127.0.0.1')
      socket.send(sentinel, this.port, '127.0.0.1')
      const reply = await first
      return reply.readUInt16BE(0) === 1 ? undefined : reply
    } finally {
      socket.close()
    }
  }
}

export function gatewayOptions(port: number, upstreams: readonly FakeUpstream[], section: Section, clock?: Clock) {
  const { synthesis = ['64:ff9b::/96'], allowNonGlobal = true, ...rest } = section
  const config: Dns64Config = {
    listen: [`[::]:${port}`],
    upstreams: upstreams.map(({ endpoint }) => endpoint),
    clients: ['::1/128', '127.0.0.0/8'],
    rules: [],
    exclude: ['::ffff:0:0/96'],
    synthesizePrivate: false,
    bypass: [],
    force: [],
    cacheSize: '1MiB',
    rateLimit: 0,
    upstreamTimeout: '1s',
    tcpConnections: 256,
    tcpIdleTimeout: '10s',
    queryLog: false,
    ...rest,
  }
  return { config, prefixes: synthesis, allowNonGlobal, log: SILENT, ...(clock ? { clock } : {}) }
}

/** One datagram there, one back. */
export async function exchange(packet: Buffer, port: number, host = '127.0.0.1'): Promise<Buffer> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      socket.on('message', resolve)
      socket.on('error', reject)
      // A connected socket takes an answer only from the address it asked.
      socket.connect(port, host, () => socket.send(packet))
    })
  } finally {
    socket.close()
  }
}

export function frame(packet: Buffer): Buffer {
  return Buffer.concat([u16(packet.length), packet])
}

/** Sends bytes over one TCP connection and collects `count` answers, or all until it is closed. */
export async function exchangeTcp(bytes: Buffer, port: number, count = 1, host = '127.0.0.1'): Promise<Buffer[]> {
  const socket = connect(port, host)
  const answers: Buffer[] = []
  let received = Buffer.alloc(0)
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('close', () => resolve())
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk])
        while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
          const length = received.readUInt16BE(0)
          answers.push(received.subarray(2, 2 + length))
          received = received.subarray(2 + length)
        }
        if (answers.length >= count) resolve()
      })
      socket.write(bytes)
    })
    return answers
  } finally {
    socket.destroy()
  }
}

/** A script from a table: `name type` to the reply; what is not in it does not exist. */
export function table(replies: Readonly<Record<string, Reply | 'silent'>>): Script {
  return ({ name, type }) => replies[`${name.toLowerCase()} ${type}`] ?? { rcode: 3, authorities: [soa('example', 60)] }
}
