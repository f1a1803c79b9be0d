// SPDX-License-Identifier: Apache-2.0
/**
 * CPU time a query costs the server, sixgate's DNS64 against unbound with its dns64 module: one zone, one
 * upstream, one thread each, rounds that alternate, ratios from this run. Warm: every name is in the cache.
 * Cold: every name is asked once, which includes asking the upstream about AAAA and A.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Dns64Options, startDns64 } from '../../src/dns64/server.ts'

const NAMES = 20_000
const PREFIX = '64:ff9b::/96'
const PORTS = { upstream: 15301, sixgate: 15364, unbound: 15365 } as const

interface Round {
  readonly queries: number
  readonly lost: number
  readonly perSecond: number
  /** Server CPU time per answered query, in microseconds. */
  readonly cpu: number
}

interface Load {
  readonly name: string
  readonly arguments: readonly string[]
  readonly warm: boolean
}

type Server = 'sixgate' | 'unbound'

const LOADS: readonly Load[] = [
  { name: 'cold', arguments: ['-n', '1'], warm: false },
  { name: 'warm, as fast as it goes', arguments: ['-l', '3', '-c', '8', '-q', '200'], warm: true },
  { name: 'warm, 20000 a second', arguments: ['-l', '3', '-c', '8', '-Q', '20000'], warm: true },
]

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** CPU time of all threads of a process, in microseconds. */
function cpuTime(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const nanoseconds = tasks.map((task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, value) => sum + value, 0) / 1000
}

function zone(): string[] {
  const lines = ['bench.example. 3600 IN SOA ns.bench.example. host.bench.example. 1 3600 3600 3600 3600']
  for (let name = 0; name < NAMES; name++)
    lines.push(`host${name}.bench.example. 3600 IN A 192.0.2.${(name % 254) + 1}`)
  return lines
}

const COMMON = [
  'num-threads: 1',
  'do-daemonize: no',
  'chroot: ""',
  'username: ""',
  'pidfile: ""',
  'use-syslog: no',
  'logfile: "/dev/null"',
]
const control = 'remote-control:\n  control-enable: no\n'

function upstreamConfig(): string {
  const data = zone().map((line) => `  local-data: "${line}"`)
  const options = [...COMMON, `port: ${PORTS.upstream}`, 'interface: ::1', 'local-zone: "bench.example." static']
  return `server:\n${options.map((line) => `  ${line}`).join('\n')}\n${data.join('\n')}\n${control}`
}

function peerConfig(): string {
  const options = [
    ...COMMON,
    `port: ${PORTS.unbound}`,
    'interface: ::1',
    'module-config: "dns64 iterator"',
    `dns64-prefix: ${PREFIX}`,
    'do-not-query-localhost: no',
    'msg-cache-size: 64m',
    'rrset-cache-size: 64m',
    'so-rcvbuf: 4m',
  ]
  const forward = `forward-zone:\n  name: "."\n  forward-addr: ::1@${PORTS.upstream}\n`
  return `server:\n${options.map((line) => `  ${line}`).join('\n')}\n${forward}${control}`
}

function gatewayOptions(): Omit<Dns64Options, 'log'> {
  return {
    prefixes: [PREFIX],
    allowNonGlobal: true,
    config: {
      listen: [`[::1]:${PORTS.sixgate}`],
      upstreams: [`[::1]:${PORTS.upstream}`],
      clients: ['::1/128', '127.0.0.0/8'],
      rules: [],
      exclude: ['::ffff:0:0/96'],
      synthesizePrivate: false,
      bypass: [],
      force: [],
      cacheSize: '64MiB',
      // High enough never to bite, so that its cost is part of what is measured.
      rateLimit: 100_000_000,
      upstreamTimeout: '1s',
      tcpConnections: 256,
      tcpIdleTimeout: '10s',
      queryLog: false,
    },
  }
}

/** Starts a server on the first processor; the load runs on the second. */
function start(command: string, arguments_: readonly string[]): ChildProcess {
  return spawn('taskset', ['-c', '0', command, ...arguments_], { stdio: ['ignore', 'ignore', 'inherit'] })
}

function launch(server: Server, directory: string): ChildProcess {
  if (server === 'unbound') return start('unbound', ['-d', '-c', join(directory, 'unbound.conf')])
  return start(process.execPath, [fileURLToPath(import.meta.url), '--serve'])
}

