// SPDX-License-Identifier: Apache-2.0
/**
 * The highest rate of datagrams of 64 bytes at which at most one in a thousand is lost, found by halving. What
 * arrives is counted by nftables at the server's door, so that the sink costs next to nothing.
 */
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run as command, until } from '../lab/process.ts'
import { type Arena, openArena } from './arena.ts'
import { interleave, median, publish, teller } from './measure.ts'

const PAYLOAD = 64
const PROBE_MS = 700
const ROUNDS = 3
const STEPS = 7
const LOSS = 0.001
const CEILING = 2_000_000

const root = fileURLToPath(new URL('../..', import.meta.url))
const blast = `${root}.cache/bench/blast`

const DEVICES = { sixgate: 'b0', tayga: 'b1' } as const
type Way = keyof typeof DEVICES

async function prepareSink({ server }: Arena): Promise<void> {
  const chains = Object.entries(DEVICES).map(
    ([way, device]) =>
      `chain ${way} { type filter hook ingress device "${device}" priority 0; udp dport 9 counter drop\n}`,
  )
  await server.run('nft', ['-f', '-'], { input: `table netdev sink {\n${chains.join('\n')}\n}\n` })
}

async function arrived({ server }: Arena, way: Way): Promise<number> {
  const text = await server.run('nft', ['list', 'chain', 'netdev', 'sink', way])
  return Number(/packets (\d+)/.exec(text)?.[1])
}

/** Sent and arrived at one rate. */
async function probe(arena: Arena, way: Way, rate: number): Promise<{ sent: number; got: number }> {
  const before = await arrived(arena, way)
  const args = [arena.target[way], '9', String(PAYLOAD), String(rate), String(PROBE_MS)]
  const sent = Number(await arena.client.run(blast, args))
  // the queues are empty when the count stands still
  let last = -1
  const after = await until('the queues are empty', async () => {
    const count = await arrived(arena, way)
    const still = count === last
    last = count
    return still && count
  })
  return { sent, got: after - before }
}

async function lossFree(arena: Arena, way: Way): Promise<number> {
  let low = 0
  let high = CEILING
  const full = await probe(arena, way, 0)
  high = Math.min(high, (full.sent / PROBE_MS) * 1000)
  if (full.got >= full.sent * (1 - LOSS)) return high / 1e6
  for (let step = 0; step < STEPS; step++) {
    const rate = (low + high) / 2
    const { sent, got } = await probe(arena, way, rate)
    if (got >= sent * (1 - LOSS)) low = rate
    else high = rate
  }
  return low / 1e6
}

async function peak(arena: Arena, way: Way): Promise<number> {
  const { got } = await probe(arena, way, 0)
  return got / PROBE_MS / 1000
}

export const run = (args: string[]) => measure(args, false)

export async function measure(args: string[], stateless: boolean): Promise<void> {
  mkdirSync(`${root}.cache/bench`, { recursive: true })
  await command('g++', ['-std=c++20', '-O2', '-Wall', '-o', blast, `${root}test/bench/blast.cc`])
  const bench = stateless ? 'siit-udp' : 'tun-udp'
  const arena = await openArena(stateless ? 'siitudp' : 'benchudp', { stateless })
  try {
    await prepareSink(arena)
    const ways = ['sixgate', 'tayga'] as const
    const sides = ways.flatMap((way) => [
      { name: `${way} without loss`, measure: () => lossFree(arena, way) },
      { name: `${way} at full blast`, measure: () => peak(arena, way) },
    ])
    const values = await interleave(sides, ROUNDS, teller())
    const middle = (name: string) => median(values[name] ?? [])
    const ratios = [
      {
        name: 'to tayga, without loss',
        value: middle('sixgate without loss') / middle('tayga without loss'),
        wanted: 1.2,
      },
      {
        name: 'to tayga, at full blast',
        value: middle('sixgate at full blast') / middle('tayga at full blast'),
      },
    ]
    publish({ bench, unit: 'million packets a second', values, ratios }, args.includes('--json'))
  } finally {
    await arena.topology.close()
  }
}
