// SPDX-License-Identifier: Apache-2.0
/**
 * Where packets of established flows are translated: by native XDP on hardware and virtio, by TC on virtual links,
 * and through the device where the kernel takes neither. Each interface says which, and why.
 */
import { existsSync, statfsSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from './config/schema.ts'
import type { Host, Names } from './feature.ts'
import type { Log } from './log.ts'
import type { Dataplane, FastpathOptions, FastpathStatus, Hook } from './system/dataplane.ts'
import type { LinkInfo } from './system/system.ts'

const OBJECT = fileURLToPath(new URL('../native/build/gateway.bpf.o', import.meta.url))

/** linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11

/** Flows that the kernel remembers: 128 bytes each, for both directions. */
const MAX_FLOWS = 1 << 19

export type Way = Hook | 'tun'

export interface InterfaceDatapath {
  readonly name: string
  readonly datapath: Way
  /** Why not a faster one; empty where it is the fastest for such a link. */
  readonly why: string
}

export interface DatapathStatus extends Omit<FastpathStatus, 'attached'> {
  readonly interfaces: readonly InterfaceDatapath[]
}

type Interface = Config['interfaces'][number]

export function wayWanted(config: Config, link: Interface): Config['datapath'] {
  return link.datapath ?? config.datapath
}

/** Undefined where the configuration keeps all packets to the device. */
export function fastpathOptions(config: Config, names: Names): FastpathOptions | undefined {
  if (config.interfaces.every((link) => wayWanted(config, link) === 'tun')) return undefined
  const sessions = config.nat64?.maxSessions ?? 0
  return { object: OBJECT, pins: pinsOf(names), flows: Math.min(sessions * 2, MAX_FLOWS) }
}

/** In the host's BPF file system, or in one of the gateway's own: `ip netns exec` hides the host's. */
function pinsOf({ runDirectory }: Names): string {
  const host = '/sys/fs/bpf'
  const mounted = existsSync(host) && statfsSync(host).type === BPF_FS_MAGIC
  return mounted ? `${host}/${basename(runDirectory)}` : `${runDirectory}/bpf`
}

/** Kinds of links whose packets have no Ethernet header, which the programs take for granted. */
const BARE = new Set([
  'tun',
  'ppp',
  'wireguard',
  'sit',
  'gre',
  'ip6gre',
  'ipip',
  'ip6tnl',
  'vti',
  'vti6',
  'xfrm',
  'rawip',
])

/** What to try, the fastest first. Local TCP on a virtual link has unfinished checksums, which XDP cannot see. */
function hooksFor(wanted: Config['datapath'], { type }: LinkInfo): readonly Hook[] {
  if (wanted === 'xdp' || wanted === 'tc') return [wanted]
  if (wanted === 'tun') return []
  return type === '' ? ['xdp', 'tc'] : ['tc']
}

export class Datapath {
  readonly #log: Log
  readonly #links = new Map<string, InterfaceDatapath & { readonly index: number; readonly wanted: string }>()
  #plane: Dataplane | undefined

  constructor(log: Log) {
    this.#log = log.child({ part: 'datapath' })
  }

  /** Brings the interfaces to the configuration; never fails: the device carries what nothing else does. */
  update(plane: Dataplane | undefined, config: Config, host: Host): void {
    if (plane !== this.#plane) this.#links.clear()
    this.#plane = plane
    if (!plane) return
    const links = new Map(host.links.map((link) => [link.name, link]))
    const there = config.interfaces.filter(({ name }) => (links.get(name)?.index ?? 0) > 0)
    const names = new Set(there.map(({ name }) => name))
    const status = plane.fastpath()
    for (const name of new Set([...this.#links.keys(), ...Object.keys(status.attached ?? {})])) {
      if (names.has(name)) continue
      plane.attach(name, 'tun')
      this.#links.delete(name)
    }
    for (const one of there) {
      const link = links.get(one.name) as LinkInfo
      const wanted = wayWanted(config, one)
      const before = this.#links.get(one.name)
      if (before?.index === link.index && before.wanted === wanted) continue
      const result = attach(plane, status, link, wanted)
      this.#links.set(one.name, { ...result, index: link.index, wanted })
      this.#log.info({ interface: one.name, datapath: result.datapath, why: result.why }, 'the way of its packets')
    }
  }

  status(): DatapathStatus | undefined {
    if (!this.#plane) return undefined
    const { attached: _, ...status } = this.#plane.fastpath()
    const interfaces = [...this.#links.values()].map(({ name, datapath, why }) => ({ name, datapath, why }))
    return { ...status, interfaces }
  }
}

function attach(plane: Dataplane, status: FastpathStatus, link: LinkInfo, wanted: string): InterfaceDatapath {
  const { name } = link
  const hooks = BARE.has(link.type) ? [] : hooksFor(wanted as Config['datapath'], link)
  if (!status.loaded || hooks.length === 0) {
    plane.attach(name, 'tun')
    return { name, datapath: 'tun', why: reasonFor(wanted, link, status) }
  }
  const reasons: string[] = []
  for (const hook of hooks) {
    const why = plane.attach(name, hook)
    if (why === '') return { name, datapath: hook, why: reasons.join('; ') }
    reasons.push(`${hook}: ${why}`)
  }
  return { name, datapath: 'tun', why: reasons.join('; ') }
}

function reasonFor(wanted: string, { type }: LinkInfo, { why }: FastpathStatus): string {
  if (wanted === 'tun') return 'the configuration says so'
  return BARE.has(type) ? `a ${type} link has no Ethernet header` : why
}

/** All ways in use, the fastest first. */
export function summary(status: DatapathStatus | undefined): string {
  const used = new Set(status?.interfaces.map(({ datapath }) => datapath))
  return (['xdp', 'tc', 'tun'] as const).filter((way) => used.has(way)).join('+') || 'tun'
}
