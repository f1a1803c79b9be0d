// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Collector, type CollectorOptions } from '../../src/binding-log/collector.ts'
import { IpfixSession, type Message, TEMPLATES } from '../../src/binding-log/ipfix.ts'
import { tcp, udp } from '../../src/binding-log/transport.ts'
import { ManualClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { parseEndpoint } from '../../src/net/address.ts'
import { EVENTS, type Event, record } from './binding-log-records.ts'
import { IpfixReader, type ReadMessage } from './ipfix-reader.ts'

const NOW = Date.parse('2026-02-03T04:05:07Z')
const TIME = 'Feb  3, 2026 04:05:06.007000000 UTC'
const IDS = [256, 257, 258, 259, 260, 261, 262, 263]

const recordsOf = (events: readonly Event[]) => Buffer.concat(events.map(record))
/** Bindings that are told apart by their number. */
const numbered = (from: number, count: number): Event[] =>
  Array.from({ length: count }, (_, index) => ({
    ...{ event: 10, protocol: 17, inside: '[2001:db8::1]:1' },
    outside: `10.${((from + index) >> 16) & 255}.${((from + index) >> 8) & 255}.${(from + index) & 255}:1`,
  }))
const numbersOf = (messages: readonly ReadMessage[]) =>
  messages.flatMap(({ flows }) => flows.map((flow) => Number(flow[225]) & 0xffffff))

function lacksTshark(): boolean {
  try {
    execFileSync('which', ['tshark', 'text2pcap'])
    return false
  } catch {
    return true
  }
}

interface Dissected {
  readonly sequence: number
  readonly domain: number
  readonly flows: readonly unknown[]
}

/** What Wireshark's dissector, which has its own tables of the information elements, reads. */
function dissect(messages: readonly Message[], addresses: readonly string[], ports: 'udp' | 'tcp'): Dissected[] {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-ipfix-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const line = (bytes: Buffer, at: number) =>
    `${at.toString(16).padStart(6, '0')} ${bytes.toString('hex').replace(/../g, '$& ')}`
  const dump = messages.map(({ bytes }) =>
    Array.from({ length: Math.ceil(bytes.length / 16) }, (_, index) =>
      line(bytes.subarray(16 * index, 16 * index + 16), 16 * index),
    ).join('\n'),
  )
  writeFileSync(join(directory, 'dump'), `${dump.join('\n')}\n`)
  const capture = join(directory, 'capture')
  execFileSync(
    'text2pcap',
    ['-q', ...addresses, ports === 'udp' ? '-u' : '-T', '4000,4739', join(directory, 'dump'), capture],
    { stdio: 'pipe' },
  )
  const args = ['-r', capture, '-d', `${ports}.port==4739,cflow`, '-T', 'json', '--no-duplicate-keys', '-J', 'cflow']
  const frames = JSON.parse(execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  return frames.map(
    ({
      _source: {
        layers: { cflow },
      },
    }: any) => {
      const sets = Object.entries<any>(cflow).filter(([name]) => name.startsWith('Set '))
      const flows = sets.flatMap(([, set]) => Object.entries(set).filter(([name]) => name.startsWith('Flow ')))
      const { 'cflow.sequence': sequence, 'cflow.od_id': domain } = cflow
      return { sequence: Number(sequence), domain: Number(domain), flows: flows.map(([, flow]) => flow) }
    },
  )
}

describe.skipIf(lacksTshark())(`Wireshark${lacksTshark() ? ' SKIP: tshark is not installed' : ''}`, () => {
  const flow = (event: number, facts: Record<string, unknown>) => ({
    'cflow.observation_time_milliseconds': TIME,
    'cflow.nat_event': String(event),
    ...facts,
  })
  const binding = (protocol: string, [source, port]: [string, string], [nat, natPort]: [string, string]) => ({
    ...{ 'cflow.protocol': protocol, 'cflow.srcaddrv6': source, 'cflow.srcport': port },
    ...{ 'cflow.post_natsource_ipv4_address': nat, 'cflow.post_naptsource_transport_port': natPort },
  })
  const remote = (address: string, port: string) => ({
    'cflow.post_natdestination_ipv4_address': address,
    'cflow.post_naptdestination_transport_port': port,
  })
  const client = '2001:db8:1::10'
  const block = (source: string, length: string) => ({
    ...{ 'cflow.srcaddrv6': source, 'cflow.srcmaskv6': length, 'cflow.post_natsource_ipv4_address': '198.51.100.64' },
    ...{ 'cflow.port_range_start': '1024', 'cflow.port_range_end': '1151' },
  })
  const FLOWS = [
    flow(10, binding('6', [client, '40000'], ['198.51.100.64', '50000'])),
    flow(11, binding('17', ['2001:db8:1::11', '53'], ['198.51.100.65', '1053'])),
    flow(6, { ...binding('1', [client, '7'], ['198.51.100.64', '8']), ...remote('192.0.2.80', '0') }),
    flow(7, { ...binding('6', [client, '40000'], ['198.51.100.64', '50000']), ...remote('192.0.2.80', '443') }),
    flow(16, block('2001:db8:1::', '64')),
    flow(17, block(client, '128')),
    flow(3, { 'cflow.nat_pool_id': '1' }),
    flow(12, { 'cflow.protocol': '6', 'cflow.post_natsource_ipv4_address': '198.51.100.64' }),
    flow(13, { 'cflow.nat_quota_exceeded_event': '1', 'cflow.max_session_entries': '1048576' }),
    flow(13, { 'cflow.nat_quota_exceeded_event': '3', 'cflow.max_entries_per_user': '40', 'cflow.srcaddrv6': client }),
  ]

  it.each([
    ['udp', ['-6', '2001:db8::1,2001:db8::2']],
    ['tcp', ['-4', '192.0.2.1,192.0.2.2']],
  ] as const)('reads every event of RFC 8158 from %s, and the losses of RFC 7011 4.3', (ports, addresses) => {
    const session = new IpfixSession(7)
    const messages = [
      session.templates(NOW),
      ...session.messages(recordsOf(EVENTS), EVENTS.length, 200, NOW),
      session.reliability(
        { records: 5, first: Date.parse(EVENTS[1]?.since ?? ''), last: Date.parse(EVENTS[1]?.since ?? '') },
        NOW,
      ),
    ]
    const read = dissect(messages, addresses, ports)
    const lost = { 'cflow.flow_exporter': String(process.pid), 'cflow.notsent_flows': '5' }
    expect(read.flatMap(({ flows }) => flows)).toEqual([
      ...FLOWS,
      { ...lost, 'cflow.observation_time_milliseconds': [TIME, TIME] },
    ])
    expect(read.map(({ domain }) => domain)).toEqual(messages.map(() => 7))
    expect(read.map(({ sequence }) => sequence)).toEqual([0, 0, 4, 10])
  })
})

describe('IPFIX messages', () => {
  it('are no larger than they may be, hold every event in its order, and count what came before', () => {
    for (const limit of [100, 464, 1232, 16_384]) {
      const session = new IpfixSession(1)
      const reader = new IpfixReader()
      reader.message(session.templates(NOW).bytes)
      const events = Array.from({ length: 997 }, (_, index) => EVENTS[(index * index) % EVENTS.length] as Event)
      const messages = session.messages(recordsOf(events), events.length, limit, NOW)
      const read = messages.map(({ bytes }) => reader.message(bytes))
      expect(read.flatMap(({ flows }) => flows.map((flow) => flow[230]))).toEqual(events.map(({ event }) => event))
      let before = 0
      for (const [index, { sequence, length, flows }] of read.entries()) {
        expect(length).toBeLessThanOrEqual(limit)
        expect(sequence).toBe(before)
        expect(messages[index]?.events).toBe(flows.length)
        before += flows.length
      }
    }
  })

  it('fit the smallest packet with any event in them', () => {
    const session = new IpfixSession(1)
    // 512 octets less IPv6 and UDP (RFC 7011 section 10.3.3)
    expect(session.templates(NOW).bytes.length).toBeLessThanOrEqual(512 - 48)
    expect(Math.max(...TEMPLATES.map(({ size }) => size))).toBeLessThanOrEqual(512 - 48 - 20)
  })
})

function collector(options: Pick<CollectorOptions, 'transport' | 'reliable'>) {
  const clock = new ManualClock(NOW)
  const target = new Collector({ name: 'it', domain: 3, refresh: 60_000, clock, log: silentLog, ...options })
  onTestFinished(() => target.close())
  return { clock, target, write: (events: Event[]) => target.write(recordsOf(events), events.length) }
}

/** A UDP collector. */
async function listenUdp(port = 0) {
  const socket = createSocket('udp6')
  const reader = new IpfixReader()
  const messages: ReadMessage[] = []
  socket.on('message', (bytes) => messages.push(reader.message(bytes)))
  await new Promise<void>((resolve) => void socket.bind(port, '::1', resolve))
  let open = true
  const close = () => {
    if (open) socket.close()
    open = false
  }
  onTestFinished(close)
  return { endpoint: parseEndpoint(`[::1]:${socket.address().port}`), messages, close }
}

describe('a collector over UDP', () => {
  it('gets the templates twice before the first event, and again at each refresh', async () => {
    const { endpoint, messages } = await listenUdp()
    const { clock, target, write } = collector({ transport: udp(endpoint, 1280), reliable: false })
    write(numbered(0, 100))
    await expect.poll(() => numbersOf(messages)).toHaveLength(100)
    expect(messages.slice(0, 2).map(({ templates }) => templates)).toEqual([IDS, IDS])
    for (const { length, domain } of messages) {
      expect(length).toBeLessThanOrEqual(1280 - 48)
      expect(domain).toBe(3)
    }
    messages.length = 0
    clock.advance(60_000)
    await expect.poll(() => messages.map(({ templates }) => templates)).toEqual([IDS])
    target.missed(9)
    clock.advance(60_000)
    await expect.poll(() => messages.length).toBe(3)
    expect(messages[2]?.flows).toEqual([{ 144: process.pid, 166: 9, 323: expect.any(Number) }])
    expect(target.stats()).toEqual({ target: 'it', format: 'ipfix', written: 100, lost: 0, error: '' })
  })

  it('that goes away is noticed; events wait until it is back, and the templates are first again', async () => {
    const gone = await listenUdp()
    const { clock, target, write } = collector({ transport: udp(gone.endpoint, 1280), reliable: false })
    gone.close()
    let count = 0
    await expect
      .poll(() => {
        write(numbered(count++, 1))
        return target.stats()
      })
      .toMatchObject({ error: expect.stringContaining('ECONNREFUSED') })
    const { written, lost } = target.stats()
    write(numbered(count, 5))
    const { messages } = await listenUdp(gone.endpoint.port)
    await expect
      .poll(() => {
        clock.advance(500)
        return numbersOf(messages)
      })
      .toEqual(Array.from({ length: count + 5 - written - lost }, (_, index) => written + lost + index))
    expect(messages[0]).toMatchObject({ templates: IDS, sequence: 0 })
    clock.advance(10_000)
    write(numbered(0, 1))
    await expect.poll(() => target.stats().error).toBe('')
  })
})

/** A TCP collector that can be closed and opened again on its port. */
async function listenTcp(port = 0) {
  const sessions: ReadMessage[][] = []
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    const reader = new IpfixReader()
    const messages: ReadMessage[] = []
    sessions.push(messages)
    sockets.push(socket)
    socket.on('data', (bytes) => messages.push(...reader.stream(bytes)))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(close)
  const { port: bound } = server.address() as AddressInfo
  return { endpoint: parseEndpoint(`127.0.0.1:${bound}`), sessions, sockets, close }
}

describe('a collector over TCP', () => {
  it('gets what waited while it was away, the templates first in each connection', async () => {
    const gone = await listenTcp()
    gone.close()
    const { clock, target, write } = collector({ transport: tcp(gone.endpoint), reliable: true })
    write(numbered(0, 10))
    await expect.poll(() => target.stats().error).toMatch(/ECONNREFUSED/)
    write(numbered(10, 10))
    const { sessions, sockets } = await listenTcp(gone.endpoint.port)
    clock.advance(500)
    await expect.poll(() => numbersOf(sessions[0] ?? [])).toHaveLength(20)
    sockets[0]?.destroy()
    await expect.poll(() => target.stats().error).toBe('the collector closed the connection')
    write(numbered(20, 5))
    clock.advance(500)
    await expect.poll(() => numbersOf(sessions[1] ?? [])).toHaveLength(5)
    for (const [first] of sessions) expect(first).toMatchObject({ sequence: 0, templates: IDS, flows: [] })
    expect(sessions.map((messages) => messages[1]?.sequence)).toEqual([0, 0])
    expect(sessions.flatMap(numbersOf)).toEqual(Array.from({ length: 25 }, (_, index) => index))
    expect(target.stats()).toMatchObject({ written: 25, lost: 0 })
  })

  it('waits longer from attempt to attempt, half a minute at most', async () => {
    const attempts: number[] = []
    const clock = new ManualClock(NOW)
    const refusing: CollectorOptions['transport'] = ({ down }) => {
      attempts.push(clock.now() - NOW)
      queueMicrotask(() => down(new Error('refused')))
      return { destroy: () => {} }
    }
    const options = { name: 'it', domain: 3, refresh: 60_000, reliable: true, clock, log: silentLog }
    const target = new Collector({ ...options, transport: refusing })
    onTestFinished(() => target.close())
    for (let second = 0; second < 400; second++) {
      await Promise.resolve()
      clock.advance(500)
    }
    const pauses = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0))
    expect(pauses.slice(0, 8)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  })

  it('loses what is more than 65,536 events, and is told how many', async () => {
    const gone = await listenTcp()
    gone.close()
    const { clock, target, write } = collector({ transport: tcp(gone.endpoint), reliable: true })
    for (let from = 0; from < 70_000; from += 10_000) write(numbered(from, 10_000))
    expect(target.stats().lost).toBe(70_000 - 65_536)
    await expect.poll(() => target.stats().error).not.toBe('')
    const { sessions } = await listenTcp(gone.endpoint.port)
    clock.advance(500)
    await expect.poll(() => numbersOf(sessions[0] ?? []), { timeout: 10_000 }).toHaveLength(65_536)
    clock.advance(60_000)
    await expect.poll(() => sessions[0]?.at(-1)?.flows[0]?.[166]).toBe(70_000 - 65_536)
    expect(sessions[0]?.at(-1)?.sequence).toBe(65_536)
  })

  it('has all that waited when the log is closed', async () => {
    const { endpoint, sessions } = await listenTcp()
    const { target, write } = collector({ transport: tcp(endpoint), reliable: true })
    await expect.poll(() => sessions[0]?.length).toBe(1)
    for (let from = 0; from < 40_000; from += 4000) write(numbered(from, 4000))
    await target.close()
    await expect.poll(() => numbersOf(sessions[0] ?? [])).toHaveLength(40_000)
    expect(target.stats()).toMatchObject({ written: 40_000, lost: 0 })
  })
})
