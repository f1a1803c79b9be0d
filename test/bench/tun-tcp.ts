// SPDX-License-Identifier: Apache-2.0
import { type Arena, openArena } from './arena.ts'
import { interleave, median, publish, teller } from './measure.ts'

const SECONDS = 3
const ROUNDS = 5

/** Gbit/s of one iperf3 stream. */
async function stream({ client }: Arena, address: string, reverse: boolean): Promise<number> {
  const args = ['-6', '-J', '-t', String(SECONDS), '-c', address, ...(reverse ? ['-R'] : [])]
  const result = JSON.parse(await client.run('iperf3', args))
  const received = result.end?.sum_received
  if (!received) throw new Error(`iperf3 to ${address}: ${result.error ?? 'nothing was received'}`)
  return received.bits_per_second / 1e9
}

/** What is wanted: of kernel forwarding, and of tayga. */
const BENCHES = {
  'tun-tcp': { capacity: {}, wanted: [0.55, 4] },
  'siit-tcp': { capacity: { stateless: true }, wanted: [0.55, 4] },
  'tc-tcp': { capacity: { datapath: 'tc' }, wanted: [0.9, 4] },
} as const

export const run = (args: string[]) => measure(args, 'tun-tcp')

export async function measure(args: string[], bench: keyof typeof BENCHES): Promise<void> {
  const { capacity, wanted } = BENCHES[bench]
  const arena = await openArena(`bench${bench.replace('-', '')}`, capacity)
  try {
    const iperf = arena.server.spawn('iperf3', ['-s', '--forceflush'])
    await iperf.waitFor(/listening/i)
    const ways = ['sixgate', 'plain', 'tayga'] as const
    const sides = ways.flatMap((way) =>
      [false, true].map((reverse) => ({
        name: `${way} ${reverse ? '4→6' : '6→4'}`,
        measure: () => stream(arena, arena.target[way], reverse),
      })),
    )
    const values = await interleave(sides, ROUNDS, teller())
    const middle = (name: string) => median(values[name] ?? [])
    const ratios = ['6→4', '4→6'].flatMap((way) => [
      {
        name: `to kernel IPv6 forwarding, ${way}`,
        value: middle(`sixgate ${way}`) / middle(`plain ${way}`),
        wanted: wanted[0],
      },
      { name: `to tayga, ${way}`, value: middle(`sixgate ${way}`) / middle(`tayga ${way}`), wanted: wanted[1] },
    ])
    publish({ bench, unit: 'Gbit/s, one stream', values, ratios }, args.includes('--json'))
  } finally {
    await arena.topology.close()
  }
}
