// SPDX-License-Identifier: Apache-2.0
/** The way of a query, whatever it came by: limits, question, cache, and the resolver for the rest. */
import type { Clock } from '../clock.ts'
import type { Family } from '../net/address.ts'
import type { Answer } from './answer.ts'
import { type Cache, ENTRY, ENTRY_FLAG } from './cache.ts'
import { SLOT } from './datagram.ts'
import { RateLimiter } from './limiter.ts'
import type { Policy } from './policy.ts'
import { Query, VERDICT } from './query.ts'
import type { QueryLog } from './query-log.ts'
import { writeAnswer, writeEntry, writeRefusal } from './reply.ts'
import type { Resolver, Waiter } from './resolver.ts'
import type { Counters } from './stats.ts'
import { FLAG, HEADER_SIZE, MAX_MESSAGE, RCODE, TYPE } from './wire.ts'

/** No answer now: the query waits for the resolver, or is not to be answered at all. */
export const OUTCOME = { NONE: 0, WAIT: -1 } as const

export class Responder {
  readonly counters: Counters
  readonly #clock: Clock
  readonly #query = new Query()
  readonly #limiter = new RateLimiter()
  readonly #resolver: Resolver
  readonly #log: QueryLog
  #policy: Policy
  #cache: Cache
  /** Read once a batch: asking the clock costs as much as finding an answer. */
  #milliseconds = 0
  #seconds = 0

  constructor(clock: Clock, resolver: Resolver, counters: Counters, log: QueryLog, policy: Policy, cache: Cache) {
    this.#clock = clock
    this.#resolver = resolver
    this.counters = counters
    this.#log = log
    this.#policy = policy
    this.#cache = cache
  }

  configure(policy: Policy, cache: Cache, rateLimit: number): void {
    this.#policy = policy
    this.#cache = cache
    this.#limiter.configure(rateLimit)
  }

  /** To be called before each batch of queries. */
  tick(): void {
    this.#milliseconds = this.#clock.now()
    this.#seconds = this.#resolver.now()
  }

  /**
   * Answers in place the query of `length` bytes at `start`; `header` is where its slot header stands. Returns
   * the answer's length or an OUTCOME.
   */
  answer(bytes: Uint8Array, header: number, start: number, length: number, tcp: boolean): number {
    const query = this.#query
    const { counters } = this
    const family = bytes[header + SLOT.family] as Family
    if (this.#limiter.exceeds(bytes, header + SLOT.peer, family, this.#milliseconds)) {
      counters.rateLimited++
      return OUTCOME.NONE
    }
    const verdict = query.parse(bytes, start, length)
    if (verdict === VERDICT.DROP) {
      counters.malformed++
      return OUTCOME.NONE
    }
    if (!this.#policy.clients.has(bytes, header + SLOT.peer, family)) {
      counters.refused++
      return this.#refuse(bytes, RCODE.REFUSED)
    }
    if (this.#log.enabled) this.#log.note(bytes, header, query)
    if (verdict !== VERDICT.ANSWER) {
      if (verdict === RCODE.FORMERR) counters.malformed++
      return this.#refuse(bytes, verdict)
    }
    return this.#lookUp(bytes, header, tcp)
  }

  #lookUp(bytes: Uint8Array, header: number, tcp: boolean): number {
    const query = this.#query
    if (this.#policy.hasRules && query.type === TYPE.AAAA) {
      const view = this.#policy.view(bytes, header + SLOT.peer, bytes[header + SLOT.family] as Family)
      if (view === undefined) {
        this.counters.overload++
        return this.#refuse(bytes, RCODE.SERVFAIL)
      }
      if (view > 0) query.key.view = view
    }
    const now = this.#seconds
    let entry = this.#cache.find(query.key, now)
    if (entry < 0) entry = this.#resolver.findDenial(query.key, now)
    if (entry < 0) {
      this.counters.misses++
      return OUTCOME.WAIT
    }
    this.counters.hits++
    if (this.#cache.words[entry + ENTRY.flags]! & ENTRY_FLAG.SYNTHESISED) this.counters.synthesised++
    return this.#count(bytes, writeEntry(bytes, query, this.#cache, entry, now, this.#limit(tcp)))
  }

  /** Hands the query just parsed to the resolver; false when it is lost to overload. */
  wait(bytes: Uint8Array, waiter: Waiter): boolean {
    const { start, type, key } = this.#query
    const at = start + HEADER_SIZE
    const question = { name: bytes.slice(at, at + key.nameLength), type, variant: key.variant, view: key.view }
    if (this.#resolver.submit(question, waiter)) return true
    this.counters.overload++
    return false
  }

  /** Writes the answer a query waited for over a copy of it. */
  finish(bytes: Uint8Array, start: number, length: number, answer: Answer, tcp: boolean): number {
    this.#query.parse(bytes, start, length)
    if (answer.synthesised) this.counters.synthesised++
    return this.#count(bytes, writeAnswer(bytes, this.#query, answer, this.#limit(tcp)))
  }

  #limit(tcp: boolean): number {
    return tcp ? MAX_MESSAGE : this.#query.payload
  }

  #refuse(bytes: Uint8Array, rcode: number): number {
    const length = writeRefusal(bytes, this.#query, rcode)
    this.counters.rcodes[rcode]!++
    return length
  }

  #count(bytes: Uint8Array, length: number): number {
    const { start } = this.#query
    this.counters.rcodes[bytes[start + 3]! & FLAG.RCODE]!++
    if (bytes[start + 2]! & (FLAG.TC >> 8)) this.counters.truncated++
    return length
  }
}
