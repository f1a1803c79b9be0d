// SPDX-License-Identifier: Apache-2.0
/** The answer to an AAAA question from what the upstream said about AAAA and A (RFC 6147 section 5.1). */

import { type Answer, passedAnswer, SERVER_FAILURE, writtenAnswer } from './answer.ts'
import { type Message, type ResourceRecord, SECTION } from './message.ts'
import { isBelow, nameKey } from './name.ts'
import { get16, RCODE, TYPE } from './wire.ts'
import { Writer } from './writer.ts'

export interface AddressRules {
  excludes(ipv6: Uint8Array): boolean
  /** The IPv6 addresses that represent an IPv4 address; none when it may not be translated. */
  represent(ipv4: Uint8Array): Uint8Array[]
  /** Synthesise although there are AAAA records. */
  readonly forced: boolean
}

/** TTL of a synthesised record when the negative answer has no SOA (section 5.1.7). */
const TTL_WITHOUT_SOA = 600
/** What was synthesised because the AAAA question failed is asked again soon; its TTL is the RFC's. */
const KEEP_AFTER_FAILURE = 10
const MAX_CHAIN = 64

/** The answer when what was said about AAAA settles it: the name does not exist, or has addresses of its own. */
export function decidedByAaaa(
  name: Uint8Array,
  aaaa: Message,
  rules: AddressRules,
  dnssecOk: boolean,
): Answer | undefined {
  if (aaaa.rcode === RCODE.NXDOMAIN) return passedAnswer(aaaa, name, dnssecOk)
  if (rules.forced) return undefined
  const real = realAnswer(aaaa, name, rules, dnssecOk)
  return real.usable ? real.answer : undefined
}

/** `undefined` stands for no answer in time, which counts as SERVFAIL (section 5.1.3). */
export function combine(
  name: Uint8Array,
  aaaa: Message | undefined,
  a: Message | undefined,
  rules: AddressRules,
  dnssecOk: boolean,
): Answer {
  const decided = aaaa && decidedByAaaa(name, aaaa, rules, dnssecOk)
  if (decided) return decided
  const synthesised = a && a.rcode === RCODE.NOERROR ? synthesise(name, aaaa, a, rules) : undefined
  if (synthesised) return synthesised
  return aaaa ? realAnswer(aaaa, name, rules, dnssecOk).answer : SERVER_FAILURE
}

/** The AAAA answer without excluded addresses, and whether an address is left. */
function realAnswer(message: Message, name: Uint8Array, rules: AddressRules, dnssecOk: boolean) {
  const addresses = message.records.filter(
    ({ section, type, dataLength }) => section === SECTION.ANSWER && type === TYPE.AAAA && dataLength === 16,
  )
  const excluded = rules.forced ? [] : addresses.filter((record) => rules.excludes(message.data(record)))
  const usable = message.rcode === RCODE.NOERROR && addresses.length > excluded.length
  if (excluded.length === 0) return { usable, answer: passedAnswer(message, name, dnssecOk) }
  const writer = new Writer(name)
  for (const record of message.section(SECTION.ANSWER)) {
    if (excluded.includes(record) || coversAddresses(message, record)) continue
    copyRecord(writer, message, record)
  }
  return { usable, answer: writtenAnswer(writer, { synthesised: false }) }
}

/** A signature over a set of addresses of which some are gone proves nothing. */
function coversAddresses(message: Message, record: ResourceRecord): boolean {
  return record.type === TYPE.RRSIG && record.dataLength >= 2 && get16(message.bytes, record.dataAt) === TYPE.AAAA
}