function dnsperf(
  port: number,
  data: string,
  arguments_: readonly string[],
): { queries: number; lost: number; seconds: number } {
  const output = execFileSync(
    'taskset',
    ['-c', '1', 'dnsperf', '-s', '::1', '-p', String(port), '-d', data, '-t', '2', '-W', ...arguments_],
    { encoding: 'utf8' },
  )
  const number = (label: string) => Number(new RegExp(`${label}:\\s+([0-9.]+)`).exec(output)?.[1] ?? Number.NaN)
  return { queries: number('Queries completed'), lost: number('Queries lost'), seconds: number('Run time \\(s\\)') }
}

/** Waits until the server answers its first query. */
function ready(port: number): void {
  for (let tries = 0; ; tries++) {
    const output = spawnDig(port)
    if (output.includes('64:ff9b::')) return
    if (tries > 100) throw new Error(`nothing answers on port ${port}`)
  }
}

function spawnDig(port: number): string {
  try {
    const question = ['host0.bench.example', 'AAAA', '+short', '+tries=1', '+time=1']
    return execFileSync('dig', ['@::1', '-p', String(port), ...question], { encoding: 'utf8', stdio: 'pipe' })
  } catch {
    execFileSync('sleep', ['0.1'])
    return ''
  }
}

/** One load on one server that was started for it. */
function measure(server: Server, load: Load, directory: string): Round {
  const child = launch(server, directory)
  const data = join(directory, 'queries')
  const port = PORTS[server]
  try {
    ready(port)
    if (load.warm) {
      dnsperf(port, data, ['-n', '2'])
      dnsperf(port, data, ['-l', '1', '-c', '8', '-q', '200'])
    }
    const before = cpuTime(child.pid!)
    const { queries, lost, seconds } = dnsperf(port, data, load.arguments)
    const cpu = (cpuTime(child.pid!) - before) / queries
    return { queries, lost, perSecond: Math.round(queries / seconds), cpu }
  } finally {
    child.kill('SIGTERM')
  }
}

function compare(load: Load, rounds: number, directory: string) {
  const results: Record<Server, Round[]> = { sixgate: [], unbound: [] }
  for (let round = 0; round < rounds; round++) {
    const order: Server[] = round % 2 === 0 ? ['sixgate', 'unbound'] : ['unbound', 'sixgate']
    for (const server of order) results[server].push(measure(server, load, directory))
  }
  const of = (server: Server, pick: (round: Round) => number) => median(results[server].map(pick))
  const summary = (server: Server) => ({
    cpuMicroseconds: Number(of(server, ({ cpu }) => cpu).toFixed(2)),
    queriesPerSecond: of(server, ({ perSecond }) => perSecond),
    lost: results[server].reduce((sum, { lost }) => sum + lost, 0),
  })
  const ratios = results.sixgate.map(({ cpu }, index) => cpu / results.unbound[index]!.cpu)
  return {
    load: load.name,
    sixgate: summary('sixgate'),
    unbound: summary('unbound'),
    ratio: Number(median(ratios).toFixed(3)),
  }
}

async function serve(): Promise<void> {
  const silent = { info: () => {}, warn: () => {} }
  const server = await startDns64({ ...gatewayOptions(), log: silent })
  process.once('SIGTERM', () => void server.close())
}

export async function run(args: string[]): Promise<number> {
  const rounds = Number(args[args.indexOf('--rounds') + 1] || 5)
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-bench-dns64-'))
  writeFileSync(join(directory, 'upstream.conf'), upstreamConfig())
  writeFileSync(join(directory, 'unbound.conf'), peerConfig())
  const queries = Array.from({ length: NAMES }, (_, name) => `host${name}.bench.example AAAA`)
  writeFileSync(join(directory, 'queries'), `${queries.join('\n')}\n`)
  const upstream = spawn('taskset', ['-c', '1', 'unbound', '-d', '-c', join(directory, 'upstream.conf')], {
    stdio: 'ignore',
  })
  try {
    const results = LOADS.map((load) => compare(load, args.includes('--rounds') ? rounds : 5, directory))
    if (args.includes('--json')) console.log(JSON.stringify(results))
    else print(results)
    return 0
  } finally {
    upstream.kill('SIGTERM')
    rmSync(directory, { recursive: true, force: true })
  }
}

function print(results: readonly ReturnType<typeof compare>[]): void {
  console.log('| load | sixgate µs a query | unbound µs a query | ratio | sixgate q/s | unbound q/s | lost |')
  console.log('|---|---|---|---|---|---|---|')
  for (const { load, sixgate, unbound, ratio } of results) {
    const cells = [
      load,
      sixgate.cpuMicroseconds,
      unbound.cpuMicroseconds,
      ratio,
      sixgate.queriesPerSecond,
      unbound.queriesPerSecond,
      `${sixgate.lost} / ${unbound.lost}`,
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

if (process.argv[2] === '--serve') await serve()
else if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await run(process.argv.slice(2))
