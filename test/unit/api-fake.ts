// SPDX-License-Identifier: Apache-2.0
/** A gateway without a kernel, and the real API before it: on a unix socket and on ports that were free. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Gateway } from '../../src/api/gateway.ts'
import { type Api, startApi } from '../../src/api/server.ts'
import { ManualClock } from '../../src/clock.ts'
import type { Config } from '../../src/config/schema.ts'
import { ConfigStore } from '../../src/config/store.ts'
import type { Status } from '../../src/daemon.ts'
import type { Dns64Stats } from '../../src/dns64/stats.ts'
import type { Fault } from '../../src/errors.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { policyStatus } from '../../src/policy.ts'
import { translators } from '../../src/status.ts'
import type {
  BindingInfo,
  DataplaneStatus,
  DropCounter,
  FastpathStatus,
  SessionFilter,
  SessionInfo,
  TracedPacket,
  TraceFilter,
} from '../../src/system/dataplane.ts'
import type { TunnelsReport } from '../../src/tunnel-service.ts'

export const ADMIN = 'correct-horse-battery-staple'
export const VIEWER = 'only-looking'

const hash = (text: string) => createHash('sha256').update(text).digest('hex')

export const SESSION: SessionInfo = {
  protocol: 'tcp',
  client6: '[2001:db8:1::5]:40000',
  server6: '[64:ff9b::192.0.2.33]:80',
  pool4: '198.51.100.64:40000',
  server4: '192.0.2.33:80',
  state: 'ESTABLISHED',
  expiresIn: 7440,
  age: 12.5,
  packetsOut: 4,
  bytesOut: 400,
  packetsIn: 3,
  bytesIn: 4000,
}

export const BINDING: BindingInfo = {
  protocol: 'tcp',
  inside: '[2001:db8:1::5]:40000',
  outside: '198.51.100.64:40000',
  static: false,
  sessions: 1,
}

const PLANE: DataplaneStatus = {
  device: 'sixgate0',
  threads: 2,
  adopted: 0,
  adoption: 'no file',
  sessions: 1,
  bindings: 1,
  halfOpen: 1,
  evicted: 8,
  maxSessions: 1_048_576,
  packets64: 4,
  bytes64: 400,
  packets46: 3,
  bytes46: 4000,
  dropped: 7,
  siit: { packets64: 5, bytes64: 500, packets46: 6, bytes46: 6000, dropped: 2 },
  mtus: [{ side: 'ipv4', device: 'wan0', mtu: 1500, routes: 2, example: '0.0.0.0/0' }],
  pools: [{ addresses: ['198.51.100.64/28'], portsUsed: 1, portsTotal: 1_032_192, blocksUsed: 0, blocksTotal: 0 }],
}

const FASTPATH: FastpathStatus = {
  loaded: true,
  why: '',
  verifier: '',
  pinned: true,
  adopted: false,
  flows: 1,
  capacity: 1024,
  refused: 0,
  translated64: { packets: 9, bytes: 900 },
  translated46: { packets: 8, bytes: 800 },
  passes: [{ reason: 'NO_FLOW', sentence: 'no flow is installed for it', packets: 3 }],
}

export const DNS64: Dns64Stats = {
  queries: { udp: 11, tcp: 1 },
  answers: { NOERROR: 10, NXDOMAIN: 2 },
  synthesised: 6,
  truncated: 0,
  cache: { hits: 5, misses: 7, entries: 7, bytes: 900, evictions: 0 },
  dropped: { rateLimited: 0, malformed: 1, overload: 0, unsent: 0 },
  refused: 2,
  outstanding: 1,
  tcpConnections: 1,
  upstreams: [
    { endpoint: '[2001:db8::53]:53', healthy: true, queries: 14, answers: 13, timeouts: 1, latency: 2.5 },
    { endpoint: '192.0.2.53:53', healthy: false, queries: 0, answers: 0, timeouts: 0, latency: 0 },
  ],
  unsolicitedAnswers: 0,
}

export const DROP: DropCounter = {
  reason: 'HOP_LIMIT',
  sentence: 'the hop limit ran out',
  rfc: 'RFC 7915 4.1',
  packets: 7,
  last: [
    {
      time: '2026-11-21T02:00:00.000Z',
      step: 'translate',
      direction: '6to4',
      source: '[2001:db8:1::5]:4711',
      destination: '[64:ff9b::c000:221]:80',
      protocol: 'tcp',
      length: 60,
    },
  ],
}

export const TRACED: readonly TracedPacket[] = [
  {
    time: '2026-11-21T02:00:00.000Z',
    direction: '6to4',
    source: '[2001:db8:1::5]:4711',
    destination: '[64:ff9b::c000:221]:80',
    protocol: 'tcp',
    length: 60,
    session: { state: 'V6_INIT', fresh: true },
    stateless: false,
    lost: null,
    answered: false,
    sent: 1,
    binding: false,
    out: { direction: '4to6', source: '198.51.100.64:4711', destination: '192.0.2.33:80', protocol: 'tcp', length: 40 },
  },
  {
    time: '2026-11-21T02:00:00.001Z',
    direction: '6to4',
    source: '[2001:db8:1::5]:4712',
    destination: '[64:ff9b::c000:221]:80',
    protocol: 'tcp',
    length: 60,
    session: null,
    stateless: false,
    lost: { reason: 'NO_PORT', sentence: 'no free port', rfc: 'RFC 6146 3.5.1.1', step: 'session' },
    answered: true,
    sent: 0,
    binding: false,
    out: null,
  },
]

export const BINDING_LOG = {
  events: 12,
  lost: 2,
  targets: [
    {
      target: '/var/log/bindings.jsonl',
      format: 'json',
      written: 9,
      lost: 1,
      error: 'ENOSPC: no space left on device',
    },
  ],
} as const

const TUNNELS: TunnelsReport = {
  tunnels: [
    {
      ...{ name: 'he0', mode: '6in4', local: '192.0.2.2', remote: '192.0.2.33' },
      ...{ backend: 'sixgate', why: 'the kernel has no sit', state: 'up', mtu: 1480 },
      addresses: ['2001:db8:f::2/64'],
      ...{ packetsOut: 3, bytesOut: 300, packetsIn: 2, bytesIn: 200, errors: 1 },
      drops: [{ reason: 'TUNNEL_LOOP', sentence: 'the packet would go back', rfc: 'RFC 6324', packets: 4 }],
    },
  ],
  strays: [{ reason: 'TUNNEL_UNKNOWN', sentence: 'of no tunnel', rfc: 'RFC 4213', packets: 5 }],
}

export class FakeGateway implements Gateway {
  config: Config
  /** Set to make the next application or status fail. */
  failure: unknown
  readonly filters: (SessionFilter | undefined)[] = []
  readonly applied: Config[] = []
  readonly traceFilters: TraceFilter[] = []
  readonly traces: TracedPacket[] = []
  openTraces = 0
  readonly foreseen: string[] = []
  readonly bindingLog = { stats: () => BINDING_LOG }
  readonly tunnels = { report: () => TUNNELS }
  dns64: { stats(): Dns64Stats } | undefined = { stats: () => DNS64 }

  constructor(config: Config) {
    this.config = config
  }

  readonly dataplane = {
    status: () => PLANE,
    sessions: (filter?: SessionFilter) => {
      this.filters.push(filter)
      return [SESSION]
    },
    bindings: (filter?: SessionFilter) => {
      this.filters.push(filter)
      return [BINDING]
    },
    drops: () => [DROP],
    openTrace: (filter: TraceFilter) => {
      if (this.openTraces > 0) return 0
      this.traceFilters.push(filter)
      this.traces.splice(0, Infinity, ...TRACED)
      this.openTraces++
      return 1
    },
    readTrace: () => (this.openTraces > 0 ? { packets: this.traces.splice(0), missed: 3 } : undefined),
    readLog: () => 0,
    logCounters: () => ({ events: 0, lost: 0 }),
    closeTrace: () => {
      this.openTraces = 0
    },
    foresee: (packet: Buffer): TracedPacket => {
      this.foreseen.push(packet.toString('hex'))
      return { ...(TRACED[0] as TracedPacket), binding: true }
    },
    attach: () => '',
    fastpath: () => FASTPATH,
    policy: () =>
      this.config.policy.map(() => ({ packets: 9, bytes: 900, droppedPackets: 2, droppedBytes: 200, clients: 1 })),
    clients: (top: number) =>
      [{ client: '2001:db8:1::5', packetsOut: 4, bytesOut: 400, packetsIn: 3, bytesIn: 4000 }].slice(0, top),
  }

  /** Faults that only the host knows of. */
  faults: readonly Fault[] = []

  async check(): Promise<readonly Fault[]> {
    return this.faults
  }

  status(): Status {
    if (this.failure) throw this.failure
    return {
      version: '0.0.0',
      instance: '',
      uptime: 5,
      configHash: '0',
      interfaces: [{ name: 'lan0', role: 'inside', state: 'up', mtu: 1500, addresses: ['2001:db8:1::1/64'] }],
      ...translators(this.config, this.dataplane),
      fastpath: FASTPATH,
      clients: this.dataplane.clients(20),
      policy: policyStatus(this.config, this.dataplane),
      dns64: DNS64,
      advertise: null,
      dhcp4: null,
      tunnels: null,
      bindingLog: BINDING_LOG,
      warnings: ['the kernel does not agree'],
    }
  }

  async apply(config: Config): Promise<void> {
    if (this.failure) throw this.failure
    this.config = config
    this.applied.push(config)
  }
}

