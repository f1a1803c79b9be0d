// SPDX-License-Identifier: Apache-2.0
/** Names the gateway answers for itself: ipv4only.arpa (RFC 7050, RFC 8880) and its own translation prefixes. */
import { addressFromBytes, type Prefix } from '../net/address.ts'
import { extract } from '../net/rfc6052.ts'
import { type Answer, writeSoa, writtenAnswer } from './answer.ts'
import { type Message, SECTION } from './message.ts'
import { equalNames, isBelow, labelsOf, parseName } from './name.ts'
import { copyRecord } from './synthesis.ts'
import { put32, RCODE, TYPE } from './wire.ts'
import { Writer } from './writer.ts'

const IPV4ONLY = parseName('ipv4only.arpa.')!
const IP6_ARPA = parseName('ip6.arpa.')!
const REVERSE = ['170.0.0.192.in-addr.arpa.', '171.0.0.192.in-addr.arpa.'].map((name) => parseName(name)!)
const ADDRESSES = [Uint8Array.of(192, 0, 0, 170), Uint8Array.of(192, 0, 0, 171)]
const TTL = 3600
/** Longest TTL of an alias made for a reverse name. */
const ALIAS_TTL = 600
const NOBODY = parseName('nobody.invalid.')!

/** The answer for ipv4only.arpa, what is below it, and its reverse names; undefined for any other name. */
export function wellKnownAnswer(
  name: Uint8Array,
  type: number,
  represent: ((ipv4: Uint8Array) => Uint8Array[]) | undefined,
): Answer | undefined {
  if (isBelow(name, IPV4ONLY)) {
    // RFC 8880 section 7.1: there are no names below ipv4only.arpa.
    if (!equalNames(name, IPV4ONLY)) return negativeAnswer(name, IPV4ONLY, RCODE.NXDOMAIN)
    const records =
      type === TYPE.A ? ADDRESSES : type === TYPE.AAAA && represent ? ADDRESSES.flatMap((ipv4) => represent(ipv4)) : []
    if (records.length === 0) return negativeAnswer(name, IPV4ONLY, RCODE.NOERROR)
    const writer = new Writer(name)
    for (const data of records) writer.record(SECTION.ANSWER, name, type, TTL, (out) => out.raw(data))
    return writtenAnswer(writer, { synthesised: type === TYPE.AAAA })
  }
  const zone = REVERSE.find((candidate) => isBelow(name, candidate))
  if (!zone) return undefined
  if (!equalNames(name, zone)) return negativeAnswer(name, zone, RCODE.NXDOMAIN)
  if (type !== TYPE.PTR) return negativeAnswer(name, zone, RCODE.NOERROR)
  const writer = new Writer(name)
  writer.record(SECTION.ANSWER, name, TYPE.PTR, TTL, (out) => out.name(IPV4ONLY))
  return writtenAnswer(writer, { synthesised: false })
}

/** What a name below ip6.arpa is to the translation prefixes: nothing, a part of one, none, or an IPv4 host's. */
type ReverseName =
  | { readonly kind: 'foreign' }
  | { readonly kind: 'partial' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'host'; readonly target: Uint8Array }

export function reverseName(name: Uint8Array, prefixes: readonly Prefix[]): ReverseName {
  if (!isBelow(name, IP6_ARPA)) return { kind: 'foreign' }
  const labels = labelsOf(name).slice(0, -2).reverse()
  // Every prefix ends between two nibbles, so the prefix is itself a name that the labels must begin with.
  for (const prefix of prefixes) {
    const nibbles = Buffer.from(prefix.address.toBytes())
      .toString('hex')
      .slice(0, prefix.length / 4)
    if (labels.length < nibbles.length) continue
    if (labels.slice(0, nibbles.length).join('').toLowerCase() !== nibbles) continue
    if (labels.length > 32 || labels.some((label) => !/^[0-9a-f]$/i.test(label))) return { kind: 'missing' }
    if (labels.length < 32) return { kind: 'partial' }
    const ipv4 = extract(prefix, addressFromBytes(Buffer.from(labels.join(''), 'hex')))
    if (!ipv4) return { kind: 'missing' }
    return { kind: 'host', target: parseName(`${[...ipv4.toBytes()].reverse().join('.')}.in-addr.arpa.`)! }
  }
  return { kind: 'foreign' }
}

/**
 * RFC 6147 section 5.3.1: the name is an alias, and what its target has comes along. Without `resolved` the
 * alias itself was asked for.
 */
export function reverseAnswer(name: Uint8Array, target: Uint8Array, resolved?: Message): Answer {
  const records = resolved?.section(SECTION.ANSWER).filter(({ type }) => type !== TYPE.RRSIG) ?? []
  const soa = resolved?.records.find(({ section, type }) => section === SECTION.AUTHORITY && type === TYPE.SOA)
  const soaTtl = resolved?.negativeTtl() ?? 0
  const ttls = records.map((record) => resolved!.ttl(record))
  if (resolved && records.length === 0) ttls.push(soaTtl)
  const writer = new Writer(name)
  writer.record(SECTION.ANSWER, name, TYPE.CNAME, Math.min(ALIAS_TTL, ...ttls), (out) => out.name(target))
  for (const record of records) copyRecord(writer, resolved!, record)
  if (records.length === 0 && soa) writeSoa(writer, resolved!, soa, soaTtl)
  return writtenAnswer(writer, { rcode: resolved?.rcode ?? RCODE.NOERROR, synthesised: true })
}

/** A name or type that does not exist in a zone of ours, with the SOA that lets it be cached (RFC 2308). */
function negativeAnswer(name: Uint8Array, zone: Uint8Array, rcode: number): Answer {
  const writer = new Writer(name)
  writer.record(SECTION.AUTHORITY, zone, TYPE.SOA, TTL, (out) => {
    out.name(zone)
    out.name(NOBODY)
    for (const number of [1, TTL, TTL, 604800, TTL]) {
      const word = new Uint8Array(4)
      put32(word, 0, number)
      out.raw(word)
    }
  })
  return writtenAnswer(writer, { rcode, synthesised: false })
}
