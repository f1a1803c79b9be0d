// SPDX-License-Identifier: Apache-2.0
/** The real system: ip(8), nft(8) and /proc/sys of the network namespace the process runs in. */
import { readFile, readlink } from 'node:fs/promises'
import { CommandError, commandFault, run, spawn } from './command.ts'
import {
  alreadyDone,
  type IpLink,
  type IpNeighbour,
  type IpRoute,
  type IpRule,
  ipLines,
  linkAttribute,
  toAddresses,
  toLinkInfo,
  toNeighbour,
  toRoute,
  toRule,
  toSit,
} from './ip.ts'
import { NftTables } from './nft.ts'
import { actualSysctl, changeSysctl, refuseReadOnly } from './sysctl.ts'
import {
  type Change,
  ChangeFailed,
  type ChildProcess,
  isLink,
  keyOf,
  type LinkInfo,
  PROTOCOL,
  type Resource,
  type Route,
  type SpawnOptions,
  type System,
} from './system.ts'

const IP_PACKAGE = 'iproute2'
const FAMILIES = [4, 6] as const

/** More prefixes than this are cheaper found in one look at the whole table. */
const FEW = 4

async function ip<T>(...args: string[]): Promise<T[]> {
  try {
    const text = await run('ip', ['-json', '-N', ...args], IP_PACKAGE)
    return text.trim() === '' ? [] : (JSON.parse(text) as T[]).filter((row) => Object.keys(row as object).length > 0)
  } catch (error) {
    throw commandFault(`ip ${args.join(' ')}`, error)
  }
}

async function rulesOf(family: 4 | 6): Promise<Resource[]> {
  return (await ip<IpRule>(`-${family}`, 'rule', 'show')).map((rule) => toRule(rule, family))
}

/** What was set by hand: proxy entries and permanent neighbours. */
async function neighbours(): Promise<IpNeighbour[]> {
  const sets = await Promise.all([
    ip<IpNeighbour>('neigh', 'show', 'proxy'),
    ip<IpNeighbour>('neigh', 'show', 'nud', 'permanent'),
  ])
  return sets.flat()
}

const toNeighbours = (rows: readonly IpNeighbour[]) => rows.flatMap((row) => toNeighbour(row) ?? [])

/** A run of changes that one program makes. */
interface Batch {
  readonly tool: 'ip' | 'nft' | 'sysctl'
  readonly family: 4 | 6 | undefined
  readonly changes: Change[]
}

function batches(changes: readonly Change[]): Batch[] {
  const result: Batch[] = []
  for (const change of changes) {
    const { kind } = (change.after ?? change.before) as Resource
    const tool = kind === 'sysctl' || kind === 'nft' ? kind : 'ip'
    const resource = (change.after ?? change.before) as Resource
    const family = resource.kind === 'rule' ? resource.family : undefined
    const last = result.at(-1)
    if (last && last.tool === tool && last.family === family) last.changes.push(change)
    else result.push({ tool, family, changes: [change] })
  }
  return result
}

interface Line {
  readonly line: string
  readonly change: Change
  /** Place of the change in its batch. */
  readonly index: number
}

/** Runs the lines in one `ip`; returns what it says of the first that failed, and which that was, if it says so. */
async function feed(
  lines: readonly Line[],
  family: 4 | 6 | undefined,
): Promise<{ at?: number; error: CommandError } | undefined> {
  const text = lines.map(({ line }) => `${line}\n`).join('')
  try {
    await run('ip', [...(family ? [`-${family}`] : []), '-batch', '-'], IP_PACKAGE, text)
    return undefined
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    const number = /Command failed -:(\d+)/.exec(error.stderr)?.[1]
    return { error, ...(number !== undefined && { at: Number(number) - 1 }) }
  }
}

/** A line that fails because its work is done is skipped, and the rest is fed again. */
async function runIp({ changes, family }: Batch): Promise<void> {
  const all = changes.flatMap((change, index) => ipLines(change).map((line): Line => ({ line, change, index })))
  const judge = ({ line, change, index }: Line, error: CommandError) => {
    if (!alreadyDone(change, error.stderr)) throw new ChangeFailed(index, commandFault(`ip ${line}`, error))
  }
  for (let lines = all; lines.length > 0; ) {
    const failure = await feed(lines, family)
    if (!failure) return
    if (failure.at === undefined) return oneByOne(lines, family, judge)
    const failed = lines[failure.at]
    if (failed) judge(failed, failure.error)
    lines = lines.slice(failure.at + 1)
  }
}

