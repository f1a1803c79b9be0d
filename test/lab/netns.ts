// SPDX-License-Identifier: Apache-2.0
/**
 * Network namespaces with an owner. Their names carry a random part, so that several labs and test runs share
 * a machine; a ledger in /run names the owner's process, so that what a killed owner left is taken away by the
 * next one.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, Background, type Result, type RunOptions, run } from './process.ts'

const LEDGERS = '/run/sixgate-lab'

interface Ledger {
  readonly pid: number
  readonly started: string
  readonly namespaces: string[]
  /** Links of the host whose other end is in a namespace. */
  readonly links?: string[]
  readonly directories: string[]
}

/** Field 22 of /proc/PID/stat: tells a process from a later one with its number. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

function removeNow(ledger: Ledger): void {
  // the kernel takes a namespace's links away some time after its name
  for (const link of ledger.links ?? []) spawnSync('ip', ['link', 'del', link])
  for (const name of ledger.namespaces) {
    if (!existsSync(`/run/netns/${name}`)) continue
    const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).stdout ?? ''
    for (const pid of pids.split('\n').filter(Boolean).map(Number)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended by itself meanwhile.
      }
    }
    spawnSync('ip', ['netns', 'del', name])
    rmSync(join('/etc/netns', name), { recursive: true, force: true })
  }
  for (const directory of ledger.directories) {
    // a BPF file system that a killed gateway has left mounted
    if (existsSync(join(directory, 'bpf'))) spawnSync('umount', ['--lazy', join(directory, 'bpf')])
    rmSync(directory, { recursive: true, force: true })
  }
  removeEmpty('/etc/netns')
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Somebody else's things are in it.
  }
}

/** Takes away what owners that no longer live have left. Returns how many there were. */
export function sweep(): number {
  let swept = 0
  for (const file of existsSync(LEDGERS) ? readdirSync(LEDGERS).filter((name) => name.endsWith('.json')) : []) {
    const path = join(LEDGERS, file)
    let ledger: Ledger
    try {
      ledger = JSON.parse(readFileSync(path, 'utf8'))
    } catch {
      continue
    }
    if (startTime(ledger.pid) === ledger.started) continue
    removeNow(ledger)
    rmSync(path, { force: true })
    swept++
  }
  removeEmpty(LEDGERS)
  return swept
}

export interface End {
  readonly namespace?: Namespace
  readonly name: string
  /** Addresses with prefix lengths. */
  readonly addresses?: readonly string[]
  readonly mtu?: number
  readonly mac?: string
}

export class Namespace {
  readonly name: string
  readonly topology: Topology

  constructor(name: string, topology: Topology) {
    this.name = name
    this.topology = topology
  }

  /** nsenter leaves the mounts alone, which `ip netns exec` does not. */
  #enter(command: string, args: readonly string[]): string[] {
    return [`--net=/run/netns/${this.name}`, '--', command, ...args]
  }

  run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    return run('nsenter', this.#enter(command, args), options)
  }

  attempt(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    return attempt('nsenter', this.#enter(command, args), options)
  }

  spawn(
    command: string,
    args: readonly string[] = [],
    options: { env?: Record<string, string>; ipc?: boolean } = {},
  ): Background {
    const child = new Background('nsenter', this.#enter(command, args), options)
    this.topology.own(child)
    return child
  }

  /** A Node program of the tests, started and ready. */
  async program(script: string, args: readonly string[] = []): Promise<Background> {
    const child = this.spawn(process.execPath, [script, ...args], { ipc: true })
    await child.ready()
    return child
  }

  async ip(...args: string[]): Promise<string> {
    return run('ip', ['-n', this.name, ...args])
  }

  sysctl(values: Record<string, string | number>): Promise<string> {
    return this.run('sysctl', ['-qw', ...Object.entries(values).map(([key, value]) => `${key}=${value}`)])
  }

  /** What resolv.conf says to a process started by `ip netns exec`. */
  resolver(address: string): void {
    const directory = join('/etc/netns', this.name)
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'resolv.conf'), `nameserver ${address}\noptions timeout:2 attempts:2\n`)
  }
}

export class Topology {
  readonly label: string
  readonly id: string
  readonly #ledger: Ledger
  readonly #path: string
  readonly #children: Background[] = []
  readonly #onExit = () => this.closeNow()
  #closed = false

  constructor(label: string) {
    this.label = label
    this.id = randomBytes(2).toString('hex')
    this.#ledger = {
      pid: process.pid,
      started: startTime(process.pid) ?? '',
      namespaces: [],
      links: [],
      directories: [],
    }
    this.#path = join(LEDGERS, `${label}-${this.id}.json`)
    this.#write()
    process.on('exit', this.#onExit)
  }

  #write() {
    for (let again = 2; again >= 0; again--) {
      mkdirSync(LEDGERS, { recursive: true })
      try {
        return writeFileSync(this.#path, JSON.stringify(this.#ledger))
      } catch (error) {
        // another lab has just removed the directory, empty as it was
        if (again === 0) throw error
      }
    }
  }

  /** A directory or file that goes when the topology goes. */
  ownPath(path: string): string {
    this.#ledger.directories.push(path)
    this.#write()
    return path
  }

  own(child: Background): void {
    this.#children.push(child)
  }

  async namespace(role: string): Promise<Namespace> {
    const namespace = new Namespace(`${this.label}-${this.id}-${role}`, this)
    this.#ledger.namespaces.push(namespace.name)
    this.#write()
    await run('ip', ['netns', 'add', namespace.name])
    await namespace.ip('link', 'set', 'lo', 'up')
    return namespace
  }

  /** A veth pair, both ends up with their addresses; an end without a namespace stays with the host. */
  async veth(a: End, b: End): Promise<void> {
    const side = (end: End) => [
      ...['name', end.name],
      ...(end.mac ? ['address', end.mac] : []),
      ...(end.namespace ? ['netns', end.namespace.name] : []),
    ]
    for (const end of [a, b]) if (!end.namespace) this.#ledger.links?.push(end.name)
    this.#write()
    await run('ip', ['link', 'add', ...side(a), 'type', 'veth', 'peer', ...side(b)])
    for (const end of [a, b]) {
      const ip = (...args: string[]) => (end.namespace ? end.namespace.ip(...args) : run('ip', args))
      if (end.mtu) await ip('link', 'set', end.name, 'mtu', String(end.mtu))
      await ip('link', 'set', end.name, 'up')
      for (const address of end.addresses ?? []) {
        const nodad = address.includes(':') ? ['nodad'] : []
        await ip('address', 'add', address, 'dev', end.name, ...nodad)
      }
    }
  }

  /** Everything goes: processes first by their own way, then what is left, then the namespaces. */
  async close(): Promise<void> {
    if (this.#closed) return
    await Promise.all([...this.#children].reverse().map((child) => child.stop('SIGTERM')))
    this.closeNow()
  }

  closeNow(): void {
    if (this.#closed) return
    this.#closed = true
    process.off('exit', this.#onExit)
    for (const child of this.#children) if (!child.exit) child.child.kill('SIGKILL')
    removeNow(this.#ledger)
    rmSync(this.#path, { force: true })
    removeEmpty(LEDGERS)
  }
}