/** A port that was free a moment ago, on both families. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '::', () => resolve((server.address() as { port: number }).port))
  })
  await new Promise((resolve) => server.close(resolve))
  return port
}

export function configText(listen: readonly string[], extra = ''): string {
  return `# written by hand
version: 1
nat64:
  allowNonGlobal: true # documentation addresses
  pools: [{ addresses: ["198.51.100.64/28"] }]
  static:
    - { protocol: tcp, inside: "[2001:db8:1::5]:2000", outside: "198.51.100.64:2000" }
dns64: { upstreams: ["[2001:db8::53]:53"] }
api:
  listen: ${JSON.stringify(listen)}
  tokens:
    - { name: ops, role: admin, sha256: ${hash(ADMIN)} }
    - { name: graphs, role: viewer, sha256: ${hash(VIEWER)} }
${extra}`
}

/** Stateless translation, for configText's `extra`. */
export const SIIT = 'siit: { prefix: "2001:db8:100::/40", map: [{ ipv6: "2001:db8:2::1", ipv4: 203.0.113.1 }] }\n'

/** A policy, likewise. */
export const POLICY = `policy:
  - { name: no mail, protocol: tcp, ports: "25", verdict: deny }
  - { clients: ["2001:db8:1::/48"], rate: { bandwidth: 10Mbit/s } }
`