/** Some objects of ip(8) leave the whole program at an error, without a line number; lines done already do no harm. */
async function oneByOne(
  lines: readonly Line[],
  family: 4 | 6 | undefined,
  judge: (line: Line, error: CommandError) => void,
): Promise<void> {
  for (const line of lines) {
    const failure = await feed([line], family)
    if (failure) judge(line, failure.error)
  }
}

export class LinuxSystem implements System {
  readonly #nft = new NftTables()

  async links(): Promise<readonly LinkInfo[]> {
    const [details, addresses] = await Promise.all([
      ip<IpLink>('-details', 'link', 'show'),
      ip<IpLink>('address', 'show'),
    ])
    const byIndex = new Map(addresses.map((link) => [link.ifindex, link.addr_info ?? []]))
    return details.map((link) => toLinkInfo({ ...link, addr_info: byIndex.get(link.ifindex) ?? [] }))
  }

  async read<R extends Resource>(wanted: readonly R[]): Promise<readonly (R | undefined)[]> {
    const found = new Map<string, Resource>()
    const add = (resources: readonly (Resource | undefined)[]) => {
      for (const resource of resources) if (resource) found.set(keyOf(resource), resource)
    }
    const kinds = new Set<Resource['kind']>(wanted.map(({ kind }) => kind))
    const jobs: Promise<void>[] = []
    if (kinds.has('link') || kinds.has('vlan') || kinds.has('tun') || kinds.has('sit'))
      jobs.push(this.#readLinks(wanted).then(add))
    if (kinds.has('address')) jobs.push(ip<IpLink>('address', 'show').then((links) => add(links.flatMap(toAddresses))))
    if (kinds.has('proxy') || kinds.has('neighbour')) jobs.push(neighbours().then((rows) => add(toNeighbours(rows))))
    if (kinds.has('rule')) jobs.push(...FAMILIES.map((family) => rulesOf(family).then(add)))
    const routeSets = new Map<string, Route>()
    for (const resource of wanted as readonly Resource[]) {
      if (resource.kind === 'route') {
        // another link may hold a route with the same key, so the table is read for every link
        routeSets.set(`${resource.family} ${resource.table}`, resource)
      } else if (resource.kind === 'sysctl') jobs.push(actualSysctl(resource.name).then((actual) => add([actual])))
      else if (resource.kind === 'nft') jobs.push(this.#nft.read(resource).then((actual) => add([actual])))
    }
    for (const { family, table } of routeSets.values()) jobs.push(this.#readRoutes(family, table, wanted).then(add))
    await Promise.all(jobs)
    return wanted.map((resource) => found.get(keyOf(resource)) as R | undefined)
  }

  async #readLinks(wanted: readonly Resource[]): Promise<Resource[]> {
    const links = new Map((await ip<IpLink>('-details', 'link', 'show')).map((link) => [link.ifname, link]))
    return wanted.flatMap((resource): Resource[] => {
      if (resource.kind !== 'link' && !isLink(resource)) return []
      const link = links.get(resource.dev)
      if (!link) return []
      if (resource.kind === 'tun') return link.linkinfo?.info_kind === 'tun' ? [resource] : []
      if (resource.kind === 'sit') return [toSit(link) ?? []].flat()
      if (resource.kind === 'link') return [{ ...resource, value: linkAttribute(link, resource.attribute) }]
      if (link.linkinfo?.info_kind !== 'vlan') return [{ ...resource, parent: '', id: 0 }]
      return [{ ...resource, parent: link.link ?? '', id: link.linkinfo.info_data?.id ?? 0 }]
    })
  }

  /** The kernel picks out the gateway's own; others are looked for only where one is missing, in a table of any size. */
  async #readRoutes(family: 4 | 6, table: string, wanted: readonly Resource[]): Promise<Route[]> {
    const show = async (...selector: string[]) => {
      try {
        const rows = await ip<IpRoute>(`-${family}`, 'route', 'show', 'table', table, ...selector)
        return rows.map((row) => toRoute({ ...row, table: row.table ?? table }, family))
      } catch (error) {
        if (/FIB table does not exist/.test(String((error as Error).message))) return []
        throw error
      }
    }
    // ip(8) leaves out what it was asked to select by
    const own = (await show('proto', PROTOCOL)).map((route) => ({ ...route, protocol: PROTOCOL }))
    const found = new Set(own.map(keyOf))
    const missing = wanted.flatMap((resource) =>
      resource.kind === 'route' && resource.family === family && resource.table === table && !found.has(keyOf(resource))
        ? [resource.prefix]
        : [],
    )
    const prefixes = [...new Set(missing)]
    if (prefixes.length > FEW) return [...(await show()), ...own]
    // what is the gateway's own comes last and wins
    return [...(await Promise.all(prefixes.map((prefix) => show('exact', prefix)))).flat(), ...own]
  }

  async marked(table: string, device: string): Promise<readonly Resource[]> {
    const [tuns, routes4, routes6, rules4, rules6, neighbourRows, nft] = await Promise.all([
      this.#readLinks([{ kind: 'tun', dev: device }]),
      ip<IpRoute>('-4', 'route', 'show', 'table', 'all', 'proto', PROTOCOL),
      ip<IpRoute>('-6', 'route', 'show', 'table', 'all', 'proto', PROTOCOL),
      rulesOf(4),
      rulesOf(6),
      neighbours(),
      this.#nft.read({ kind: 'nft', family: 'inet', name: table, rules: '' }),
    ])
    return [
      ...tuns,
      ...routes4.map((row) => toRoute({ ...row, protocol: PROTOCOL }, 4)),
      ...routes6.map((row) => toRoute({ ...row, protocol: PROTOCOL }, 6)),
      ...[...rules4, ...rules6].filter((rule) => rule.kind === 'rule' && rule.protocol === PROTOCOL),
      ...toNeighbours(neighbourRows.filter(({ protocol }) => protocol === PROTOCOL)),
      ...(nft ? [nft] : []),
    ]
  }

  async change(changes: readonly Change[]): Promise<void> {
    let done = 0
    await refuseReadOnly(changes).catch((error: unknown) => {
      throw new ChangeFailed(0, error)
    })
    for (const batch of batches(changes)) {
      try {
        if (batch.tool === 'ip') {
          await runIp(batch)
          done += batch.changes.length
        } else {
          for (const change of batch.changes) {
            await (batch.tool === 'nft' ? this.#nft.change(change) : changeSysctl(change))
            done++
          }
        }
      } catch (error) {
        if (error instanceof ChangeFailed) throw new ChangeFailed(done + error.done, error.cause)
        throw new ChangeFailed(done, error)
      }
    }
  }

  watch(onChange: () => void, onEnd: (error: unknown) => void): { close(): void } {
    let closed = false
    const children = [
      spawn('ip', ['monitor', 'link', 'address', 'route', 'rule'], { package: IP_PACKAGE, onLine: onChange }),
      spawn('nft', ['monitor', 'tables'], { package: 'nftables', onLine: onChange }),
    ]
    for (const child of children) {
      child.exited.then((exit) => {
        if (!closed) onEnd(new Error(`the watcher ended: ${JSON.stringify(exit)}`))
      })
    }
    return {
      close() {
        closed = true
        for (const child of children) child.kill('SIGKILL')
      },
    }
  }

  async run(command: string, args: readonly string[], debianPackage: string, input?: string): Promise<string> {
    try {
      return await run(command, args, debianPackage, input)
    } catch (error) {
      throw commandFault(command, error)
    }
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn(command, args, options)
  }

  /** Nothing tells but to try: it loads the module, too. */
  async supports(type: 'sit'): Promise<boolean> {
    const name = 'sixgate-probe'
    try {
      await run('ip', ['link', 'add', name, 'type', type, 'local', '127.0.0.2', 'remote', '127.0.0.3'], IP_PACKAGE)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      if (!/File exists/.test(error.stderr)) return false
    }
    await run('ip', ['link', 'del', name], IP_PACKAGE)
    return true
  }

  async identity(): Promise<string> {
    const [boot, namespace] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/net'),
    ])
    return `${boot.trim()} ${namespace}`
  }
}
