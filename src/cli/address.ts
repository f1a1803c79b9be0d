// SPDX-License-Identifier: Apache-2.0
/** `sixgate address [who] TEXT…`: the canonical form of addresses, prefixes and endpoints, their kind and NAT64 form. */
import { GatewayError } from '../errors.ts'
import { type Address, Endpoint, Prefix, parseAddress, parseEndpoint, parsePrefix } from '../net/address.ts'
import { type Kind, kindOf } from '../net/kind.ts'
import { embed, extract, isNonGlobal, WELL_KNOWN_PREFIX } from '../net/rfc6052.ts'
import { DONE, type Io, printable, REFUSED, table, USAGE, UsageError } from './io.ts'
import { parse } from './options.ts'

/** What `--json` prints for each input. */
export type Description =
  | { readonly input: string; readonly error: string; readonly remedy: string }
  | {
      readonly input: string
      readonly canonical: string
      readonly type: 'address' | 'prefix' | 'endpoint'
      readonly family: 4 | 6
      readonly kind: Kind
      /** An IPv4 input under 64:ff9b::/96. */
      readonly nat64?: string
      /** Whether RFC 6052 section 3.1 forbids that form; nat64.allowNonGlobal permits it. */
      readonly nonGlobal?: true
      /** The IPv4 part of an IPv6 input under 64:ff9b::/96, or mapped. */
      readonly ipv4?: string
    }

/** The configuration, and all that reads it, is loaded for `who` only. */
export function run(args: string[], io: Io): Promise<number> | number {
  if (args[0] === 'who') return import('./address-who.ts').then(({ who }) => who(args.slice(1), io))
  return describeAll(args, io)
}

export function describeAll(args: string[], io: Io): number {
  const given = options(args, io)
  if (!given) return USAGE
  const described = given.operands.map(describe)
  if (given.values.json) io.out(JSON.stringify(described, null, 2))
  else print(described, io)
  return described.some((one) => 'error' in one) ? REFUSED : DONE
}

function options(args: string[], io: Io) {
  try {
    return parse(args, {}, { min: 1, max: Number.POSITIVE_INFINITY })
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    io.err(`sixgate address: ${printable(error.message)}`)
    io.err('usage: sixgate address [--json] TEXT…')
    return undefined
  }
}

export function describe(input: string): Description {
  try {
    const value = read(input)
    const address = value instanceof Endpoint || value instanceof Prefix ? value.address : value
    const { family } = address
    const type = value instanceof Endpoint ? 'endpoint' : value instanceof Prefix ? 'prefix' : 'address'
    const common = { input, canonical: String(value), type, family, kind: kindOf(address) } as const
    return family === 4 ? { ...common, ...asNat64(value, address) } : { ...common, ...asIPv4(value, address) }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    return { input, error: error.faults[0]?.message ?? error.message, remedy: error.faults[0]?.remedy ?? error.remedy }
  }
}

/** An endpoint has brackets, or an IPv4 address and a port. */
function read(text: string): Address | Prefix | Endpoint {
  if (text.startsWith('[') || /^[^:]*\.[^:]*:[^:]*$/.test(text)) return parseEndpoint(text)
  return text.includes('/') ? parsePrefix(text) : parseAddress(text)
}

function asNat64(value: Address | Prefix | Endpoint, address: Address) {
  const nat64 = String(like(value, embed(WELL_KNOWN_PREFIX, address), 96))
  return isNonGlobal(value instanceof Prefix ? value : address) ? { nat64, nonGlobal: true as const } : { nat64 }
}

function asIPv4(value: Address | Prefix | Endpoint, address: Address) {
  const mapped = address.unmapped()
  const ipv4 = mapped.family === 4 ? mapped : extract(WELL_KNOWN_PREFIX, address)
  if (!ipv4 || (value instanceof Prefix && value.length < 96)) return {}
  return { ipv4: String(like(value, ipv4, -96)) }
}

/** The same sort of thing with another address; `longer` is what the prefix length grows by. */
function like(value: Address | Prefix | Endpoint, address: Address, longer: number): Address | Prefix | Endpoint {
  if (value instanceof Prefix) return new Prefix(address, value.length + longer)
  return value instanceof Endpoint ? new Endpoint(address, value.port) : address
}

function print(described: readonly Description[], io: Io): void {
  const rows = described.flatMap((one) =>
    'error' in one
      ? []
      : [
          [
            one.input,
            one.canonical,
            one.kind,
            one.nat64 ?? one.ipv4 ?? '',
            one.nonGlobal ? 'only with allowNonGlobal' : '',
          ],
        ],
  )
  const isNoted = rows.some((row) => row[4] !== '')
  const head = ['input', 'canonical', 'kind', 'NAT64', ...(isNoted ? [''] : [])]
  if (rows.length > 0) for (const line of table(head, rows)) io.out(line)
  for (const one of described) if ('error' in one) io.err(printable(`sixgate: ${one.error}. ${one.remedy}`))
}
