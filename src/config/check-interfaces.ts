// SPDX-License-Identifier: Apache-2.0
/** Rules about links and router advertisements. */
import { type InterfaceAddress, parseAddress, parseInterfaceAddress, parsePrefix } from '../net/address.ts'
import { isIllegal, kindOf } from '../net/kind.ts'
import type { Check, Report } from './check-rule.ts'
import { parseRoute } from './formats.ts'
import type { AdvertisementConfig, Config, InterfaceConfig } from './schema.ts'
import { parseDuration } from './units.ts'

const LINK_LOCAL = parsePrefix('fe80::/10')

export const interfaceChecks: readonly Check[] = [
  { needs: ['/interfaces'], run: names },
  { needs: ['/interfaces'], run: addressing },
  { needs: ['/interfaces'], run: vlans },
  { needs: ['/interfaces'], run: routes },
  { needs: ['/advertise'], run: advertisements },
  { needs: ['/advertise', '/nat64/prefixes', '/siit/prefix'], run: onTranslationPrefix },
]

function names({ interfaces }: Config, report: Report): void {
  const seen = new Map<string, number>()
  for (const [index, { name }] of interfaces.entries()) {
    const path = `/interfaces/${index}/name`
    const before = seen.get(name)
    if (before !== undefined) report(path, `${name} stands already at /interfaces/${before}`, 'Write each link once.')
    else seen.set(name, index)
    if (name === 'lo' || /^sixgate\d/.test(name))
      report(path, `${name} is not a link to configure`, 'Name a link to the network.')
  }
}

function addressing({ interfaces }: Config, report: Report): void {
  const seen = new Map<string, string>()
  for (const [index, { addresses = [], dhcp4 }] of interfaces.entries())
    for (const [at, text] of addresses.entries()) {
      const path = `/interfaces/${index}/addresses/${at}`
      const { address } = parseInterfaceAddress(text)
      const before = seen.get(String(address))
      if (before) report(path, `${address} stands already at ${before}`, 'Write each address once.')
      else seen.set(String(address), path)
      if (dhcp4 && address.family === 4)
        report(path, `${text} stands beside dhcp4: true`, 'Take the address out, or set dhcp4: false.')
    }
}

function vlans({ interfaces }: Config, report: Report): void {
  const seen = new Map<string, number>()
  for (const [index, { name, vlan, parent, mtu }] of interfaces.entries()) {
    const path = `/interfaces/${index}`
    if (vlan !== undefined && parent === undefined) report(`${path}/vlan`, 'has no link to run on', 'Add parent: NAME.')
    if (parent !== undefined && vlan === undefined)
      report(`${path}/parent`, 'is only for a VLAN', 'Add vlan: ID, or take parent out.')
    if (vlan === undefined || parent === undefined) continue
    if (parent === name) report(`${path}/parent`, 'is the link itself', 'Name the link that carries the VLAN.')
    const tag = `VLAN ${vlan} on ${parent}`
    const before = seen.get(tag)
    if (before !== undefined)
      report(`${path}/vlan`, `${tag} stands already at /interfaces/${before}`, 'Write each VLAN once.')
    else seen.set(tag, index)
    const below = interfaces.find((link) => link.name === parent)?.mtu
    if (mtu !== undefined && below !== undefined && mtu > below)
      report(`${path}/mtu`, `is ${mtu}, but ${parent} carries ${below}`, `Write ${below} or less.`)
  }
}

function routes({ interfaces }: Config, report: Report): void {
  const seen = new Map<string, string>()
  for (const [index, link] of interfaces.entries()) {
    const addresses = (link.addresses ?? []).map(parseInterfaceAddress)
    for (const [at, text] of (link.routes ?? []).entries()) {
      const path = `/interfaces/${index}/routes/${at}`
      const { prefix } = parseRoute(text)
      const before = seen.get(String(prefix))
      if (before) report(path, `${prefix} has a route already at ${before}`, 'Write one route for each prefix.')
      else seen.set(String(prefix), path)
      nextHop(path, text, link, addresses, report)
    }
  }
}

