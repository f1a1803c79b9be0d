// SPDX-License-Identifier: Apache-2.0
/** The configuration compiled for questions: who may ask, what is excluded, which prefix represents an address. */
import type { Dns64Config } from '../config/schema.ts'
import { addressFromBytes, type Family, type Prefix, parsePrefix } from '../net/address.ts'
import { embed, forbidsUnder } from '../net/rfc6052.ts'
import { isBelow, parseName } from './name.ts'
import { PrefixSet } from './prefix-set.ts'

interface PolicyOptions {
  readonly config: Dns64Config
  readonly prefixes: readonly string[]
  readonly allowNonGlobal: boolean
}

interface Rule {
  readonly prefix: Prefix
  readonly clients: PrefixSet
  readonly ipv4: PrefixSet
}

/** No host behind these could be reached through a translator (RFC 6147 section 5.1.4, RFC 6890). */
const NEVER = new PrefixSet(
  ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'].map(parsePrefix),
)
const PRIVATE = new PrefixSet(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map(parsePrefix))
/** The addresses of ipv4only.arpa, by which clients find the prefix (RFC 7050 section 3). */
const DISCOVERY = new PrefixSet([parsePrefix('192.0.0.170/31')])

/** The key of an answer has one byte for the view. */
const MAX_VIEWS = 255

export class Policy {
  readonly clients: PrefixSet
  /** Every prefix answers are synthesised with, in order of preference. */
  readonly prefixes: readonly Prefix[]
  readonly #options: PolicyOptions
  readonly #default: readonly Prefix[]
  readonly #rules: readonly Rule[]
  readonly #excluded: PrefixSet
  readonly #bypass: readonly Uint8Array[]
  readonly #force: readonly Uint8Array[]
  /** Sets of rules that some client matches, by number. */
  #views: (readonly Rule[])[] = [[]]
  readonly #viewNumbers = new Map<string, number>([['', 0]])

  constructor(options: PolicyOptions) {
    const { config } = options
    this.#options = options
    this.#default = options.prefixes.map(parsePrefix)
    this.#rules = config.rules.map((rule) => ({
      prefix: parsePrefix(rule.prefix),
      clients: new PrefixSet(rule.clients.map(parsePrefix)),
      ipv4: new PrefixSet(rule.ipv4.map(parsePrefix)),
    }))
    const own = [...this.#default, ...this.#rules.map(({ prefix }) => prefix)]
    this.prefixes = own.filter((prefix, index) => own.findIndex((other) => other.equals(prefix)) === index)
    this.clients = new PrefixSet(config.clients.map(parsePrefix))
    this.#excluded = new PrefixSet([...config.exclude.map(parsePrefix), ...this.prefixes])
    this.#bypass = names(config.bypass)
    this.#force = names(config.force)
  }

  get hasRules(): boolean {
    return this.#rules.length > 0
  }

  /** The number of the set of rules this client matches; undefined when there are too many sets to keep apart. */
  view(bytes: Uint8Array, at: number, family: Family): number | undefined {
    let key = ''
    for (const [index, rule] of this.#rules.entries()) if (rule.clients.has(bytes, at, family)) key += `${index},`
    const known = this.#viewNumbers.get(key)
    if (known !== undefined) return known
    if (this.#views.length > MAX_VIEWS) return undefined
    this.#viewNumbers.set(key, this.#views.length)
    this.#views.push(this.#rules.filter((rule) => rule.clients.has(bytes, at, family)))
    return this.#views.length - 1
  }

  /** An AAAA record that counts as not there (RFC 6147 section 5.1.4). */
  excludes(ipv6: Uint8Array): boolean {
    return this.#excluded.has(ipv6, 0, 6)
  }

  bypasses(name: Uint8Array): boolean {
    return this.#bypass.some((domain) => isBelow(name, domain))
  }

  forces(name: Uint8Array): boolean {
    return this.#force.some((domain) => isBelow(name, domain))
  }

  /** The IPv6 addresses that represent the four bytes of an IPv4 address to clients of a view. */
  represent(view: number, ipv4: Uint8Array): Uint8Array[] {
    if (!DISCOVERY.has(ipv4, 0, 4)) {
      if (NEVER.has(ipv4, 0, 4)) return []
      if (!this.#options.config.synthesizePrivate && PRIVATE.has(ipv4, 0, 4)) return []
    }
    const rule = this.#views[view]?.find((candidate) => candidate.ipv4.has(ipv4, 0, 4))
    const address = addressFromBytes(ipv4)
    return (rule ? [rule.prefix] : this.#default)
      .filter((prefix) => !forbidsUnder(prefix, address, this.#options.allowNonGlobal))
      .map((prefix) => embed(prefix, address).toBytes())
  }
}

function names(domains: readonly string[]): Uint8Array[] {
  return domains.map((domain) => parseName(domain)).filter((name) => name !== undefined)
}
