// SPDX-License-Identifier: Apache-2.0
/** What `ip -json -N` prints and `ip -batch` reads, as resources. Pure. */
import type {
  Change,
  InterfaceAddress,
  LinkAttribute,
  LinkInfo,
  Neighbour,
  ProxyNeighbour,
  Resource,
  Route,
  Rule,
  Sit,
} from './system.ts'
import { MAIN_TABLE, PROTOCOL } from './system.ts'

export interface IpLink {
  ifname: string
  ifindex: number
  flags: string[]
  mtu: number
  txqlen?: number
  link?: string
  inet6_addr_gen_mode?: string
  /** What the gateway notes of a link that it made, for the kernel does not tell. */
  ifalias?: string
  linkinfo?: { info_kind?: string; info_data?: IpLinkData }
  addr_info?: IpAddress[]
}

export interface IpLinkData {
  id?: number
  type?: string
  local?: string
  remote?: string
  ttl?: number
  tos?: string
  pmtudisc?: boolean
  isatap?: boolean
  prefix?: string
  prefixlen?: number
  relay_prefix?: string
  relay_prefixlen?: number
}

interface IpAddress {
  family: string
  local?: string
  prefixlen: number
  tentative?: boolean
  dadfailed?: boolean
}

export interface IpRoute {
  type?: string
  dst: string
  gateway?: string
  via?: { host: string }
  dev?: string
  table?: string
  protocol?: string
  scope?: string
  prefsrc?: string
  metric?: number
  flags?: string[]
  metrics?: unknown
  nexthops?: unknown
  encap?: unknown
}

export interface IpRule {
  priority: number
  src: string
  srclen?: number
  fwmark?: string
  fwmask?: string
  table?: string
  protocol?: string
}

export interface IpNeighbour {
  dst: string
  dev?: string
  proxy?: null
  protocol?: string
}

const FULL_MASK = '0xffffffff'

/** iproute2 leaves out the length of a host prefix and writes the default route as a word. */
function prefixText(dst: string, family: 4 | 6): string {
  if (dst === 'default') return family === 4 ? '0.0.0.0/0' : '::/0'
  return dst.includes('/') ? dst : `${dst}/${family === 4 ? 32 : 128}`
}

function foreignShape(route: IpRoute): string | undefined {
  if (route.nexthops) return 'several next hops'
  if (route.encap) return 'an encapsulation'
  if (route.metrics) return 'metrics'
  if (route.type !== undefined && route.type !== '1') return `type ${route.type}`
  if (route.protocol === '2') return 'the kernel as its owner (a connected network)'
  return undefined
}

export function toRoute(route: IpRoute, family: 4 | 6): Route {
  const via = route.gateway ?? route.via?.host
  const foreign = foreignShape(route)
  return {
    kind: 'route',
    family,
    prefix: prefixText(route.dst, family),
    dev: route.dev ?? '',
    table: route.table ?? MAIN_TABLE,
    metric: route.metric ?? 0,
    protocol: route.protocol ?? '3',
    ...(via !== undefined && { via }),
    ...(route.prefsrc !== undefined && { source: route.prefsrc }),
    ...(route.scope !== undefined && { scope: route.scope }),
    ...(route.flags?.includes('onlink') && { onlink: true }),
    ...(foreign !== undefined && { foreign }),
  }
}

export function toRule(rule: IpRule, family: 4 | 6): Rule {
  return {
    kind: 'rule',
    family,
    priority: rule.priority,
    table: rule.table ?? '0',
    ...(rule.fwmark !== undefined && { mark: `${rule.fwmark}/${rule.fwmask ?? FULL_MASK}` }),
    // `kernel`, as the rules have it that are there from the start
    protocol: rule.protocol ?? '2',
  }
}

export function toNeighbour({ dev, dst: address, proxy }: IpNeighbour): ProxyNeighbour | Neighbour | undefined {
  return dev === undefined ? undefined : { kind: proxy === undefined ? 'neighbour' : 'proxy', dev, address }
}

export function toAddresses(link: IpLink): InterfaceAddress[] {
  return (link.addr_info ?? []).flatMap(({ local, prefixlen }) =>
    local === undefined ? [] : [{ kind: 'address', dev: link.ifname, address: `${local}/${prefixlen}` } as const],
  )
}

const NOTE = /^sixgate prl (.*)$/

/** Undefined for a link of another type. */
export function toSit({ ifname, ifalias = '', linkinfo }: IpLink): Sit | undefined {
  if (linkinfo?.info_kind !== 'sit') return undefined
  const data = linkinfo.info_data ?? {}
  const domain = data.prefix !== undefined && !(data.prefix === '2002::' && data.prefixlen === 16)
  return {
    ...{ kind: 'sit', dev: ifname, local: data.local ?? 'any', remote: data.remote ?? 'any' },
    ...{ ttl: data.ttl ?? 0, tos: Number(data.tos ?? 0), pmtudisc: data.pmtudisc ?? false },
    isatap: data.isatap ?? false,
    prefix: domain ? `${data.prefix}/${data.prefixlen}` : '',
    relayPrefix: domain ? `${data.relay_prefix ?? '0.0.0.0'}/${data.relay_prefixlen ?? 0}` : '',
    routers: NOTE.exec(ifalias)?.[1] ?? '',
  }
}

