// SPDX-License-Identifier: Apache-2.0
/**
 * Ports that follow from the client (RFC 7422 section 2, algorithm 0): function 1 from a client prefix to its outside
 * address and ports, function 2 back. native/pool_block.cc does the same for the packets.
 */
import { type PortRange, parsePortRange } from './config/formats.ts'
import type { Nat64Config, PoolConfig } from './config/schema.ts'
import { Address, Prefix, parsePrefix } from './net/address.ts'

export interface Assignment {
  readonly client: Prefix
  readonly outside: Address
  readonly ports: PortRange
}

/** What a pool has: one block of ports for each client. */
export function capacity({ addresses, ports, blockSize }: PoolConfig): number {
  const { first, last } = parsePortRange(ports)
  const count = addresses.reduce((sum, text) => sum + 2 ** (32 - parsePrefix(text).length), 0)
  return count * Math.floor((last - first + 1) / blockSize)
}

/** How many clients are under a prefix. */
export function clientsUnder(prefix: Prefix, clientLength: number): number {
  return 2 ** Math.max(0, clientLength - prefix.length)
}

/** The pool's prefixes in ascending order, as the first of it all is the first address. */
function ascending(addresses: readonly string[]): Prefix[] {
  return addresses.map(parsePrefix).sort((a, b) => (a.address.value < b.address.value ? -1 : 1))
}

function addressAt(addresses: readonly string[], index: number): Address | undefined {
  let left = index
  for (const prefix of ascending(addresses)) {
    const size = 2 ** (32 - prefix.length)
    if (left < size) return new Address(4, prefix.address.value + BigInt(left))
    left -= size
  }
  return undefined
}

function indexOf(addresses: readonly string[], address: Address): number | undefined {
  let before = 0
  for (const prefix of ascending(addresses)) {
    if (prefix.contains(address)) return before + Number(address.value - prefix.address.value)
    before += 2 ** (32 - prefix.length)
  }
  return undefined
}

function assignment(pool: PoolConfig, client: Prefix, index: number): Assignment | undefined {
  const count = pool.addresses.reduce((sum, text) => sum + 2 ** (32 - parsePrefix(text).length), 0)
  const outside = index < capacity(pool) ? addressAt(pool.addresses, index % count) : undefined
  if (!outside) return undefined
  const first = parsePortRange(pool.ports).first + Math.floor(index / count) * pool.blockSize
  return { client, outside, ports: { first, last: first + pool.blockSize - 1 } }
}

/** The prefix of the configuration that decides for a client: the longest of any pool. */
function deciding(nat64: Nat64Config, client: Address): Prefix | undefined {
  const all = nat64.pools.flatMap(({ clients }) => clients.map(parsePrefix)).filter((one) => one.contains(client))
  return all.sort((a, b) => b.length - a.length)[0]
}

/** Address and ports of the client that holds the address. */
export function portsOf(nat64: Nat64Config, address: Address): Assignment[] {
  const { clientPrefixLength } = nat64.limits
  const choice = deciding(nat64, address)
  return nat64.pools.flatMap((pool) => {
    let before = 0
    for (const prefix of pool.deterministic ? pool.clients.map(parsePrefix) : []) {
      if (prefix.contains(address) && choice?.equals(prefix)) {
        const offset = (address.value - prefix.address.value) >> BigInt(128 - clientPrefixLength)
        return assignment(pool, new Prefix(address, clientPrefixLength), before + Number(offset)) ?? []
      }
      before += clientsUnder(prefix, clientPrefixLength)
    }
    return []
  })
}

/** The client to which an outside transport address belongs. */
export function clientOf(nat64: Nat64Config, address: Address, port: number): Assignment[] {
  const { clientPrefixLength } = nat64.limits
  return nat64.pools.flatMap((pool) => {
    const place = pool.deterministic ? indexOf(pool.addresses, address) : undefined
    const { first, last } = parsePortRange(pool.ports)
    if (place === undefined || port < first || port > last) return []
    const count = pool.addresses.reduce((sum, text) => sum + 2 ** (32 - parsePrefix(text).length), 0)
    let index = Math.floor((port - first) / pool.blockSize) * count + place
    for (const prefix of pool.clients.map(parsePrefix)) {
      const under = clientsUnder(prefix, clientPrefixLength)
      if (index < under) {
        const value = prefix.address.value + (BigInt(index) << BigInt(128 - clientPrefixLength))
        // A longer prefix of another pool may decide for what is under this one.
        return portsOf(nat64, new Address(6, value)).filter(
          ({ outside, ports }) => outside.equals(address) && ports.first <= port && port <= ports.last,
        )
      }
      index -= under
    }
    return []
  })
}