export interface Stage {
  readonly directory: string
  readonly socket: string
  readonly gateway: FakeGateway
  readonly store: ConfigStore
  readonly api: Api
  readonly clock: ManualClock
  close(): Promise<void>
}

export async function setUp(text: string, log: Log = silentLog): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-api-'))
  const file = join(directory, 'sixgate.yaml')
  writeFileSync(file, text)
  const clock = new ManualClock()
  const store = new ConfigStore({ file, stateDirectory: join(directory, 'state'), log: silentLog, clock })
  const gateway = new FakeGateway(store.config)
  const socket = join(directory, 'api.sock')
  const api = await startApi({ gateway, store, log, version: '0.0.1', socket })
  store.started(async (config) => {
    const sockets = await api.stage(config.api.listen)
    try {
      await gateway.apply(config)
    } catch (error) {
      await sockets.undo()
      throw error
    }
    sockets.commit()
  })
  const close = async () => {
    await store.close()
    await api.close()
    rmSync(directory, { recursive: true, force: true })
  }
  return { directory, socket, gateway, store, api, clock, close }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** Of whatever shape; the tests look into it. */
  readonly json: any
}

export interface Ask {
  readonly method?: string
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

/** A request to `http://HOST:PORT` or, beginning with a slash, to a unix socket. */
export function ask(
  target: string,
  path: string,
  { method = 'GET', token, headers = {}, body }: Ask = {},
): Promise<Answer> {
  const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
  const all = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(payload === undefined || typeof body === 'string' ? {} : { 'content-type': 'application/json' }),
    ...headers,
  }
  const options = { method, headers: all, agent: false }
  return new Promise((resolve, reject) => {
    const call = target.startsWith('/')
      ? request({ ...options, socketPath: target, path })
      : request(`${target}${path}`, options)
    call.on('error', reject).on('response', (response) => {
      const chunks: Buffer[] = []
      response
        .on('data', (chunk) => chunks.push(chunk))
        .on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const isJson = /[/+]json/.test(response.headers['content-type'] ?? '')
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: isJson && text !== '' ? JSON.parse(text) : undefined,
          })
        })
    })
    call.end(payload)
  })
}