function synthesise(name: Uint8Array, aaaa: Message | undefined, a: Message, rules: AddressRules): Answer | undefined {
  const { links, addresses } = followChain(name, a)
  const limit = (aaaa?.rcode === RCODE.NOERROR ? soaTtl(aaaa) : undefined) ?? TTL_WITHOUT_SOA
  const writer = new Writer(name)
  for (const record of links) copyRecord(writer, a, record)
  const before = writer.counts[SECTION.ANSWER]
  const seen = new Set<string>()
  for (const record of addresses) {
    const owner = a.name(record.at)
    for (const ipv6 of owner ? rules.represent(a.data(record)) : []) {
      const key = ipv6.join()
      if (seen.has(key)) continue
      seen.add(key)
      writer.record(SECTION.ANSWER, owner!, TYPE.AAAA, Math.min(a.ttl(record), limit), (out) => out.raw(ipv6))
    }
  }
  if (writer.counts[SECTION.ANSWER] === before) return undefined
  const failed = aaaa?.rcode !== RCODE.NOERROR
  return writtenAnswer(writer, { synthesised: true, ...(failed ? { keep: KEEP_AFTER_FAILURE } : {}) })
}

/** Section 5.1.7 names the TTL of the SOA record itself. */
function soaTtl(message: Message): number | undefined {
  const soa = message.records.find(({ section, type }) => section === SECTION.AUTHORITY && type === TYPE.SOA)
  return soa && message.ttl(soa)
}

/**
 * The records that lead from the name to its addresses, in the order they came in, each once; records that
 * belong to no step of the way are left behind.
 */
function followChain(name: Uint8Array, message: Message) {
  const records = message.section(SECTION.ANSWER).filter((record) => record.class === 1)
  const owners = new Map<ResourceRecord, Uint8Array>()
  for (const record of records) {
    const owner = message.name(record.at)
    if (owner) owners.set(record, owner)
  }
  const aliases = new Map<string, ResourceRecord>()
  for (const [record, owner] of owners) {
    if (record.type === TYPE.CNAME && !aliases.has(nameKey(owner))) aliases.set(nameKey(owner), record)
  }
  const redirections = records.filter(({ type }) => type === TYPE.DNAME).slice(0, MAX_CHAIN)
  const used = new Set<ResourceRecord>()
  let current: Uint8Array | undefined = name
  for (let steps = 0; steps < MAX_CHAIN && current; steps++) {
    const at: Uint8Array = current
    const redirection = redirections.find((record) => redirects(owners.get(record), at))
    const alias = aliases.get(nameKey(at))
    if (redirection) used.add(redirection)
    if (alias && used.has(alias)) current = undefined
    else if (alias) {
      used.add(alias)
      current = message.name(alias.dataAt)
    } else if (redirection) current = substitute(at, owners.get(redirection)!, message.name(redirection.dataAt))
    else break
  }
  const end = current && nameKey(current)
  return {
    links: records.filter((record) => used.has(record)),
    addresses: records.filter(
      (record) => record.type === TYPE.A && record.dataLength === 4 && nameKey(owners.get(record) ?? NOWHERE) === end,
    ),
  }
}

const NOWHERE = Uint8Array.of(1, 0, 0)

/** RFC 6672 section 2.3: a DNAME redirects what is below it, not itself. */
function redirects(owner: Uint8Array | undefined, name: Uint8Array): boolean {
  return owner !== undefined && owner.length < name.length && isBelow(name, owner)
}

function substitute(name: Uint8Array, owner: Uint8Array, target: Uint8Array | undefined): Uint8Array | undefined {
  if (!target || name.length - owner.length + target.length > 255) return undefined
  return Uint8Array.from([...name.subarray(0, name.length - owner.length), ...target])
}

/** Copies a record whose data may hold a compressed name; DNAME's target must not be compressed (RFC 6672). */
export function copyRecord(writer: Writer, message: Message, record: ResourceRecord): void {
  const owner = message.name(record.at)
  if (!owner) return
  const section = record.section as 0 | 1 | 2
  if (record.type === TYPE.CNAME || record.type === TYPE.DNAME || record.type === TYPE.PTR || record.type === TYPE.NS) {
    const target = message.name(record.dataAt)
    if (!target) return
    writer.record(section, owner, record.type, message.ttl(record), (out) =>
      out.name(target, record.type !== TYPE.DNAME),
    )
  } else writer.record(section, owner, record.type, message.ttl(record), (out) => out.raw(message.data(record)))
}
