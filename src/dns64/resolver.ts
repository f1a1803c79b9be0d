// SPDX-License-Identifier: Apache-2.0
/**
 * Answers what the cache cannot: decides what to ask (`plan`), asks, and makes the answer. Clients that ask the
 * same wait for one job.
 */
import type { Clock } from '../clock.ts'
import { type Answer, emptyAnswer, passedAnswer, SERVER_FAILURE } from './answer.ts'
import type { Cache } from './cache.ts'
import { Key, VARIANT } from './key.ts'
import { reverseAnswer, reverseName, wellKnownAnswer } from './local.ts'
import { isFailure, type Message } from './message.ts'
import type { Policy } from './policy.ts'
import { answerMessage, entryMessage } from './reply.ts'
import { type AddressRules, combine, decidedByAaaa } from './synthesis.ts'
import type { Upstream } from './upstream.ts'
import { RCODE, TYPE } from './wire.ts'

/** Who waits for an answer. */
export interface Waiter {
  reply(answer: Answer): void
}

export interface Question {
  /** In the letters of the client that asked first. */
  readonly name: Uint8Array
  readonly type: number
  readonly variant: number
  readonly view: number
}

export type Plan =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'pass' }
  | { readonly kind: 'addresses'; readonly rules: AddressRules }
  | { readonly kind: 'alias'; readonly target: Uint8Array }

const MAX_WAITERS = 16_384
/** A client that asked for AAAA has an answer within two seconds when there is an A (RFC 6147 section 5.1.3). */
const ADDRESS_PATIENCE = 1700
/** Key of "no such name, nor any below it": a type no question has. */
const ANY_TYPE = 0

export function plan({ name, type, variant, view }: Question, policy: Policy): Plan {
  // RFC 6147 section 5.5: a client that validates for itself gets nothing it could not validate.
  const validates = variant === (VARIANT.DO | VARIANT.CD)
  const represent = (ipv4: Uint8Array) => policy.represent(view, ipv4)
  const known = wellKnownAnswer(name, type, validates ? undefined : represent)
  if (known) return { kind: 'answer', answer: known }
  if (validates) return { kind: 'pass' }
  if (type === TYPE.AAAA && !policy.bypasses(name)) {
    const rules = { excludes: (ipv6: Uint8Array) => policy.excludes(ipv6), represent, forced: policy.forces(name) }
    return { kind: 'addresses', rules }
  }
  const reverse = reverseName(name, policy.prefixes)
  if (reverse.kind === 'partial') return { kind: 'answer', answer: emptyAnswer(RCODE.NOERROR) }
  if (reverse.kind === 'missing') return { kind: 'answer', answer: emptyAnswer(RCODE.NXDOMAIN) }
  if (reverse.kind === 'foreign') return { kind: 'pass' }
  if (type === TYPE.CNAME) return { kind: 'answer', answer: reverseAnswer(name, reverse.target) }
  return { kind: 'alias', target: reverse.target }
}

interface Job extends Question {
  readonly waiters: Waiter[]
}

export class Resolver {
  readonly #clock: Clock
  readonly #upstream: Upstream
  readonly #jobs = new Map<string, Job>()
  /** For one look-up or insertion at a time. */
  readonly #key = new Key()
  #policy: Policy
  #cache: Cache
  #epoch: number
  #waiting = 0
  /** Jobs of before a change of configuration may answer, but not be kept. */
  #generation = 0

  constructor(clock: Clock, upstream: Upstream, policy: Policy, cache: Cache) {
    this.#clock = clock
    this.#upstream = upstream
    this.#policy = policy
    this.#cache = cache
    this.#epoch = clock.now()
  }

  /** Replaces the rules and forgets what was answered under the old ones. */
  configure(policy: Policy, cache: Cache): void {
    this.#policy = policy
    this.#cache = cache
    this.#generation++
    this.#jobs.clear()
  }

