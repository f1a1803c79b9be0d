// SPDX-License-Identifier: Apache-2.0
/** Rules about the blocks of ports that a pool lends. */
import { capacity, clientsUnder } from '../deterministic.ts'
import { type Prefix, parsePrefix } from '../net/address.ts'
import type { Check, Report } from './check-rule.ts'
import { parsePortRange } from './formats.ts'
import type { Config, PoolConfig } from './schema.ts'

/** Below this a block costs more in memory and log than the ports are worth (native/session.h, MIN_BLOCK). */
const MIN_BLOCK = 64

export const blockChecks: readonly Check[] = [
  { needs: ['/nat64/pools', '/nat64/limits/clientPrefixLength'], run: blocks },
]

function blocks({ nat64 }: Config, report: Report): void {
  for (const [index, pool] of (nat64?.pools ?? []).entries()) {
    const path = `/nat64/pools/${index}`
    if (pool.blockSize > 0) size(pool, path, report)
    else unused(pool, path, report)
    if (pool.blockSize > 0 && pool.deterministic)
      deterministic(pool, nat64?.limits.clientPrefixLength ?? 0, path, report)
  }
}

function unused(pool: PoolConfig, path: string, report: Report): void {
  const remedy = 'Write blockSize too: 512, for example.'
  if (pool.deterministic) report(`${path}/deterministic`, 'says which block a client has, and there are none', remedy)
  if (pool.blocksPerClient > 0) report(`${path}/blocksPerClient`, 'bounds the blocks, and there are none', remedy)
}

function size({ blockSize, ports }: PoolConfig, path: string, report: Report): void {
  const { first, last } = parsePortRange(ports)
  if (blockSize < MIN_BLOCK)
    report(`${path}/blockSize`, `is ${blockSize}, less than ${MIN_BLOCK}`, `Write ${MIN_BLOCK} or more, or 0.`)
  else if (blockSize > last - first + 1)
    report(
      `${path}/blockSize`,
      `is ${blockSize}, and the pool has the ${last - first + 1} ports ${ports}`,
      'Write a smaller block, or give the pool more ports.',
    )
}

function deterministic(pool: PoolConfig, clientLength: number, path: string, report: Report): void {
  if (pool.blocksPerClient > 1)
    report(
      `${path}/blocksPerClient`,
      'is of no use: a deterministic pool has one block for each client',
      'Leave it out.',
    )
  const seen: Prefix[] = []
  let clients = 0
  for (const [at, text] of pool.clients.entries()) {
    const prefix = parsePrefix(text)
    if (prefix.length > clientLength)
      report(
        `${path}/clients/${at}`,
        `${prefix} is longer than a client, which is a /${clientLength}`,
        `Write a prefix of ${clientLength} bits or fewer, or a longer nat64.limits.clientPrefixLength.`,
      )
    const other = seen.find((one) => one.overlaps(prefix))
    if (other)
      report(`${path}/clients/${at}`, `${prefix} overlaps ${other}: a client has one block`, 'Leave one of them out.')
    seen.push(prefix)
    clients += clientsUnder(prefix, clientLength)
  }
  const room = capacity(pool)
  if (clients > room && room > 0)
    report(
      `${path}/deterministic`,
      `${pool.clients.join(', ')} has ${clients > 2 ** 32 ? 'far more than 2^32' : clients} clients of /${clientLength}, and the pool ${room} blocks`,
      'Write the prefix your clients really have in clients, or more addresses, or a smaller blockSize.',
    )
}
