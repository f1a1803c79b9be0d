// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10                                192.0.2.80
 *   2001:db8:1:1::10                              3 blocks of 64 ports, 2 for each /64
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { Gateway } from '../lab/gateway.ts'
import { until } from '../lab/process.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const NEAR = '2001:db8:1::10'
const FAR = '2001:db8:1:1::10'

/** Sends an echo request with each of so many identifiers. */
const PING = `
import socket, struct, sys
source, count = sys.argv[1], int(sys.argv[2])
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.bind((source, 0))
for identifier in range(5000, 5000 + count):
    raw.sendto(struct.pack("!BBHHH", 128, 0, 0, identifier, 1), ("${SERVER}", 0))
`

interface Binding {
  readonly inside: string
  readonly outside: string
  readonly block: string
}

story('Ports lent in blocks', ['/usr/bin/python3'], () => {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-blocks-'))
  const file = join(directory, 'bindings.jsonl')
  afterAll(() => rmSync(directory, { recursive: true }))
  const logged = (): Record<string, unknown>[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const pool = { addresses: ['198.51.100.64'], ports: '2000-2191', blockSize: 64, blocksPerClient: 2 }
  const scene = useScene('blocks', {
    config: {
      nat64: { pools: [pool], timeouts: { icmp: '3s' } },
      log: { bindings: { events: 'blocks', files: [file] } },
    },
    extend: async ({ client, router }) => {
      await client.ip('address', 'add', `${FAR}/64`, 'dev', 'eth0', 'nodad')
      await router.ip('-6', 'route', 'add', '2001:db8:1:1::/64', 'dev', 'lan0')
    },
  })
  const ping = (source: string, count: number) =>
    scene.now.client.run('/usr/bin/python3', ['-c', PING, source, String(count)])
  const blocksUsed = async (gateway: Gateway) =>
    (await gateway.api('/api/v1/status')).body.nat64.pools[0].blocksUsed as number

  it('belong to one client each, and come back with the last binding', async () => {
    const { gateway } = scene.now
    await ping(NEAR, 100)
    await ping(FAR, 10)
    const { bindings } = (await gateway.api('/api/v1/bindings')).body as { bindings: Binding[] }
    const owners = new Map<string, Set<string>>()
    for (const { inside, outside, block } of bindings) {
      const [first, last] = block.split('-').map(Number)
      const port = Number(outside.split(':')[1])
      expect(port).toBeGreaterThanOrEqual(first ?? Number.NaN)
      expect(port).toBeLessThanOrEqual(last ?? Number.NaN)
      owners.set(block, (owners.get(block) ?? new Set()).add(inside.includes(NEAR) ? NEAR : FAR))
    }
    expect([...owners.values()].map((one) => [...one].join()).sort()).toEqual([FAR, NEAR, NEAR].sort())
    expect(await blocksUsed(gateway)).toBe(3)
    expect((await gateway.api('/metrics')).text).toMatch(/^sixgate_pool_blocks_used\{[^}]*\} 3$/m)
    await until('the blocks are back', async () => (await blocksUsed(gateway)) === 0)
  })

  it('are all that the log has of 110 bindings', async () => {
    await until('the blocks are given back', async () => logged().length === 7)
    const [start, ...events] = logged().map(({ time: _, ...facts }) => facts)
    expect(start?.event).toBe('start')
    const of = (event: string) => events.filter((one) => one.event === event).map(({ event: _, ...block }) => block)
    const allocated = of('block-allocated')
    // two packet threads: in either order
    expect(allocated.map(({ inside, outside }) => `${inside} ${outside}`).sort()).toEqual([
      '2001:db8:1:1::/64 198.51.100.64',
      ...Array(2).fill('2001:db8:1::/64 198.51.100.64'),
    ])
    expect(allocated.map(({ ports }) => ports).sort()).toEqual(['2000-2063', '2064-2127', '2128-2191'])
    const order = (blocks: Record<string, unknown>[]) => blocks.map((block) => JSON.stringify(block)).sort()
    expect(order(of('block-released'))).toEqual(order(allocated))
  })

  it('run out for a client that has as many as it may, and for one that finds none', async () => {
    const { gateway } = scene.now
    const before = await drops(gateway)
    await ping(NEAR, 130)
    await ping(FAR, 66)
    const after = await drops(gateway)
    expect((after.CLIENT_BLOCKS ?? 0) - (before.CLIENT_BLOCKS ?? 0)).toBe(2)
    expect((after.NO_PORT ?? 0) - (before.NO_PORT ?? 0)).toBe(2)
    const told = (event: RegExp) => logged().find((line) => event.test(String(line.event)))
    await until('the log tells of both', async () => Boolean(told(/^quota/) && told(/^(addresses|ports)-exhausted/)))
    expect(told(/^quota/)).toMatchObject({ quota: 'client', limit: 2, inside: NEAR })
  })
})
