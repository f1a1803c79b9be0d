// SPDX-License-Identifier: Apache-2.0
/**
 * Asks recursive resolvers. Identifier and source port are random, an answer counts only from the server
 * asked and with the question asked (RFC 5452), identical questions share one query, and a server that is
 * silent is asked last until it answers a query sent beside another's.
 */
import type { Clock } from '../clock.ts'
import { parseEndpoint } from '../net/address.ts'
import { Message } from './message.ts'
import { nameKey } from './name.ts'
import { FIRST_BACKOFF, newServer, type Server } from './upstream-server.ts'
import { type Attempt, UpstreamSockets } from './upstream-sockets.ts'
import { askOverTcp } from './upstream-tcp.ts'
import { FLAG, get16, HEADER_SIZE, put16, RCODE, TYPE, UDP_PAYLOAD } from './wire.ts'

export interface UpstreamStats {
  readonly endpoint: string
  readonly healthy: boolean
  readonly queries: number
  readonly answers: number
  readonly timeouts: number
  /** Smoothed, in milliseconds. */
  readonly latency: number
}

export interface Question {
  readonly name: Uint8Array
  readonly type: number
  /** Bits of VARIANT: DO and CD. */
  readonly variant: number
}

type Done = (message: Message | undefined) => void

interface Pending extends Question {
  readonly key: string
  readonly waiting: Done[]
  readonly order: readonly Server[]
  readonly attempts: Attempt[]
  tries: number
  edns: boolean
  /** A failure some server reported, returned when no other server knows better. */
  failure: Message | undefined
  cancel: () => void
}

const MAX_OUTSTANDING = 4096
const MAX_BACKOFF = 30_000

export class Upstream {
  readonly #clock: Clock
  readonly #sockets: UpstreamSockets
  readonly #pending = new Map<string, Pending>()
  #servers: readonly Server[] = []
  #timeout = 1000
  #closed = false
  /** Questions not asked because too many were outstanding. */
  refused = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sockets = new UpstreamSockets((attempt, bytes) => this.#received(attempt, bytes))
  }