/** The kernel takes a next hop only when it is on the link. */
function nextHop(
  path: string,
  text: string,
  link: InterfaceConfig,
  addresses: readonly InterfaceAddress[],
  report: Report,
): void {
  const { via } = parseRoute(text)
  if (!via) return
  if (addresses.some(({ address }) => address.equals(via)))
    return report(path, `${via} is an address of the gateway itself`, 'Write the address of the next router.')
  if (LINK_LOCAL.contains(via)) return
  if (isIllegal(via)) return report(path, `${via} (${kindOf(via)}) cannot be a next hop`, 'Write a unicast address.')
  const own = addresses.filter(({ prefix }) => prefix.family === via.family)
  // Addresses that come from elsewhere (DHCP, advertisements, an interface left alone) are not known here.
  const elsewhere = own.length === 0 || (via.family === 4 ? link.dhcp4 : link.acceptRa)
  if (!elsewhere && !own.some(({ prefix }) => prefix.contains(via)))
    report(
      path,
      `${via} is on none of the networks of ${link.name}`,
      `Write a next hop within ${own.map(({ prefix }) => prefix).join(' or ')}.`,
    )
}

function advertisements({ advertise }: Config, report: Report): void {
  const links = new Map<string, number>()
  const prefixes = new Map<string, string>()
  for (const [index, one] of advertise.entries()) {
    const path = `/advertise/${index}`
    const before = links.get(one.interface)
    if (before === undefined) links.set(one.interface, index)
    else report(`${path}/interface`, `${one.interface} stands already at /advertise/${before}`, 'Write each link once.')
    for (const [at, text] of one.prefixes.entries()) onLinkPrefix(text, `${path}/prefixes/${at}`, prefixes, report)
    for (const [at, text] of one.rdnss.entries()) {
      const address = parseAddress(text)
      if (isIllegal(address) && !LINK_LOCAL.contains(address))
        report(
          `${path}/rdnss/${at}`,
          `${text} (${kindOf(address)}) cannot be a resolver for others`,
          'Write an address that clients reach.',
        )
    }
    lifetime(one, path, report)
  }
}

/** RFC 4862 section 5.5.3: a prefix and the 64-bit interface identifier make an address. */
function onLinkPrefix(text: string, path: string, seen: Map<string, string>, report: Report): void {
  const prefix = parsePrefix(text)
  if (prefix.length !== 64)
    report(path, `${text} is no /64, and clients make addresses from nothing else`, 'Write a /64.')
  if (isIllegal(prefix))
    report(path, `${text} holds addresses that cannot be routed`, 'Choose a global or a unique local prefix.')
  const before = seen.get(text)
  if (before) report(path, `${text} stands already at ${before}`, 'Advertise a prefix on one link.')
  else seen.set(text, path)
}

/** RFC 4861 section 6.2.1: zero, or at least MaxRtrAdvInterval. */
function lifetime({ interval, lifetime: own }: AdvertisementConfig, path: string, report: Report): void {
  const seconds = parseDuration(own)
  if (seconds > 0 && seconds < parseDuration(interval))
    report(`${path}/lifetime`, `is ${own}, shorter than the interval, ${interval}`, `Write 0s, or ${interval} or more.`)
  for (const [key, text] of [
    ['interval', interval],
    ['lifetime', own],
  ] as const)
    if (!Number.isInteger(parseDuration(text)))
      report(`${path}/${key}`, `is ${text}, but is sent in whole seconds`, 'Write whole seconds.')
}

/** Clients would take addresses for themselves that mean IPv4 hosts. */
function onTranslationPrefix({ advertise, nat64, siit }: Config, report: Report): void {
  const translated = [...(nat64?.prefixes ?? []), ...(siit?.prefix === undefined ? [] : [siit.prefix])]
  for (const [index, one] of advertise.entries())
    for (const [at, text] of one.prefixes.entries()) {
      const other = translated.find((prefix) => parsePrefix(prefix).overlaps(parsePrefix(text)))
      if (other)
        report(
          `/advertise/${index}/prefixes/${at}`,
          `${text} overlaps the translation prefix ${other}`,
          'Choose a prefix that is used for nothing else.',
        )
    }
}