function sitLines(sit: Sit): string[] {
  const { dev, local, remote, ttl, tos, pmtudisc, isatap, prefix, relayPrefix, routers } = sit
  const words = [
    'link add name',
    dev,
    'type sit local',
    local,
    'remote',
    remote,
    'ttl',
    ttl,
    'tos',
    `0x${tos.toString(16)}`,
  ]
  words.push(pmtudisc ? 'pmtudisc' : 'nopmtudisc')
  if (isatap) words.push('isatap')
  if (prefix !== '') words.push('6rd-prefix', prefix, '6rd-relay_prefix', relayPrefix)
  const list = routers === '' ? [] : routers.split(',')
  return [
    words.join(' '),
    ...list.map((router) => `tunnel prl dev ${dev} prl-default ${router}`),
    ...(routers === '' ? [] : [`link set dev ${dev} alias "sixgate prl ${routers}"`]),
  ]
}

export function toLinkInfo(link: IpLink): LinkInfo {
  return {
    name: link.ifname,
    index: link.ifindex,
    up: link.flags.includes('UP'),
    carrier: link.flags.includes('LOWER_UP'),
    mtu: link.mtu,
    type: link.linkinfo?.info_kind ?? '',
    addresses: (link.addr_info ?? []).flatMap(({ local, prefixlen, tentative, dadfailed }) =>
      local === undefined
        ? []
        : [{ address: local, length: prefixlen, tentative: tentative === true && dadfailed !== true }],
    ),
  }
}

export function linkAttribute(link: IpLink, attribute: LinkAttribute): string {
  switch (attribute) {
    case 'mtu':
      return String(link.mtu)
    case 'txqueuelen':
      return String(link.txqlen ?? 0)
    case 'addrgenmode':
      return link.inet6_addr_gen_mode ?? 'eui64'
    case 'up':
      return link.flags.includes('UP') ? 'up' : 'down'
  }
}

function routeLine(verb: 'replace' | 'del', route: Route): string {
  const words = ['route', verb, route.prefix]
  if (route.via !== undefined) words.push('via', route.via)
  words.push('dev', route.dev, 'table', route.table, 'metric', String(route.metric))
  words.push('proto', route.protocol ?? PROTOCOL)
  if (verb === 'replace') {
    if (route.scope !== undefined && route.family === 4) words.push('scope', route.scope)
    if (route.source !== undefined) words.push('src', route.source)
    if (route.onlink) words.push('onlink')
  }
  return words.join(' ')
}

function ruleLine(verb: 'add' | 'del', rule: Rule): string {
  const words = ['rule', verb, 'pref', String(rule.priority)]
  if (rule.mark !== undefined) words.push('fwmark', rule.mark)
  words.push('lookup', rule.table, 'protocol', rule.protocol ?? PROTOCOL)
  return words.join(' ')
}

function addressLine(address: InterfaceAddress): string {
  const words = ['address', 'replace', address.address, 'dev', address.dev]
  const length = Number(address.address.split('/')[1])
  if (!address.address.includes(':') && length < 31) words.push('broadcast', '+')
  return words.join(' ')
}

/** The lines of `ip -batch` for one change; only rules depend on the family given to ip(8). */
export function ipLines({ before, after }: Change): string[] {
  const resource = (after ?? before) as Resource
  switch (resource.kind) {
    case 'link':
      if (!after) return []
      return [
        `link set dev ${resource.dev} ${resource.attribute === 'up' ? '' : `${resource.attribute} `}${resource.value}`,
      ]
    case 'vlan':
      return [
        ...(before ? [`link del dev ${resource.dev}`] : []),
        ...(after ? [`link add link ${resource.parent} name ${resource.dev} type vlan id ${resource.id}`] : []),
      ]
    case 'sit':
      return [...(before ? [`link del dev ${resource.dev}`] : []), ...(after?.kind === 'sit' ? sitLines(after) : [])]
    case 'tun':
      return after ? [] : [`link del dev ${resource.dev}`]
    case 'address':
      return [after ? addressLine(resource) : `address del ${resource.address} dev ${resource.dev}`]
    case 'route':
      return [routeLine(after ? 'replace' : 'del', resource)]
    case 'rule':
      return [...(after ? [ruleLine('add', after as Rule)] : []), ...(before ? [ruleLine('del', before as Rule)] : [])]
    case 'proxy':
      return [`neigh ${after ? 'add' : 'del'} proxy ${resource.address} dev ${resource.dev} protocol ${PROTOCOL}`]
    case 'neighbour':
      return [
        after
          ? `neigh replace ${resource.address} dev ${resource.dev} nud permanent protocol ${PROTOCOL}`
          : `neigh del ${resource.address} dev ${resource.dev}`,
      ]
    default:
      return []
  }
}

/** Whether `ip` failed only because the change is in force already. */
export function alreadyDone({ after }: Change, message: string): boolean {
  if (after) return /File exists/.test(message)
  return /No such process|Cannot assign requested address|Cannot find device|No such file or directory|No such device|FIB table does not exist|address not found/i.test(
    message,
  )
}
