// SPDX-License-Identifier: Apache-2.0
import type { Static } from 'typebox'
import type * as shape from '../api/schemas.ts'
import { askJson } from './client.ts'
import { bytes, DONE, type Io, printable, table, UsageError } from './io.ts'
import { parse } from './options.ts'
import { packetText } from './packet-text.ts'
import { policyLines, statusLines, tree } from './status-text.ts'

const OPTIONS = {
  protocol: { type: 'string' },
  address: { type: 'string' },
  limit: { type: 'string' },
  last: { type: 'boolean' },
} as const

type Filter = 'protocol' | 'address' | 'limit'
type Query = Readonly<Record<string, string>>

interface Subject {
  /** Which options it takes, and the API's names for them. */
  readonly filters: Readonly<Partial<Record<Filter, string>>>
  readonly lines: (answer: never) => string[]
  /** With --last, where there is something to it. */
  readonly last?: (answer: never) => string[]
}

/** The API's own. */
const DEFAULT_LIMIT = 1000

const FILTERS = { protocol: 'protocol', address: 'address', limit: 'limit' }

const SUBJECTS: Readonly<Record<string, Subject>> = {
  status: { filters: {}, lines: statusLines },
  sessions: { filters: FILTERS, lines: sessionLines },
  bindings: { filters: FILTERS, lines: bindingLines },
  dns64: { filters: {}, lines: (answer: object) => tree(answer) },
  drops: { filters: {}, lines: dropLines, last: lastLines },
  clients: { filters: { limit: 'top' }, lines: clientLines },
  tunnels: { filters: {}, lines: tunnelLines },
  policy: { filters: {}, lines: ({ policy }: Static<typeof shape.PolicySchema>) => policyLines(policy) },
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, operands, directories } = parse(args, OPTIONS, { min: 1, max: 1 })
  const [name = ''] = operands
  const subject = Object.hasOwn(SUBJECTS, name) ? SUBJECTS[name] : undefined
  if (!subject) throw new UsageError(`there is nothing to show by the name ${JSON.stringify(name)}`)
  if (values.last && !subject.last) throw new UsageError(`show ${name} takes no --last`)
  const lines = (values.last && subject.last) || subject.lines
  const query = new URLSearchParams(queryOf(name, subject, values)).toString()
  const answer = await askJson<object>(directories, { path: `/api/v1/${name}${query && `?${query}`}` })
  if (values.json) io.out(JSON.stringify(answer, null, 2))
  else for (const line of lines(answer as never)) io.out(line)
  const limit = Number(values.limit ?? DEFAULT_LIMIT)
  if (subject.filters === FILTERS && lengthOf(answer) === limit)
    io.err(`only ${limit} are shown; choose with --address or --protocol, or raise --limit`)
  return DONE
}

/** Of the one list in an answer. */
function lengthOf(answer: object): number | undefined {
  return Object.values(answer).find(Array.isArray)?.length
}

function queryOf(name: string, { filters }: Subject, values: Partial<Record<Filter, string>>): Query {
  const query: Record<string, string> = {}
  for (const option of Object.keys(FILTERS) as Filter[]) {
    const value = values[option]
    if (value === undefined) continue
    const parameter = filters[option]
    if (!parameter) throw new UsageError(`show ${name} takes no --${option}`)
    query[parameter] = value
  }
  return query
}

function sessionLines({ sessions }: Static<typeof shape.SessionsSchema>): string[] {
  const head = ['proto', 'client', 'server', 'pool', 'server (IPv4)', 'state', 'expires', 'out', 'in']
  return table(
    head,
    sessions.map((s) => [
      s.protocol,
      s.client6,
      s.server6,
      s.pool4,
      s.server4,
      s.state,
      `${Math.round(s.expiresIn)} s`,
      bytes(s.bytesOut),
      bytes(s.bytesIn),
    ]),
  )
}

function bindingLines({ bindings }: Static<typeof shape.BindingsSchema>): string[] {
  const blocks = bindings.some(({ block }) => block !== undefined)
  const rows = bindings.map((b) => [
    ...[b.protocol, b.inside, b.outside, b.static ? 'static' : 'dynamic', b.sessions],
    ...(blocks ? [b.block ?? '-'] : []),
  ])
  return table(['proto', 'inside', 'outside', 'kind', 'sessions', ...(blocks ? ['block'] : [])], rows)
}

function dropLines({ drops }: Static<typeof shape.DropsSchema>): string[] {
  const rows = drops.filter(({ packets }) => packets > 0).map((d) => [d.reason, d.packets, d.sentence, d.rfc])
  return rows.length === 0 ? ['no packet was lost'] : table(['reason', 'packets', 'what it means', 'RFC'], rows)
}

/** Each reason with the last packets it took. */
function lastLines({ drops }: Static<typeof shape.DropsSchema>): string[] {
  const lost = drops.filter(({ packets }) => packets > 0)
  if (lost.length === 0) return ['no packet was lost']
  return lost.flatMap(({ reason, packets, sentence, rfc, last }) => [
    printable(`${reason}, ${packets} packets: ${sentence} (${rfc})`),
    ...last.map((one) => printable(`  ${one.time}  ${packetText(one)}, lost at ${one.step}`)),
  ])
}

function clientLines({ clients }: Static<typeof shape.ClientsSchema>): string[] {
  const rows = clients.map((c) => [c.client, c.packetsOut, bytes(c.bytesOut), c.packetsIn, bytes(c.bytesIn)])
  return table(['client', 'packets out', 'bytes out', 'packets in', 'bytes in'], rows)
}

function tunnelLines({ tunnels, strays }: Static<typeof shape.TunnelsSchema>): string[] {
  if (tunnels.length === 0) return ['no tunnel is configured']
  const head = ['tunnel', 'mode', 'local', 'remote', 'state', 'mtu', 'out', 'in', 'lost', 'backend']
  const rows = tunnels.map((t) => [
    ...[t.name, t.mode, t.local, t.remote ?? '-', t.state, t.mtu],
    ...[bytes(t.bytesOut), bytes(t.bytesIn), t.drops.reduce((sum, { packets }) => sum + packets, 0)],
    `${t.backend}: ${t.why}`,
  ])
  const lost = [...tunnels.map(({ name, drops }) => ({ name, drops })), { name: '-', drops: strays }].flatMap((one) =>
    one.drops.map((d) => [one.name, d.reason, d.packets, d.sentence, d.rfc]),
  )
  return [
    ...table(head, rows),
    ...(lost.length === 0 ? [] : ['', ...table(['tunnel', 'reason', 'packets', 'what it means', 'RFC'], lost)]),
  ]
}
