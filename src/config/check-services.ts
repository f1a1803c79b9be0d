// SPDX-License-Identifier: Apache-2.0
/** Rules about DNS64, the API and the sockets they listen on. */
import { type Endpoint, parseEndpoint, parseInterfaceAddress, parsePrefix } from '../net/address.ts'
import { isIllegal, kindOf } from '../net/kind.ts'
import { isWhollyNonGlobal, WELL_KNOWN_PREFIX } from '../net/rfc6052.ts'
import type { Check, Report } from './check-rule.ts'
import { parsePortRange } from './formats.ts'
import type { Config } from './schema.ts'

export const serviceChecks: readonly Check[] = [
  { needs: ['/dns64', '/nat64/prefixes'], run: synthesisPrefixes },
  { needs: ['/dns64', '/nat64/prefixes', '/nat64/allowNonGlobal'], run: privateSynthesis },
  { needs: ['/dns64/upstreams', '/dns64/listen', '/interfaces'], run: upstreams },
  { needs: ['/dns64/listen', '/api/listen'], run: listeners },
  { needs: ['/dns64/listen', '/api/listen', '/nat64/pools'], run: listenersAgainstPools },
  { needs: ['/api/tokens'], run: tokens },
  { needs: ['/log/bindings', '/nat64'], run: bindingLog },
]

function synthesisPrefixes({ dns64, nat64 }: Config, report: Report): void {
  if (!dns64) return
  if (!dns64.prefixes && !nat64)
    report(
      '/dns64/prefixes',
      'is missing, and there is no nat64 to take it from',
      `Add prefixes: ["${WELL_KNOWN_PREFIX}"].`,
    )
  const seen = new Map<string, number>()
  for (const [index, text] of (dns64.prefixes ?? []).entries()) {
    const before = seen.get(text)
    if (before !== undefined)
      report(
        `/dns64/prefixes/${index}`,
        `${text} stands already at /dns64/prefixes/${before}`,
        'Write each prefix once.',
      )
    else seen.set(text, index)
  }
}

/** RFC 6052 section 3.1 holds for DNS64 as for the translator. */
function privateSynthesis({ dns64, nat64 }: Config, report: Report): void {
  if (!dns64 || nat64?.allowNonGlobal) return
  const remedy = nat64
    ? 'Set nat64.allowNonGlobal: true, or use a network-specific prefix.'
    : 'Use a network-specific prefix.'
  const prefixes = [...(dns64.prefixes ?? nat64?.prefixes ?? []), ...dns64.rules.map(({ prefix }) => prefix)]
  if (
    dns64.synthesizePrivate &&
    prefixes.length > 0 &&
    prefixes.every((text) => parsePrefix(text).equals(WELL_KNOWN_PREFIX))
  )
    report(
      '/dns64/synthesizePrivate',
      `is set, but ${WELL_KNOWN_PREFIX} must not carry private addresses (RFC 6052 section 3.1)`,
      remedy,
    )
  // A range that is partly global, 0.0.0.0/0 above all, works for that part.
  for (const [index, { prefix, ipv4 }] of dns64.rules.entries())
    for (const [at, text] of ipv4.entries())
      if (parsePrefix(prefix).equals(WELL_KNOWN_PREFIX) && isWhollyNonGlobal(parsePrefix(text)))
        report(
          `/dns64/rules/${index}/ipv4/${at}`,
          `${text} is not global, and ${prefix} must not carry it (RFC 6052 section 3.1)`,
          remedy,
        )
}