  /** Servers that stay keep what is known of them. */
  configure(endpoints: readonly string[], timeout: number): void {
    this.#timeout = timeout
    this.#servers = endpoints.map(
      (text) => this.#servers.find(({ endpoint }) => String(endpoint) === text) ?? newServer(parseEndpoint(text)),
    )
  }

  /** Answers that came for no question of ours: late, or forged. */
  get unsolicited(): number {
    return this.#sockets.unsolicited
  }

  get outstanding(): number {
    return this.#pending.size
  }

  stats(): UpstreamStats[] {
    return this.#servers.map(({ endpoint, down, queries, answers, timeouts, latency }) => ({
      endpoint: String(endpoint),
      healthy: !down,
      queries,
      answers,
      timeouts,
      latency: Math.round(latency * 10) / 10,
    }))
  }

  /** Calls `done` once: with the answer, or with nothing when no server gave one in time. */
  ask(question: Question, done: Done): void {
    const key = `${question.type}/${question.variant}/${nameKey(question.name)}`
    const same = this.#pending.get(key)
    if (same) {
      same.waiting.push(done)
      return
    }
    if (this.#closed || this.#servers.length === 0 || this.#pending.size >= MAX_OUTSTANDING) {
      this.refused++
      queueMicrotask(() => done(undefined))
      return
    }
    const pending: Pending = {
      ...question,
      key,
      waiting: [done],
      order: [...this.#servers].sort((a, b) => Number(a.down) - Number(b.down)),
      attempts: [],
      tries: 0,
      edns: true,
      failure: undefined,
      cancel: () => {},
    }
    this.#pending.set(key, pending)
    this.#try(pending)
    this.#probe(pending)
  }

  close(): void {
    this.#closed = true
    for (const pending of [...this.#pending.values()]) this.#finish(pending, undefined)
    this.#sockets.close()
  }

  /** Asks the next server in turn, each twice, at least three times in all. */
  #try(pending: Pending): void {
    pending.cancel()
    const most = Math.max(3, 2 * pending.order.length)
    if (pending.tries >= most) return this.#finish(pending, pending.failure)
    const server = pending.order[pending.tries++ % pending.order.length]!
    const attempt = this.#send(pending, server)
    pending.cancel = this.#clock.after(this.#timeout, () => this.#timedOut(pending, attempt))
  }

  #send(pending: Pending, server: Server): Attempt {
    server.queries++
    const attempt: Attempt = { context: pending, server, sentAt: this.#clock.now(), id: 0, socket: undefined }
    pending.attempts.push(attempt)
    this.#sockets.send(attempt, writeQuery(pending, pending.edns))
    return attempt
  }

  /** A silent server gets a copy of a question now and then, so that its return is noticed at nobody's cost. */
  #probe(pending: Pending): void {
    const now = this.#clock.now()
    for (const server of pending.order.slice(1)) {
      if (!server.down || now < server.retryAt) continue
      server.retryAt = now + server.backoff
      this.#send(pending, server)
    }
  }

  #timedOut(pending: Pending, attempt: Attempt): void {
    const { server } = attempt
    server.timeouts++
    // A server that answered others meanwhile is not dead; this name is slow.
    if (server.lastAnswer < attempt.sentAt) {
      server.backoff = server.down ? Math.min(server.backoff * 2, MAX_BACKOFF) : FIRST_BACKOFF
      server.down = true
      server.retryAt = this.#clock.now() + server.backoff
    }
    this.#try(pending)
  }

  #received(attempt: Attempt, bytes: Uint8Array): boolean {
    const pending = attempt.context as Pending
    const message = Message.read(bytes)
    if (!message || (message.flags & (FLAG.QR | FLAG.OPCODE)) !== FLAG.QR) return false
    const lacksQuestion = !message.hasQuestion && message.rcode !== RCODE.NOERROR
    if (!lacksQuestion && !message.asks(pending.name, pending.type)) return false
    this.#alive(attempt)
    if (this.#pending.get(pending.key) !== pending) this.#sockets.forget(attempt)
    else if (message.truncated) this.#askOverTcp(pending, attempt.server)
    else this.#judge(pending, attempt.server, message)
    return true
  }

  #alive({ server, sentAt }: Attempt): void {
    const now = this.#clock.now()
    server.answers++
    server.lastAnswer = now
    server.down = false
    server.latency = server.answers === 1 ? now - sentAt : server.latency + (now - sentAt - server.latency) / 8
  }

  #judge(pending: Pending, server: Server, message: Message): void {
    const { rcode } = message
    if ((rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP) && pending.edns) {
      // RFC 6891 section 6.2.2: a server that does not know EDNS is asked without it.
      pending.edns = false
      this.#send(pending, server)
      return
    }
    if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) return this.#finish(pending, message)
    pending.failure = message
    if (pending.tries < pending.order.length) this.#try(pending)
    else this.#finish(pending, message)
  }

  #askOverTcp(pending: Pending, server: Server): void {
    pending.cancel()
    const query = writeQuery(pending, pending.edns)
    const abort = askOverTcp(server.endpoint, query, (bytes) => {
      const message = bytes && get16(bytes, 0) === get16(query, 0) ? Message.read(bytes) : undefined
      if (!this.#pending.has(pending.key)) return
      if (message?.asks(pending.name, pending.type) && !message.truncated) this.#judge(pending, server, message)
      else this.#try(pending)
    })
    const cancel = this.#clock.after(this.#timeout, () => {
      abort()
      this.#try(pending)
    })
    pending.cancel = () => {
      cancel()
      abort()
    }
  }

  #finish(pending: Pending, message: Message | undefined): void {
    if (this.#pending.get(pending.key) !== pending) return
    this.#pending.delete(pending.key)
    pending.cancel()
    for (const attempt of pending.attempts) this.#forget(attempt)
    for (const done of pending.waiting) done(message)
  }

  /** What a silent server may still say is its sign of life, though the question is settled. */
  #forget(attempt: Attempt): void {
    if (attempt.server.down && !this.#closed) this.#clock.after(this.#timeout, () => this.#sockets.forget(attempt))
    else this.#sockets.forget(attempt)
  }
}

/** AD asks the upstream to say whether it validated (RFC 6840 section 5.7). */
function writeQuery({ name, type, variant }: Question, edns: boolean): Uint8Array {
  const question = HEADER_SIZE + name.length + 4
  const bytes = new Uint8Array(question + (edns ? 11 : 0))
  put16(bytes, 2, FLAG.RD | FLAG.AD | (variant & 2 ? FLAG.CD : 0))
  put16(bytes, 4, 1)
  bytes.set(name, HEADER_SIZE)
  put16(bytes, question - 4, type)
  put16(bytes, question - 2, 1)
  if (edns) {
    put16(bytes, 10, 1)
    put16(bytes, question + 1, TYPE.OPT)
    put16(bytes, question + 3, UDP_PAYLOAD)
    put16(bytes, question + 7, variant & 1 ? 0x8000 : 0)
  }
  return bytes
}