  /** Seconds of the cache's clock. */
  now(): number {
    return Math.floor((this.#clock.now() - this.#epoch) / 1000)
  }

  get waiting(): number {
    return this.#waiting
  }

  /** The kept denial of the name or of one above it (RFC 8020), or -1. */
  findDenial(key: Key, now: number): number {
    // None is kept for a client that validates: it needs the proof for its own name.
    if (key.variant & VARIANT.DO) return -1
    for (let start = 0; start < key.nameLength - 1; start += key.bytes[start]! + 1) {
      this.#key.readName(key.bytes, start, key.nameLength)
      this.#key.finish(ANY_TYPE, key.variant)
      const entry = this.#cache.find(this.#key, now)
      if (entry >= 0) return entry
    }
    return -1
  }

  /** Has the waiter answered, now or later. False when too many wait already. */
  submit(question: Question, waiter: Waiter): boolean {
    if (this.#waiting >= MAX_WAITERS) return false
    const text = String(this.#key.assign(question.name, question.type, question.variant, question.view))
    this.#waiting++
    const same = this.#jobs.get(text)
    if (same) {
      same.waiters.push(waiter)
      return true
    }
    const job: Job = { ...question, waiters: [waiter] }
    const generation = this.#generation
    this.#jobs.set(text, job)
    this.#run(job, (answer) => {
      if (this.#jobs.get(text) === job) this.#jobs.delete(text)
      if (generation === this.#generation) this.#keep(job, answer)
      this.#waiting -= job.waiters.length
      for (const waiting of job.waiters) waiting.reply(answer)
    })
    return true
  }

  #run(job: Job, done: (answer: Answer) => void): void {
    const step = plan(job, this.#policy)
    if (step.kind === 'answer') done(step.answer)
    else if (step.kind === 'addresses') this.#addresses(job, step.rules, done)
    else if (step.kind === 'pass') {
      this.#upstream.ask(job, (message) =>
        done(message ? passedAnswer(message, job.name, (job.variant & VARIANT.DO) !== 0) : SERVER_FAILURE),
      )
    } else {
      this.#resolve(step.target, job.type, job.variant, (message) =>
        done(message && !isFailure(message) ? reverseAnswer(job.name, step.target, message) : SERVER_FAILURE),
      )
    }
  }

  /** AAAA and A in parallel; the answer as soon as it is settled. */
  #addresses(job: Job, rules: AddressRules, done: (answer: Answer) => void): void {
    const dnssecOk = (job.variant & VARIANT.DO) !== 0
    const state: { aaaa?: Message | undefined; a?: Message | undefined; finished: boolean } = { finished: false }
    const finish = (answer: Answer) => {
      if (state.finished) return
      state.finished = true
      cancel()
      done(answer)
    }
    const step = () => {
      if (state.finished) return
      const decided = state.aaaa && decidedByAaaa(job.name, state.aaaa, rules, dnssecOk)
      if (decided) finish(decided)
      else if ('aaaa' in state && 'a' in state) finish(combine(job.name, state.aaaa, state.a, rules, dnssecOk))
    }
    const cancel = this.#clock.after(ADDRESS_PATIENCE, () => {
      // An A that is there is used now; without one the AAAA question is still worth its whole time.
      if (state.a && !('aaaa' in state)) {
        state.aaaa = undefined
        step()
      } else if (!('aaaa' in state)) impatient = true
    })
    let impatient = false
    this.#upstream.ask(job, (message) => {
      state.aaaa = message
      step()
    })
    this.#resolve(job.name, TYPE.A, job.variant & VARIANT.CD, (message) => {
      state.a = message
      if (impatient && message && !('aaaa' in state)) state.aaaa = undefined
      step()
    })
  }

  /** An answer from the gateway, the cache or the upstream, as a message. Not for AAAA, which may be synthesised. */
  #resolve(name: Uint8Array, type: number, variant: number, done: (message: Message | undefined) => void): void {
    const local = wellKnownAnswer(name, type, undefined)
    if (local) return done(answerMessage(local, name, type))
    const entry = this.#cache.find(this.#key.assign(name, type, variant), this.now())
    if (entry >= 0) return done(entryMessage(this.#cache, entry, name, type, this.now()))
    const generation = this.#generation
    this.#upstream.ask({ name, type, variant }, (message) => {
      if (message && generation === this.#generation) {
        const answer = passedAnswer(message, name, (variant & VARIANT.DO) !== 0)
        this.#keep({ name, type, variant, view: 0 }, answer)
      }
      done(message)
    })
  }

  #keep({ name, type, variant, view }: Question, answer: Answer): void {
    if (answer.keep <= 0) return
    const key = answer.cut ? this.#key.assign(name, ANY_TYPE, variant) : this.#key.assign(name, type, variant, view)
    this.#cache.insert(key, answer, this.now())
  }
}
