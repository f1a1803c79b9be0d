// SPDX-License-Identifier: Apache-2.0
/** `sixgate resolve NAME [TYPE] [@SERVER]`: asks a name server and prints what it says. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { domainToASCII } from 'node:url'
import { Packet, type Resource } from 'dns2'
import { formatName, parseName } from '../dns64/name.ts'
import { RCODE_NAMES, TYPE, UDP_PAYLOAD } from '../dns64/wire.ts'
import { GatewayError } from '../errors.ts'
import { type Address, Endpoint, parseAddress, parseEndpoint } from '../net/address.ts'
import { DONE, type Io, printable, REFUSED, table, UsageError } from './io.ts'
import { parse } from './options.ts'

/** Tries over UDP, and how long each waits for its answer. */
const TRIES = 3
const TIMEOUT = 2000
/** Extended DNS error of RFC 8914 section 4.30. */
const EDE_SYNTHESISED = 29

interface Question {
  readonly name: string
  readonly type: number
  readonly server: Endpoint
}

/** What `--json` prints. */
export interface Resolution {
  readonly server: string
  readonly transport: 'udp' | 'tcp'
  readonly name: string
  readonly type: string
  readonly rcode: string
  /** The server made the addresses from IPv4 ones, and said so. */
  readonly synthesised: boolean
  readonly answers: readonly {
    readonly name: string
    readonly ttl: number
    readonly type: string
    readonly data: string
  }[]
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, operands } = parse(args, {}, { min: 1, max: 3 })
  const question = readQuestion(operands)
  const { bytes, transport } = await ask(question)
  const resolution = describe(question, bytes, transport)
  if (values.json) io.out(JSON.stringify(resolution, null, 2))
  else print(resolution, io)
  return resolution.rcode === 'NOERROR' && resolution.answers.length > 0 ? DONE : REFUSED
}

/** The operands in any order after the name: a type, a server with `@`. An address is asked for its name. */
function readQuestion(operands: readonly string[]): Question {
  const servers = operands.filter((operand) => operand.startsWith('@'))
  const [text, typeName, surplus] = operands.filter((operand) => !operand.startsWith('@'))
  if (text === undefined) throw new UsageError('NAME is missing')
  if (surplus !== undefined || servers.length > 1) {
    throw new UsageError(`unexpected operand ${JSON.stringify(surplus ?? servers[1])}`)
  }
  const address = addressOf(text)
  const name = address ? reverseName(address) : domainToASCII(text) || text
  if (!parseName(name)) throw new UsageError(`${JSON.stringify(text)} is not a domain name`)
  const type = readType(typeName ?? (address ? 'PTR' : 'AAAA'))
  return { name, type, server: servers[0] ? readServer(servers[0].slice(1)) : systemServer() }
}

function addressOf(text: string): Address | undefined {
  try {
    return parseAddress(text)
  } catch {
    return undefined
  }
}

function reverseName(address: Address): string {
  if (address.family === 4) return `${[...address.toBytes()].reverse().join('.')}.in-addr.arpa`
  return `${[...Buffer.from(address.toBytes()).toString('hex')].reverse().join('.')}.ip6.arpa`
}

/** A name from the table, or TYPE64 as RFC 3597 section 5 writes it. */
function readType(text: string): number {
  const known = (TYPE as Readonly<Record<string, number>>)[text.toUpperCase()]
  const number = known ?? Number(/^TYPE(\d{1,5})$/i.exec(text)?.[1] ?? Number.NaN)
  if (!(number > 0 && number < 65536) || number === TYPE.OPT) {
    throw new UsageError(
      `${JSON.stringify(text)} is not a record type; write ${Object.keys(TYPE).join(', ')} or TYPE64`,
    )
  }
  return number
}

/** `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`. */
function readServer(text: string): Endpoint {
  const address = addressOf(text.replace(/^\[([^\]]*)\]$/, '$1'))
  if (address) return new Endpoint(address, 53)
  try {
    return parseEndpoint(text)
  } catch (error) {
    if (error instanceof GatewayError) throw new UsageError(error.faults[0]?.message ?? error.message)
    throw error
  }
}

/** The first name server of the host. */
function systemServer(): Endpoint {
  let text = ''
  try {
    text = readFileSync('/etc/resolv.conf', 'utf8')
  } catch {
    // The remedy below is the same for a file that is not there.
  }
  for (const [, server] of text.matchAll(/^nameserver\s+(\S+)/gm)) {
    const address = addressOf(server!)
    if (address) return new Endpoint(address, 53)
  }
  throw new UsageError('/etc/resolv.conf names no server; give @SERVER')
}

async function ask(question: Question): Promise<{ bytes: Buffer; transport: 'udp' | 'tcp' }> {
  const query = buildQuery(question)
  for (let tries = 0; tries < TRIES; tries++) {
    const bytes = await askUdp(query, question.server)
    if (bytes && !(bytes.readUInt16BE(2) & 0x200)) return { bytes, transport: 'udp' }
    if (bytes) return { bytes: await askTcp(query, question.server), transport: 'tcp' }
  }
  throw new Error(`${question.server} does not answer`)
}

function buildQuery({ name, type }: Question): Buffer {
  const packet = new Packet()
  packet.header = new Packet.Header({ id: randomInt(65536), rd: 1 })
  packet.questions.push(new Packet.Question(name, type, Packet.CLASS.IN))
  packet.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: UDP_PAYLOAD }) as Resource)
  return packet.toBuffer()
}

