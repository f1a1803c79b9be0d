// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel fast path by itself: XDP by frames a second against plain kernel IPv6 forwarding and against a program
 * that only drops, nanoseconds of a test run, and one TCP stream through TC with the offloads of veth.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { compileBpf } from '../../native/bpf.mjs'
import { compile } from '../bpf/program.ts'
import { type Namespace, Topology } from '../lab/netns.ts'
import { interleave, machine, median, type Side, teller } from './measure.ts'

const ROUNDS = 5
const SECONDS = 3
const FLOWS = [1, 10_000, 100_000, 1_000_000]
/** Ratios that the design asks for, and what it hopes for. */
const WANTED: Record<string, number> = {
  'xdp/forward/1': 1.9,
  'xdp/forward/10000': 1.6,
  'xdp/forward/100000': 1.1,
  'tc-tcp/forward/64': 0.9,
  'tc-tcp/forward/46': 0.9,
}

interface Row {
  readonly name: string
  readonly ratio?: number
  readonly ns?: number
  readonly wanted?: number
  readonly atMost?: number
  readonly values: Readonly<Record<string, number>>
}

/** test/bench/fastpath.cc, which answers a line for each command. */
class Arena {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface

  constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#reader = createInterface({ input: this.#child.stdout })
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  async ask(command: string): Promise<number> {
    this.#child.stdin.write(`${command}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the measure ended at: ${command}`)
    return Number(value)
  }

  close(): void {
    this.#child.stdin.end()
    this.#reader.close()
  }
}

/** A power of two, four slots a flow. */
const slots = (flows: number) => 2 ** Math.ceil(Math.log2(Math.max(1024, flows) * 4))

async function frames(object: string, bench: string, flows: number, bytes: number, tell: (text: string) => void) {
  const arena = new Arena(await compile('bench-fastpath', 'test/bench/fastpath.cc'), [
    object,
    bench,
    String(slots(flows)),
  ])
  try {
    const side = (name: string, millions: number): Side => ({
      name: `${name} ${flows} × ${bytes}`,
      measure: () => arena.ask(`pps ${name} ${flows} ${bytes} ${millions}`),
    })
    // every flow's first packet asks for its route; the first round does that
    const millions = Math.max(2, flows / 250_000)
    const values = await interleave([side('gateway', millions), side('forward', 1), side('drop', 3)], ROUNDS, tell)
    const of = (name: string) => median(values[`${name} ${flows} × ${bytes}`] ?? [])
    return { gateway: of('gateway'), forward: of('forward'), drop: of('drop') }
  } finally {
    arena.close()
  }
}

async function nanoseconds(object: string, bench: string, flows: number, tell: (text: string) => void): Promise<Row> {
  const arena = new Arena(await compile('bench-fastpath', 'test/bench/fastpath.cc'), [
    object,
    bench,
    String(slots(flows)),
  ])
  try {
    const side = (name: string): Side => ({ name, measure: () => arena.ask(`ns ${name} ${flows} 2`) })
    const values = await interleave([side('gateway'), side('empty'), side('move')], ROUNDS, tell)
    const of = (name: string) => median(values[name] ?? [])
    // `move` restores a frame that was shortened, and shortens it: two moves of its start more than `empty`
    const ns = of('gateway') - of('empty') - (of('move') - of('empty')) / 2
    const row = {
      name: `xdp/ns/${flows}`,
      ns,
      values: Object.fromEntries(Object.keys(values).map((key) => [key, of(key)])),
    }
    return flows === 1 ? { ...row, atMost: 50 } : row
  } finally {
    arena.close()
  }
}

// ── TCP ─────────────────────────────────────────────────────────────────────

/**
 * client ─ a0 ═ fastpath ═ b0 ─ server     64:ff9b::192.0.2.80, pool 198.51.100.64
 * client ─ a1 ═  plain   ═ b1 ─ server     2001:db8:80::80
 */
