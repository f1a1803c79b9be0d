// SPDX-License-Identifier: Apache-2.0
/*
 * A data plane in a namespace of its own, and a wire that plays both networks:
 *
 *   wire0 ── kernel routing ── sixgate0 ── translator
 *   2001:db8:1::/64 and ::/0, 192.0.2.0/24 and 0.0.0.0/0      64:ff9b::/96, 198.51.100.64/28
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { DataplaneConfig, DataplaneOptions } from '../../src/system/dataplane.ts'
import type { Answer } from './dataplane-child.ts'
import { type Frame, frameOf, type Vnet, vnetBytes } from './dataplane-packets.ts'

/** Why this machine cannot run it, or undefined. */
export function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  try {
    closeSync(openSync('/dev/net/tun', 'r+'))
    for (const command of ['ip', 'python3', 'nsenter', 'setpriv']) execFileSync('which', [command], { stdio: 'ignore' })
  } catch (error) {
    return (error as Error).message.split('\n')[0]
  }
  return undefined
}

export const CONFIG: DataplaneConfig = {
  prefixes: ['64:ff9b::/96'],
  allowNonGlobal: true,
  pools: [{ addresses: ['198.51.100.64/28'], firstPort: 1024, lastPort: 65535, clients: ['::/0'] }],
  static: [
    { protocol: 'udp', inside: '[2001:db8:1::5]:2000', outside: '198.51.100.65:2000' },
    { protocol: 'tcp', inside: '[2001:db8:1::5]:2000', outside: '198.51.100.65:2000' },
    { protocol: 'icmp', inside: '[2001:db8:1::5]:2000', outside: '198.51.100.65:2000' },
  ],
  filtering: 'endpoint-independent',
  timeouts: { tcpEstablished: 7440, tcpTransitory: 240, tcpIncomingSyn: 6, udp: 300, icmp: 60, fragment: 2 },
  limits: { clientPrefixLength: 64, bindings: 0, sessions: 0, newSessionsPerSecond: 0 },
  logged: 'nothing',
  lowestIpv6Mtu: 1280,
  mssClamp: 0,
  copyTrafficClass: true,
  tos: 0,
  icmpOrigin: true,
  icmpErrorRate: 1000,
  icmpSourceV4: [],
  icmpSourceV6: [],
  fragmentMemory: 1 << 20,
  accounting: { prefixLength: 128, clients: 64 },
}

/** A process that owns data planes, in the namespace. */
export class Owner {
  #process: ChildProcess
  #next = 1
  #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()

  constructor(namespace: string, wrapper: readonly string[] = []) {
    const [execPath = '', ...before] = ['nsenter', `--net=/run/netns/${namespace}`, ...wrapper, process.execPath]
    this.#process = fork(new URL('./dataplane-child.ts', import.meta.url), [], { execPath, execArgv: before })
    this.#process.on('message', ({ id, value, error }: Answer) => {
      const { resolve, reject } = this.#waiting.get(id) ?? {}
      if (error) reject?.(Object.assign(new Error(error.message), { code: error.code }))
      else resolve?.(value)
    })
    this.#process.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the owner ended: ${code ?? signal}`))
    })
  }

  /** The answer's type is the method's. */
  order(method: string, ...args: unknown[]): Promise<any> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#process.send({ id, method, args })
    })
  }

  /** The way a crash ends it. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill(signal)
    await gone
  }
}

/** What the kernel says to its neighbours when an address or a link comes up is of no test here. */
const MULTICAST = /^(ff|22[4-9]\.|23\d\.)/

export class Bench {
  readonly namespace = `dataplane-${randomBytes(3).toString('hex')}`
  readonly directory = mkdtempSync(join(tmpdir(), 'sixgate-dataplane-'))
  #wire: ChildProcess | undefined
  #frames: Frame[] = []
  #arrived: () => void = () => {}

  static async start(): Promise<Bench> {
    execFileSync(process.execPath, [new URL('../../native/build.mjs', import.meta.url).pathname], { stdio: 'pipe' })
    const bench = new Bench()
    bench.ip('netns', 'add', bench.namespace)
    return bench
  }

