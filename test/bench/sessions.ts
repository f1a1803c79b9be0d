// SPDX-License-Identifier: Apache-2.0
/**
 * A million sessions: what each costs in memory, and how much longer the gateway works on a packet of a known flow
 * than with a thousand. The work is the processor time of the daemon's threads a packet, at a rate without loss.
 * The table alone, without packets, is measured by session.cc; with --table nothing else is.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run as command, until } from '../lab/process.ts'
import { type Arena, openArena } from './arena.ts'
import { median, publish, teller } from './measure.ts'

const FEW = 1000
const MANY = 1_000_000
const RATE = 60_000
const PACKETS = 180_000
const ROUNDS = 3
const PREFIX = '2001:db8:10:f::'

const root = fileURLToPath(new URL('../..', import.meta.url))
const programs = `${root}.cache/bench`

interface TableLine {
  readonly sessions: number
  /** Ports of a block; 0 where single ports are lent. */
  readonly block: number
  readonly outbound_ns: number
  readonly inbound_ns: number
  readonly outbound_batched_ns: number
  readonly new_bindings_per_s: number
  readonly bytes_per_session: number
  readonly bytes_per_binding: number
}

/** Nanoseconds on a processor of all threads of the daemon. */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const spent = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]))
  return spent.reduce((sum, each) => sum + each, 0)
}

async function translated({ gateway }: Arena): Promise<{ packets: number; sessions: number }> {
  const { nat64 } = (await gateway.api('/api/v1/status')).body
  return { packets: nat64.packets64, sessions: nat64.sessions }
}

/** Sends and returns the nanoseconds each translated packet took. */
async function send(arena: Arena, flows: number, packets: number): Promise<number> {
  const pid = arena.gateway.process?.child.pid ?? 0
  const before = await translated(arena)
  const start = processorTime(pid)
  const args = [arena.target.sixgate, '9', PREFIX, String(flows), String(RATE), String(packets)]
  const sent = Number(await arena.client.run(`${programs}/flows`, args))
  let last = -1
  const after = await until('the packets are through', async () => {
    const { packets: count } = await translated(arena)
    const still = count === last
    last = count
    return still && count
  })
  const got = after - before.packets
  if (got < sent * 0.99) process.stderr.write(`  ${sent - got} of ${sent} packets were lost\n`)
  return (processorTime(pid) - start) / got
}

async function measure(arena: Arena, flows: number, tell: (text: string) => void): Promise<number[]> {
  // what was lost on the way leaves a flow without a session, so it is filled twice
  for (let fill = 0; fill < 2; fill++) await send(arena, flows, 0)
  const { sessions } = await translated(arena)
  tell(`${sessions} sessions`)
  const costs: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const cost = await send(arena, flows, PACKETS)
    tell(`round ${round}/${ROUNDS}  ${flows} flows  ${cost.toFixed(0)} ns`)
    if (round > 0) costs.push(cost)
  }
  return costs
}

const flags = ['-std=c++20', '-O2', '-Wall']

/** The table alone, at a thousand, a hundred thousand and a million sessions. */
async function measureTable(): Promise<TableLine[]> {
  mkdirSync(programs, { recursive: true })
  const native = readdirSync(`${root}native`).filter((name) => /^(?:session|pool).*\.cc$/.test(name))
  const sources = [`${root}test/bench/session.cc`, ...native.map((name) => `${root}native/${name}`)]
  await command('g++', [...flags, '-fno-exceptions', '-pthread', '-o', `${programs}/session`, ...sources], {
    timeout: 300,
  })
  const output = await command(`${programs}/session`, [`/dev/shm/sixgate-bench-${process.pid}`], { timeout: 300 })
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as TableLine)
}

function tableResults(table: TableLine[]) {
  const million = table.find(({ sessions, block }) => sessions === MANY && block === 0)
  return {
    table,
    ratios: [
      {
        name: 'new bindings a second and processor',
        value: million?.new_bindings_per_s ?? Number.NaN,
        wanted: 300_000,
      },
      { name: 'bytes a session, of 1,000,000', value: million?.bytes_per_session ?? Number.NaN, atMost: 256 },
    ],
    notes: table.map(
      (line) =>
        `table alone, ${line.sessions} sessions${line.block ? `, blocks of ${line.block}` : ''}: out ${line.outbound_ns} ns, in ${line.inbound_ns} ns, ` +
        `out in batches ${line.outbound_batched_ns} ns, ${line.new_bindings_per_s} new bindings a second, ` +
        `${line.bytes_per_session} bytes a session, ${line.bytes_per_binding} of them its binding`,
    ),
  }
}

export async function run(args: string[]): Promise<void> {
  const tell = teller()
  const alone = tableResults(await measureTable())
  if (args.includes('--table')) {
    const results = { bench: 'sessions', unit: 'the table alone', values: {}, ...alone }
    return publish(results, args.includes('--json'))
  }
  await command('g++', [...flags, '-o', `${programs}/flows`, `${root}test/bench/flows.cc`])
  const arena = await openArena('benchses', { addresses: '198.51.100.64/26', maxSessions: 1_048_576 })
  try {
    await arena.client.ip('-6', 'route', 'add', 'local', `${PREFIX}/64`, 'dev', 'lo')
    await arena.server.run('nft', ['-f', '-'], {
      input:
        'table netdev sink {\nchain in {\ntype filter hook ingress device "b0" priority 0\nudp dport 9 drop\n}\n}\n',
    })
    const few = await measure(arena, FEW, tell)
    const many = await measure(arena, MANY, tell)
    const values = { '1,000 sessions': few, '1,000,000 sessions': many }
    const ratio = median(many) / median(few)
    publish(
      {
        bench: 'sessions',
        unit: 'ns of processor time a packet of a known flow',
        values,
        ...alone,
        ratios: [
          { name: 'a packet with 1,000,000 sessions to one with 1,000', value: ratio, atMost: 1.5 },
          ...alone.ratios,
        ],
      },
      args.includes('--json'),
    )
  } finally {
    await arena.topology.close()
  }
}
