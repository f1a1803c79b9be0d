// SPDX-License-Identifier: Apache-2.0
/**
 * `sixgate address who TEXT…`: whose an outside transport address is, and what a client has, as far as the
 * configuration alone says: static bindings and deterministic pools (RFC 7422 section 2 asks for both functions).
 */
import { readConfigFile } from '../config/durable.ts'
import { readConfig } from '../config/load.ts'
import type { Nat64Config } from '../config/schema.ts'
import { type Assignment, clientOf, portsOf } from '../deterministic.ts'
import { GatewayError } from '../errors.ts'
import { type Address, Endpoint, Prefix, parseAddress, parseEndpoint, parsePrefix } from '../net/address.ts'
import { DONE, type Io, printable, REFUSED, table } from './io.ts'
import { parse } from './options.ts'

interface Holder {
  readonly input: string
  /** A prefix, or the transport address of a static binding. */
  readonly client: string
  readonly outside: string
  readonly ports: string
  /** Of a static binding. */
  readonly protocol?: string
}

type Answer = Holder | { readonly input: string; readonly error: string; readonly remedy: string }

const OPTIONS = { config: { type: 'string', short: 'c', default: '/etc/sixgate/sixgate.yaml' } } as const

export function who(args: string[], io: Io): number {
  const { values, operands } = parse(args, OPTIONS, { min: 1, max: Number.POSITIVE_INFINITY })
  const { nat64 } = readConfig(readConfigFile(values.config), values.config).config
  const answers = operands.flatMap((input) => answer(input, nat64, values.config))
  if (values.json) io.out(JSON.stringify(answers, null, 2))
  else print(answers, io)
  return answers.some((one) => 'error' in one) ? REFUSED : DONE
}

function answer(input: string, nat64: Nat64Config | undefined, file: string): Answer[] {
  try {
    const found = nat64 ? holders(input, nat64) : []
    if (found.length > 0) return found
    return [{ input, error: `${file} alone does not say whose ${input} is`, remedy: remedyOf(nat64) }]
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const [fault] = error.faults
    return [{ input, error: fault?.message ?? error.message, remedy: fault?.remedy ?? error.remedy }]
  }
}

function remedyOf(nat64: Nat64Config | undefined): string {
  if (nat64?.pools.some(({ deterministic }) => !deterministic))
    return 'Ask the log of bindings (log.bindings), or `sixgate show bindings` for what is bound now.'
  return 'Write an address and port of a deterministic pool, or an address of its clients.'
}

function holders(input: string, nat64: Nat64Config): Holder[] {
  const value = read(input)
  const address = value instanceof Endpoint || value instanceof Prefix ? value.address : value
  if (address.family === 4) return outside(input, value, address, nat64)
  const bound = nat64.static.filter(({ inside }) => {
    const own = parseEndpoint(inside)
    return own.address.equals(address) && (!(value instanceof Endpoint) || own.port === value.port)
  })
  const assigned = value instanceof Prefix ? clientPrefix(value, nat64) : portsOf(nat64, address)
  return [...bound.map((one) => fixed(input, one)), ...assigned.map((one) => holder(input, one))]
}

/** A prefix shorter than a client is many clients. */
function clientPrefix(prefix: Prefix, nat64: Nat64Config): Assignment[] {
  return prefix.length < nat64.limits.clientPrefixLength ? [] : portsOf(nat64, prefix.address)
}

/** The static binding of a port takes it out of the block, for its protocol. */
function outside(input: string, value: Address | Prefix | Endpoint, address: Address, nat64: Nat64Config): Holder[] {
  if (!(value instanceof Endpoint))
    throw new GatewayError('ADDRESS_INVALID', {
      faults: [
        { path: '', message: `${input} has no port`, remedy: `Write ${address}:PORT: clients share the address.` },
      ],
    })
  const bound = nat64.static.filter(({ outside }) => outside === String(value))
  const assigned = clientOf(nat64, address, value.port)
  return [...bound.map((one) => fixed(input, one)), ...assigned.map((one) => holder(input, one))]
}

function fixed(input: string, { protocol, inside, outside }: Nat64Config['static'][number]): Holder {
  const { address, port } = parseEndpoint(outside)
  return { input, client: inside, outside: String(address), ports: String(port), protocol }
}

function holder(input: string, { client, outside, ports }: Assignment): Holder {
  return { input, client: String(client), outside: String(outside), ports: `${ports.first}-${ports.last}` }
}

function read(text: string): Address | Prefix | Endpoint {
  if (text.startsWith('[') || /^[^:]*\.[^:]*:[^:]*$/.test(text)) return parseEndpoint(text)
  return text.includes('/') ? parsePrefix(text) : parseAddress(text)
}

function print(answers: readonly Answer[], io: Io): void {
  const rows = answers.flatMap((one) =>
    'error' in one ? [] : [[one.input, one.client, one.outside, one.ports, one.protocol ?? 'all']],
  )
  if (rows.length > 0) for (const line of table(['input', 'client', 'outside', 'ports', 'protocol'], rows)) io.out(line)
  for (const one of answers) if ('error' in one) io.err(printable(`sixgate: ${one.error}. ${one.remedy}`))
}