function upstreams({ dns64, interfaces }: Config, report: Report): void {
  const own = new Set(
    interfaces.flatMap((link) => (link.addresses ?? []).map((text) => String(parseInterfaceAddress(text).address))),
  )
  const listen = (dns64?.listen ?? []).map(parseEndpoint)
  const seen = new Map<string, number>()
  for (const [index, text] of (dns64?.upstreams ?? []).entries()) {
    const path = `/dns64/upstreams/${index}`
    const upstream = parseEndpoint(text)
    const kind = kindOf(upstream.address)
    const before = seen.get(text)
    if (before !== undefined)
      report(path, `${text} stands already at /dns64/upstreams/${before}`, 'Write each resolver once.')
    else seen.set(text, index)
    if (kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast')
      report(path, `${upstream.address} (${kind}) cannot be asked`, 'Write the address of a resolver.')
    const local = kind === 'loopback' || own.has(String(upstream.address))
    const itself = listen.some(
      (socket) =>
        socket.port === upstream.port &&
        (socket.address.equals(upstream.address) || (local && covers(socket, upstream))),
    )
    if (itself) report(path, `${text} is this DNS64 itself`, 'Write the address of another resolver.')
    needsZone(upstream, path, report)
  }
}

interface Socket {
  readonly path: string
  readonly endpoint: Endpoint
}

function sockets({ dns64, api }: Config): Socket[] {
  const dns = (dns64?.listen ?? []).map((text, index) => ({
    path: `/dns64/listen/${index}`,
    endpoint: parseEndpoint(text),
  }))
  const rest = api.listen.map((text, index) => ({ path: `/api/listen/${index}`, endpoint: parseEndpoint(text) }))
  return [...dns, ...rest]
}

function listeners(config: Config, report: Report): void {
  const seen: Socket[] = []
  for (const socket of sockets(config)) {
    const { path, endpoint } = socket
    const before = seen.find((other) => covers(other.endpoint, endpoint) || covers(endpoint, other.endpoint))
    if (before)
      report(
        path,
        `${endpoint} and ${before.endpoint} at ${before.path} cannot both be listened on`,
        'Choose another port, or leave one out.',
      )
    seen.push(socket)
    const kind = kindOf(endpoint.address)
    if (kind === 'multicast' || kind === 'broadcast')
      report(path, `${endpoint.address} (${kind}) cannot be listened on`, 'Write a unicast address, [::] or 0.0.0.0.')
    needsZone(endpoint, path, report)
  }
}

/** Whether a socket on `wide` takes what comes to `narrow`: [::] takes both families. */
function covers(wide: Endpoint, narrow: Endpoint): boolean {
  if (wide.port !== narrow.port) return false
  const [a, b] = [wide.address.unmapped(), narrow.address.unmapped()]
  if (a.value === 0n) return a.family === 6 || b.family === 4
  return a.equals(b)
}

/** RFC 4007 section 6: a link-local address means nothing without its link. */
function needsZone({ address, port }: Endpoint, path: string, report: Report): void {
  if (address.family === 6 && address.zone === undefined && kindOf(address) === 'link-local')
    report(path, `${address} is link-local and does not tell its link`, `Write [${address}%INTERFACE]:${port}.`)
}

/** Packets to a pool's ports go to the translator, before any socket. */
function listenersAgainstPools(config: Config, report: Report): void {
  for (const [index, pool] of (config.nat64?.pools ?? []).entries()) {
    const ports = parsePortRange(pool.ports)
    for (const { path, endpoint } of sockets(config)) {
      const address = endpoint.address.unmapped()
      const taken = pool.addresses.some((text) => parsePrefix(text).contains(address))
      if (taken && !isIllegal(address) && ports.first <= endpoint.port && endpoint.port <= ports.last)
        report(
          path,
          `${endpoint} belongs to the pool at /nat64/pools/${index}`,
          'Choose a port outside the ports of the pool.',
        )
    }
  }
}

function tokens({ api }: Config, report: Report): void {
  for (const key of ['name', 'sha256'] as const) {
    const seen = new Map<string, number>()
    for (const [index, token] of api.tokens.entries()) {
      const before = seen.get(token[key])
      if (before === undefined) seen.set(token[key], index)
      else
        report(
          `/api/tokens/${index}/${key}`,
          `is the same as at /api/tokens/${before}/${key}`,
          key === 'name' ? 'Give each token a name of its own.' : 'Make a token for each holder.',
        )
    }
  }
}

function bindingLog({ log: { bindings }, nat64 }: Config, report: Report): void {
  if (!bindings) return
  const path = '/log/bindings'
  if (!nat64) report(path, 'is there, but no nat64 that makes bindings', 'Take it out, or add nat64.')
  if (bindings.files.length === 0 && bindings.collectors.length === 0)
    report(path, 'has nowhere to write', 'Add files: ["/var/log/sixgate/bindings.jsonl"], or collectors.')
  const collectors = bindings.collectors.map(({ transport, address }) => `${transport} ${address}`)
  for (const [key, names] of Object.entries({ files: bindings.files, collectors })) {
    for (const [index, name] of names.entries()) {
      const before = names.indexOf(name)
      if (before < index)
        report(`${path}/${key}/${index}`, `${name} stands already at ${path}/${key}/${before}`, 'Write each once.')
    }
  }
}