async function openTcp(object: string): Promise<{ topology: Topology; client: Namespace }> {
  const topology = new Topology('benchfast')
  const [client, server, fast, plain] = [
    await topology.namespace('client'),
    await topology.namespace('server'),
    await topology.namespace('fast'),
    await topology.namespace('plain'),
  ]
  const link = (host: Namespace, address: string, router: Namespace, own: string, name: string) =>
    topology.veth({ namespace: host, name, addresses: [address] }, { namespace: router, name, addresses: [own] })
  await link(client, '2001:db8:10::10/64', fast, '2001:db8:10::1/64', 'a0')
  await link(server, '192.0.2.80/24', fast, '192.0.2.1/24', 'b0')
  await link(client, '2001:db8:11::10/64', plain, '2001:db8:11::1/64', 'a1')
  await link(server, '2001:db8:80::80/64', plain, '2001:db8:80::1/64', 'b1')
  for (const router of [fast, plain])
    await router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  await client.ip('-6', 'route', 'add', '64:ff9b::/96', 'via', '2001:db8:10::1')
  await client.ip('-6', 'route', 'add', '2001:db8:80::/64', 'via', '2001:db8:11::1')
  await server.ip('route', 'add', '198.51.100.64/32', 'via', '192.0.2.1')
  await server.ip('-6', 'route', 'add', '2001:db8:11::/64', 'via', '2001:db8:80::1')
  await client.sysctl({ 'net.ipv4.ip_local_port_range': '40000 40999' })
  // the fast path only uses neighbours that are known
  await fast.run('ping', ['-c', '1', '2001:db8:10::10'])
  await fast.run('ping', ['-c', '1', '192.0.2.80'])
  const helper = fast.spawn(await compile('bench-fastpath-tc', 'test/bench/fastpath-tc.cc'), [
    ...[object, 'a0', 'b0', '2001:db8:10::10', '192.0.2.80', '198.51.100.64', '40000', '1000', '5201'],
  ])
  await helper.waitFor(/ready/)
  await server.spawn('iperf3', ['-s', '--forceflush']).waitFor(/listening/i)
  return { topology, client }
}

async function tcp(tell: (text: string) => void): Promise<Row[]> {
  const { topology, client } = await openTcp(
    await compileBpf('bpf/gateway.bpf.c', 'gateway-all-tcp', ['-DGW_TCP_SLOW=0']),
  )
  try {
    const targets = { tc: '64:ff9b::192.0.2.80', forward: '2001:db8:80::80' } as const
    const stream = async (address: string, reverse: boolean) => {
      const args = ['-6', '-J', '-t', String(SECONDS), '-c', address, ...(reverse ? ['-R'] : [])]
      return JSON.parse(await client.run('iperf3', args)).end.sum_received.bits_per_second / 1e9
    }
    const sides = (['64', '46'] as const).flatMap((way) =>
      (['tc', 'forward'] as const).map((name) => ({
        name: `tcp ${name} ${way}`,
        measure: () => stream(targets[name], way === '46'),
      })),
    )
    const values = await interleave(sides, ROUNDS, tell)
    const of = (name: string) => median(values[name] ?? [])
    return ['64', '46'].map((way) => {
      const both = { tc: of(`tcp tc ${way}`), forward: of(`tcp forward ${way}`) }
      return row(`tc-tcp/forward/${way}`, both.tc / both.forward, both)
    })
  } finally {
    await topology.close()
  }
}

// ── the measure ─────────────────────────────────────────────────────────────

function row(name: string, ratio: number, values: Row['values']): Row {
  const wanted = WANTED[name]
  return { name, ratio, ...(wanted === undefined ? {} : { wanted }), values }
}

function print(rows: readonly Row[]): void {
  console.log(`\nfastpath: Mpps, ns or Gbit/s, medians of ${ROUNDS} rounds; ${machine()}`)
  for (const { name, ratio, ns, wanted, atMost, values } of rows) {
    const figure = ratio === undefined ? `${ns?.toFixed(1)} ns` : `${ratio.toFixed(2)} ×`
    const goal = wanted ?? atMost
    const met = wanted === undefined ? (ns ?? 0) <= (atMost ?? 0) : (ratio ?? 0) >= wanted
    const told =
      goal === undefined
        ? ''
        : `, wanted ${goal} ${wanted === undefined ? 'at most' : 'or more'}: ${met ? 'met' : 'MISSED'}`
    const parts = Object.entries(values).map(([key, value]) => `${key} ${value.toFixed(2)}`)
    console.log(`  ${name.padEnd(24)} ${figure.padStart(9)}  (${parts.join(', ')})${told}`)
  }
}

export async function run(args: string[]): Promise<void> {
  const tell = teller()
  const object = await compileBpf('bpf/gateway.bpf.c', 'gateway')
  const bench = await compileBpf('test/bench/fastpath.bpf.c', 'bench-fastpath')
  const rows: Row[] = []
  for (const bytes of [84, 1400]) {
    for (const flows of FLOWS) {
      const values = await frames(object, bench, flows, bytes, tell)
      const size = bytes === 84 ? '' : `/${bytes}`
      rows.push(row(`xdp/forward/${flows}${size}`, values.gateway / values.forward, values))
      rows.push(row(`xdp/drop/${flows}${size}`, values.gateway / values.drop, values))
    }
  }
  for (const flows of FLOWS) rows.push(await nanoseconds(object, bench, flows, tell))
  rows.push(...(await tcp(tell)))
  if (args.includes('--json')) console.log(JSON.stringify(rows, null, 2))
  else print(rows)
}