/** Undefined when nothing came in time. */
function askUdp(query: Buffer, { address, port }: Endpoint): Promise<Buffer | undefined> {
  const socket = createSocket(address.family === 6 ? 'udp6' : 'udp4')
  return new Promise<Buffer | undefined>((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), TIMEOUT)
    socket.on('message', (bytes) => {
      if (bytes.length < 12 || !bytes.subarray(0, 2).equals(query.subarray(0, 2)) || !(bytes[2]! & 0x80)) return
      clearTimeout(timer)
      resolve(bytes)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(new Error(unreachable(new Endpoint(address, port), error)))
    })
    // Connected, so that only this server is heard, and "port unreachable" is heard at once.
    socket.connect(port, String(address), () => socket.send(query))
  }).finally(() => socket.close())
}

function askTcp(query: Buffer, server: Endpoint): Promise<Buffer> {
  const socket = connect({ host: String(server.address), port: server.port })
  return new Promise<Buffer>((resolve, reject) => {
    let received = Buffer.alloc(0)
    socket.setTimeout(TIMEOUT * TRIES, () => reject(new Error(`${server} does not answer over TCP`)))
    socket.on('connect', () =>
      socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query])),
    )
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
        resolve(received.subarray(2, received.readUInt16BE(0) + 2))
      }
    })
    socket.on('error', (error: NodeJS.ErrnoException) => reject(new Error(unreachable(server, error))))
    socket.on('close', () => reject(new Error(`${server} closed the connection`)))
  }).finally(() => socket.destroy())
}

function unreachable(server: Endpoint, { code, message }: NodeJS.ErrnoException): string {
  return code === 'ECONNREFUSED' ? `nothing answers on ${server}` : `${server} cannot be asked: ${message}`
}

function describe(question: Question, bytes: Buffer, transport: 'udp' | 'tcp'): Resolution {
  const packet = Packet.parse(bytes)
  const broken = packet.errors[0]
  if (broken) throw new Error(`${question.server} answers with a broken message: ${broken.message}`)
  const options = packet.additionals.flatMap(({ rdata }) => rdata ?? []) as { infoCode?: number }[]
  return {
    server: String(question.server),
    transport,
    name: formatName(parseName(question.name)!),
    type: typeName(question.type),
    rcode: RCODE_NAMES[packet.header.rcode] ?? `RCODE${packet.header.rcode}`,
    synthesised: options.some(({ infoCode }) => infoCode === EDE_SYNTHESISED),
    answers: packet.answers.map((record) => ({
      name: `${record.name}.`,
      ttl: record.ttl,
      type: typeName(record.type),
      data: dataText(record),
    })),
  }
}

function typeName(number: number): string {
  return Object.entries(TYPE).find(([, value]) => value === number)?.[0] ?? `TYPE${number}`
}

/** The record's data as a zone file has it; what dns2 does not read, as RFC 3597 section 5 has it. */
function dataText(record: Resource): string {
  const dot = (name: string | undefined) => `${name ?? ''}.`
  switch (record.type) {
    case TYPE.A:
    case TYPE.AAAA:
      return String(parseAddress(record.address ?? ''))
    case TYPE.NS:
      return dot(record.ns)
    case TYPE.CNAME:
    case TYPE.PTR:
      return dot(record.domain)
    case TYPE.MX:
      return `${record.priority} ${dot(record.exchange)}`
    case TYPE.TXT:
      return [record.data]
        .flat()
        .map((text) => JSON.stringify(String(text)))
        .join(' ')
    case TYPE.SRV:
      return `${record.priority} ${record.weight} ${record.port} ${dot(record.target)}`
    case TYPE.SOA: {
      const { primary, admin, serial, refresh, retry, expiration, minimum } = record
      return [dot(primary), dot(admin), serial, refresh, retry, expiration, minimum].join(' ')
    }
    default:
      return rawText(record.data)
  }
}

function rawText(data: unknown): string {
  return Buffer.isBuffer(data) ? `\\# ${data.length} ${data.toString('hex')}`.trimEnd() : JSON.stringify(data ?? '')
}

function print({ server, transport, name, type, rcode, synthesised, answers }: Resolution, io: Io): void {
  if (answers.length > 0) {
    const rows = answers.map((answer) => [answer.name, answer.ttl, answer.type, answer.data])
    for (const line of table(['name', 'ttl', 'type', 'data'], rows)) io.out(line)
  }
  const made = synthesised ? ', synthesised from IPv4' : ''
  const over = transport === 'tcp' ? ' over TCP' : ''
  if (rcode === 'NOERROR' && answers.length > 0) io.out(`${server}${over}: ${rcode}${made}`)
  else io.err(printable(`sixgate: ${server}${over} has no ${type} for ${name}: ${reason(rcode)}`))
}

function reason(rcode: string): string {
  const sentences: Readonly<Record<string, string>> = {
    NOERROR: 'the name has no records of this type',
    NXDOMAIN: 'the name does not exist (NXDOMAIN)',
    REFUSED: 'this client may not ask (REFUSED)',
    SERVFAIL: 'the server could not find out (SERVFAIL)',
  }
  return sentences[rcode] ?? rcode
}
