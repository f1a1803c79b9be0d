// SPDX-License-Identifier: Apache-2.0
/** A system in memory, for tests: what was set is there, and what shall fail fails. */
import { GatewayError } from '../errors.ts'
import {
  type Change,
  ChangeFailed,
  type ChildProcess,
  type ExitInfo,
  isLink,
  keyOf,
  type LinkInfo,
  PROTOCOL,
  type Resource,
  type SpawnOptions,
  type System,
} from './system.ts'

export class FakeChild implements ChildProcess {
  readonly pid: number
  readonly command: string
  readonly args: readonly string[]
  readonly signals: string[] = []
  readonly exited: Promise<ExitInfo>
  readonly #options: SpawnOptions
  #end: (exit: ExitInfo) => void = () => {}

  constructor(pid: number, command: string, args: readonly string[], options: SpawnOptions) {
    this.pid = pid
    this.command = command
    this.args = args
    this.#options = options
    this.exited = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP'): void {
    this.signals.push(signal)
    if (signal !== 'SIGHUP') this.#end({ code: null, signal })
  }

  says(line: string): void {
    this.#options.onLine?.(line, 'out')
  }

  ends(code: number): void {
    this.#end({ code, signal: null })
  }
}

export class FakeSystem implements System {
  readonly resources = new Map<string, Resource>()
  readonly devices = new Map<string, LinkInfo>()
  readonly changes: Change[] = []
  readonly children: FakeChild[] = []
  /** Answers of run(), by command; a command without one is not installed. */
  readonly commands = new Map<string, (args: readonly string[]) => string>()
  /** Throws to make a change fail. */
  beforeChange: (change: Change) => void = () => {}
  /** Types of links that the kernel makes besides. */
  readonly types = new Set<string>()
  watchers = new Set<() => void>()

  constructor(links: readonly string[] = ['lo', 'lan0', 'wan0']) {
    for (const name of links) this.addLink(name)
    const sysctls = {
      'net.ipv4.ip_forward': '0',
      'net.ipv6.conf.all.forwarding': '0',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.ip_local_reserved_ports': '',
      'net.ipv4.ip_local_port_range': '32768\t60999',
    }
    for (const [name, value] of Object.entries(sysctls)) this.put({ kind: 'sysctl', name, value })
    this.put({ kind: 'rule', family: 4, priority: 0, table: '255', protocol: '2' })
  }

  put(resource: Resource): void {
    this.resources.set(keyOf(resource), resource)
  }

  addLink(name: string, info: Partial<LinkInfo> = {}): void {
    const index = this.devices.size + 1
    this.devices.set(name, { name, index, up: true, carrier: true, mtu: 1500, type: 'veth', addresses: [], ...info })
    const attributes = { mtu: '1500', txqueuelen: '1000', addrgenmode: 'eui64', up: 'up' } as const
    for (const [attribute, value] of Object.entries(attributes)) {
      this.put({ kind: 'link', dev: name, attribute: attribute as keyof typeof attributes, value })
    }
    const sysctls = {
      ...{ disable_ipv6: '0', accept_ra: '1' },
      ...{ rp_filter: '0', accept_local: '0', send_redirects: '1', promote_secondaries: '0' },
    }
    for (const [leaf, value] of Object.entries(sysctls)) {
      const family = leaf === 'disable_ipv6' || leaf === 'accept_ra' ? 'ipv6' : 'ipv4'
      this.put({ kind: 'sysctl', name: `net.${family}.conf.${name}.${leaf}`, value })
    }
    this.put({ kind: 'sysctl', name: `net.ipv4.neigh.${name}.proxy_delay`, value: '80' })
    if (info.type === 'tun') this.put({ kind: 'tun', dev: name })
  }

  /** With a link goes all that stands on it. */
  removeLink(name: string): void {
    this.devices.delete(name)
    for (const [key, resource] of this.resources) {
      const onIt =
        'dev' in resource ? resource.dev === name : resource.kind === 'sysctl' && resource.name.includes(`.${name}.`)
      if (onIt) this.resources.delete(key)
    }
  }

  /** Everything, in one order, to be compared. */
  dump(): string {
    return [...this.resources.values()]
      .map((resource) => JSON.stringify(resource))
      .sort()
      .join('\n')
  }

  async links(): Promise<readonly LinkInfo[]> {
    return [...this.devices.values()].map((link) => ({
      ...link,
      addresses: [...link.addresses, ...this.#added(link.name)],
    }))
  }

  #added(dev: string): LinkInfo['addresses'] {
    return [...this.resources.values()].flatMap((resource) => {
      if (resource.kind !== 'address' || resource.dev !== dev) return []
      const [address = '', length] = resource.address.split('/')
      return [{ address, length: Number(length), tentative: false }]
    })
  }

  async read<R extends Resource>(wanted: readonly R[]): Promise<readonly (R | undefined)[]> {
    return wanted.map((resource) => this.resources.get(keyOf(resource)) as R | undefined)
  }

  async marked(table: string, device: string): Promise<readonly Resource[]> {
    return [...this.resources.values()].filter(
      (resource) =>
        (resource.kind === 'nft' && resource.name === table) ||
        (resource.kind === 'tun' && resource.dev === device) ||
        resource.kind === 'neighbour' ||
        ('protocol' in resource && resource.protocol === PROTOCOL),
    )
  }

  async change(changes: readonly Change[]): Promise<void> {
    for (const [index, change] of changes.entries()) {
      try {
        this.beforeChange(change)
        this.#apply(change)
      } catch (error) {
        throw new ChangeFailed(index, error)
      }
    }
  }

  #apply(change: Change): void {
    const { before, after } = change
    this.changes.push(change)
    if (!after) {
      const gone = before as Resource
      if (isLink(gone)) this.removeLink(gone.dev)
      this.resources.delete(keyOf(gone))
      return
    }
    if ('dev' in after && after.kind !== 'vlan' && after.kind !== 'sit' && !this.devices.has(after.dev)) {
      throw new GatewayError('COMMAND_FAILED', {
        values: { command: 'ip' },
        detail: `Cannot find device "${after.dev}"`,
      })
    }
    if (after.kind === 'vlan' || after.kind === 'sit') {
      if (before) this.removeLink(after.dev)
      this.addLink(after.dev, { type: after.kind })
    }
    const marks = after.kind === 'route' || after.kind === 'rule'
    this.put(marks && after.protocol === undefined ? { ...after, protocol: PROTOCOL } : after)
  }

  /** Something outside of the gateway moved. */
  moved(): void {
    for (const watcher of this.watchers) watcher()
  }

  watch(onChange: () => void): { close(): void } {
    this.watchers.add(onChange)
    return { close: () => void this.watchers.delete(onChange) }
  }

  async run(command: string, args: readonly string[], debianPackage: string): Promise<string> {
    const answer = this.commands.get(command)
    if (!answer) throw new GatewayError('COMMAND_MISSING', { values: { command, package: debianPackage } })
    return answer(args)
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const child = new FakeChild(1000 + this.children.length, command, args, options)
    this.children.push(child)
    return child
  }

  async supports(type: 'sit'): Promise<boolean> {
    return this.types.has(type)
  }

  async identity(): Promise<string> {
    return 'fake'
  }
}