  ip(...args: string[]): string {
    return execFileSync('ip', args, { encoding: 'utf8' })
  }

  /** `ip` inside. */
  inside(...args: string[]): string {
    return this.ip('-n', this.namespace, ...args)
  }

  /** Runs a program inside to its end. */
  python(program: string, ...args: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.namespace, 'python3', '-c', program, ...args], { stdio: 'inherit' })
  }

  sysctl(...settings: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.namespace, 'sysctl', '-qw', ...settings])
  }

  options(changes: Partial<DataplaneOptions> = {}, config: Partial<DataplaneConfig> = {}): DataplaneOptions {
    return {
      ...{ device: 'sixgate0', threads: 2, maxSessions: 4096 },
      sessionFile: join(this.directory, 'sessions'),
      config: { ...CONFIG, ...config },
      ...changes,
    }
  }

  owner(wrapper: readonly string[] = []): Owner {
    return new Owner(this.namespace, wrapper)
  }

  async plug(): Promise<void> {
    const script = new URL('./dataplane-wire.py', import.meta.url).pathname
    const wire = spawn('nsenter', [`--net=/run/netns/${this.namespace}`, 'python3', script, 'wire0'])
    this.#wire = wire
    const lines = createInterface({ input: wire.stdout })
    await new Promise((resolve, reject) => {
      lines.once('line', resolve)
      wire.once('exit', (code) => reject(new Error(`the wire ended: ${code}`)))
    })
    lines.on('line', (line) => {
      const frame = frameOf(Buffer.from(line, 'hex'))
      if (MULTICAST.test(frame.destination)) return
      this.#frames.push(frame)
      this.#arrived()
    })
    this.sysctl('net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0')
    this.inside('link', 'set', 'wire0', 'addrgenmode', 'none')
    this.inside('link', 'set', 'wire0', 'up', 'mtu', '1500')
    this.inside('addr', 'add', '2001:db8:1::1/64', 'dev', 'wire0', 'nodad')
    this.inside('addr', 'add', '192.0.2.1/24', 'dev', 'wire0')
    this.sysctl('net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.wire0.rp_filter=0')
    for (const family of ['-4', '-6']) this.inside(family, 'route', 'add', 'default', 'dev', 'wire0')
  }

  /** Routes to the device; after the data plane has made it. */
  route(): void {
    this.inside('link', 'set', 'sixgate0', 'addrgenmode', 'none')
    this.inside('link', 'set', 'sixgate0', 'up', 'mtu', '65535')
    this.inside('-6', 'route', 'replace', '64:ff9b::/96', 'dev', 'sixgate0')
    this.inside('-4', 'route', 'replace', '198.51.100.64/28', 'dev', 'sixgate0')
    this.sysctl('net.ipv4.conf.sixgate0.rp_filter=0', 'net.ipv4.conf.sixgate0.accept_local=1')
  }

  send(packet: Buffer, vnet: Partial<Vnet> = {}): void {
    this.#wire?.stdin?.write(`${Buffer.concat([vnetBytes(vnet), packet]).toString('hex')}\n`)
  }

  /** The next frame that fits; what came before and does not fit stays for others. */
  async receive(fits: (frame: Frame) => boolean = () => true, patience = 10_000): Promise<Frame> {
    const deadline = Date.now() + patience
    for (;;) {
      const at = this.#frames.findIndex(fits)
      if (at >= 0) return this.#frames.splice(at, 1)[0] as Frame
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`no such packet; there are ${JSON.stringify(this.#frames.map(String))}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#arrived = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async exchange(packet: Buffer, vnet: Partial<Vnet> = {}): Promise<Frame> {
    this.#frames = []
    this.send(packet, vnet)
    return await this.receive()
  }

  close(): void {
    this.#wire?.kill()
    execFileSync('ip', ['netns', 'del', this.namespace])
    rmSync(this.directory, { recursive: true, force: true })
  }
}
