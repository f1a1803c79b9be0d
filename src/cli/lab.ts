// SPDX-License-Identifier: Apache-2.0
/**
 * `sixgate lab [--once]`: client, gateway and server in network namespaces, and the proof that the one reaches
 * the other by name. Stays until it is interrupted, and leaves nothing behind.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Lab, openLab, type Visit, ZONE } from '../../test/lab/topology.ts'
import { GatewayError } from '../errors.ts'
import type { Status } from '../status.ts'
import type { SessionInfo } from '../system/dataplane.ts'
import { bytes, DONE, type Io } from './io.ts'
import { parse } from './options.ts'

const CONFIG = fileURLToPath(new URL('../../config/lab.yaml', import.meta.url))
const TOKEN = 'sixgate-lab'
const NAME = `www.${ZONE}`

const PARTS: Record<string, string> = {
  network: 'namespaces for an IPv6-only client, the gateway and an IPv4-only server',
  server: `a web server and a name server with nothing but A records for ${ZONE}`,
  gateway: 'the gateway, with config/lab.yaml',
}

function painter(terminal: boolean) {
  const paint = (code: number) => (text: string) => (terminal ? `\x1b[${code}m${text}\x1b[0m` : text)
  return { bold: paint(1), dim: paint(2), green: paint(32), red: paint(31) }
}

type Paint = ReturnType<typeof painter>

/** Every lab runs as root: namespaces, links and the TUN device are made. */
function demandRoot(): void {
  if (process.getuid?.() !== 0) throw new GatewayError('NEED_ROOT', { values: { capability: 'CAP_NET_ADMIN' } })
  if (!existsSync('/dev/net/tun')) throw new GatewayError('NO_TUN')
}

interface Proof extends Visit {
  readonly session: SessionInfo
}

async function prove(lab: Lab): Promise<Proof> {
  const visit = await lab.visit(NAME)
  const { body } = await lab.gateway.api('/api/v1/sessions?protocol=tcp')
  const sessions = body.sessions as SessionInfo[]
  const session = sessions.find(({ server4 }) => server4 === '192.0.2.80:80')
  if (!session) throw new Error(`the page came, but not through a session: ${JSON.stringify(body)}`)
  const from = session.pool4.split(':')[0] ?? ''
  if (!visit.page.includes(from)) throw new Error(`the server saw somebody else than ${from}: ${visit.page}`)
  return { ...visit, session }
}

/** Aligned `name  value` lines. */
function report(io: Io, paint: Paint, rows: readonly (readonly [string, string])[]): void {
  const width = Math.max(...rows.map(([name]) => name.length))
  for (const [name, value] of rows) io.out(`  ${paint.dim(name.padEnd(width))}  ${value}`)
}

function describe(io: Io, paint: Paint, lab: Lab, { addresses, page, session }: Proof): void {
  const base = `http://[${lab.management}]:8064`
  io.out('')
  io.out(paint.bold('  An IPv6-only client has fetched a page from an IPv4-only server'))
  report(io, paint, [
    ['name', `${NAME}, A 192.0.2.80, no AAAA`],
    ['DNS64', `AAAA ${addresses.filter((address) => address.includes(':')).join(', ')}`],
    ['client', session.client6],
    ['connects to', session.server6],
    ['gateway', `pool address ${session.pool4} (${session.protocol}, ${session.state})`],
    ['server', session.server4],
    ['page', page],
  ])
  io.out('')
  report(io, paint, [
    ['REST API', base],
    ['try', `curl -H 'Authorization: Bearer ${TOKEN}' ${base}/api/v1/status`],
    ['', `ip netns exec ${lab.client.name} curl http://${NAME}/`],
    ['', `npm run -s sixgate -- show sessions --instance ${lab.gateway.instance}`],
  ])
  io.out('')
}

function statusLine(started: number, { sessions, bindings, ...status }: NonNullable<Status['nat64']>): string {
  const seconds = Math.floor((Date.now() - started) / 1000)
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  const way = (packets: number, size: number) => `${packets} packets, ${bytes(size)}`
  return [
    `up ${time}, Ctrl-C ends`,
    `${sessions} sessions, ${bindings} bindings`,
    `6→4 ${way(status.packets64, status.bytes64)}`,
    `4→6 ${way(status.packets46, status.bytes46)}`,
    `${status.dropped} dropped`,
  ].join(' · ')
}

/** Shows the state once a second until `ended`; the gateway's own end is an error. */
async function stay(io: Io, lab: Lab, ended: Promise<unknown>): Promise<void> {
  const { stdout } = process
  const started = Date.now()
  if (!stdout.isTTY) io.out('  The lab stays up; SIGINT or SIGTERM ends it.')
  let over = false
  const gone = lab.gateway.process?.exited.then(({ code, signal }) => {
    if (!over) throw new Error(`the gateway ended by itself (${code ?? signal})\n${lab.gateway.log}`)
  })
  const finish = Promise.race([ended, gone])
  while (!over) {
    if (stdout.isTTY) {
      const { body } = await lab.gateway.api('/api/v1/status').catch(() => ({ body: undefined }))
      if (body?.nat64) {
        const line = statusLine(started, body.nat64)
        stdout.write(`\r\x1b[K  ${line.slice(0, Math.max(20, (stdout.columns ?? 100) - 3))}`)
      }
    }
    let timer: NodeJS.Timeout | undefined
    const second = new Promise((resolve) => {
      timer = setTimeout(resolve, 1000)
    })
    await Promise.race([second, finish.then(() => (over = true))]).finally(() => clearTimeout(timer))
  }
  if (stdout.isTTY) stdout.write('\r\x1b[K')
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values } = parse(args, { once: { type: 'boolean' } }, { min: 0, max: 0 })
  demandRoot()
  const paint = painter(process.stdout.isTTY === true)
  let interrupt = (_: NodeJS.Signals) => {}
  const interrupted = new Promise<NodeJS.Signals>((resolve) => {
    interrupt = resolve
  })
  // npm passes Ctrl-C on as well, so it comes twice: the second one must not cut the cleaning short
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
  io.out(paint.bold('sixgate lab'))
  const opening = openLab('sixgate-lab', CONFIG, (part) => io.out(`  ${paint.green('✓')} ${PARTS[part]}`))
  const lab = await Promise.race([opening, interrupted.then(() => undefined)])
  if (!lab) {
    await opening.then(({ topology }) => topology.close()).catch(() => {})
    return DONE
  }
  try {
    const proof = await Promise.race([prove(lab), interrupted.then(() => undefined)])
    if (!proof) return DONE
    describe(io, paint, lab, proof)
    if (!values.once) await stay(io, lab, interrupted)
    return DONE
  } catch (error) {
    io.err(`  ${paint.red('✗')} ${(error as Error).message}`)
    io.err(lab.gateway.log)
    throw error
  } finally {
    await lab.topology.close()
    io.out(`  ${paint.green('✓')} nothing left behind`)
  }
}
