// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DropCounter, LostPacket, SessionInfo, TracedPacket, TraceFilter } from '../../src/system/dataplane.ts'
import { Bench, type Owner, obstacle } from './dataplane-bench.ts'
import { type Ip, ip, tcp, udp } from './dataplane-packets.ts'

const reason = obstacle()

const OUT: Ip = { source: '2001:db8:1::10', destination: '64:ff9b::192.0.2.80' }
const IN: Ip = { source: '192.0.2.80', destination: '198.51.100.70' }
const DATA = Buffer.alloc(20)

describe.skipIf(reason)(`A data plane that is asked about packets${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  let owner: Owner
  let plane: number

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
    owner = bench.owner()
    plane = await owner.order('open', bench.options())
    bench.route()
  })
  afterAll(async () => {
    await owner?.end()
    bench?.close()
  })

  const row = async (name: string): Promise<DropCounter> => {
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    return rows.find((one) => one.reason === name) as DropCounter
  }
  /** Sends what is lost for this reason, and returns the row when all of it is counted. */
  const lost = async (name: string, ...packets: Buffer[]) => {
    const { packets: before } = await row(name)
    for (const packet of packets) bench.send(packet)
    for (;;) {
      const after = await row(name)
      if (after.packets >= before + packets.length) return after
    }
  }

  describe('about lost ones', () => {
    it('tells their addresses, ports, protocol and length, and how far they came', async () => {
      const { last } = await lost('TCP_NOT_SYN', tcp(OUT, { from: 5003, to: 80 }, 'A', DATA))
      const { time, ...packet } = last.at(-1) as LostPacket
      expect(packet).toEqual({
        direction: '6to4',
        source: '[2001:db8:1::10]:5003',
        destination: '[64:ff9b::c000:250]:80',
        protocol: 'tcp',
        length: 80,
        step: 'session',
      })
      expect(new Date(time).toISOString()).toBe(time)
      expect((await lost('NO_BINDING', udp(IN, { from: 7, to: 1024 }, DATA))).last.at(-1)).toMatchObject({
        direction: '4to6',
        source: '192.0.2.80:7',
        destination: '198.51.100.70:1024',
        protocol: 'udp',
      })
    })

    it('tells what is left of one whose upper layer is unknown', async () => {
      const { last } = await lost('UNKNOWN_PROTOCOL', ip(OUT, 'sctp', DATA))
      await bench.receive()
      expect(last.at(-1)).toMatchObject({ source: OUT.source, destination: '64:ff9b::c000:250', protocol: '132' })
    })

    it('tells the addresses of fragments whose first one never came', async () => {
      const fragment = ip({ ...OUT, fragment: { offset: 800, more: false, id: 7 } }, 'udp', DATA)
      const { last } = await lost('FRAGMENT_TIMEOUT', fragment)
      expect(last.at(-1)).toMatchObject({ source: OUT.source, destination: '64:ff9b::c000:250', step: 'parse' })
    })

    it('keeps the last eight of a reason, in their order, and counts the others', async () => {
      const flood = Array.from({ length: 300 }, (_, n) => tcp(OUT, { from: 6000 + n, to: 80 }, 'A'))
      const { last } = await lost('TCP_NOT_SYN', ...flood)
      expect(last).toHaveLength(8)
      // two threads at once: within a millisecond either may be first
      const times = last.map(({ time }) => time)
      expect(times).toEqual(times.toSorted())
      const ports = new Set(last.map(({ source }) => Number(source.split(':').at(-1))))
      expect(ports.size).toBe(8)
      expect(Math.min(...ports)).toBeGreaterThanOrEqual(6000)
    })
  })

  describe('that it is to follow', () => {
    /** What a trace with this filter sees of the packets, as soon as that is `count`. */
    const followed = async (filter: TraceFilter, count: number, send: () => void): Promise<TracedPacket[]> => {
      const trace: number = await owner.order('call', plane, 'openTrace', filter)
      expect(trace).toBeGreaterThan(0)
      const seen: TracedPacket[] = []
      send()
      while (seen.length < count) seen.push(...(await owner.order('call', plane, 'readTrace', trace)).packets)
      await owner.order('call', plane, 'closeTrace', trace)
      expect(await owner.order('call', plane, 'readTrace', trace)).toBeUndefined()
      return seen
    }

    it('shows one that opens a session, and the answer to it', async () => {
      const [packet] = await followed({ from: OUT.source, to: '192.0.2.80', protocol: 'tcp' }, 1, () =>
        bench.send(tcp(OUT, { from: 7001, to: 80 }, 'S')),
      )
      expect(packet).toMatchObject({
        direction: '6to4',
        source: '[2001:db8:1::10]:7001',
        length: 60,
        session: { state: 'V6_INIT', fresh: true },
        lost: null,
        sent: 1,
        out: { direction: '4to6', destination: '192.0.2.80:80', protocol: 'tcp', length: 40 },
      })
      const [host = '', port] = (packet?.out?.source ?? '').split(':')
      const [answer] = await followed({ to: '2001:db8:1::/64' }, 1, () =>
        bench.send(tcp({ source: IN.source, destination: host }, { from: 80, to: Number(port) }, 'SA')),
      )
      expect(answer).toMatchObject({
        session: { state: 'ESTABLISHED', fresh: false },
        out: { direction: '6to4', destination: '[2001:db8:1::10]:7001' },
      })
    })

    it('shows why one is lost, and that its sender is told', async () => {
      const [packet] = await followed({ to: '198.51.100.70' }, 1, () =>
        bench.send(udp(IN, { from: 7, to: 1025 }, DATA)),
      )
      expect(packet).toMatchObject({
        session: null,
        lost: { reason: 'NO_BINDING', step: 'session', rfc: expect.stringContaining('RFC 6146') },
        answered: true,
        sent: 0,
        out: null,
      })
    })

    it('shows nothing of others', async () => {
      const seen = await followed({ from: '64:ff9b::192.0.2.80', protocol: 'udp' }, 1, () => {
        bench.send(udp(OUT, { from: 7002, to: 9 }, DATA))
        bench.send(tcp({ ...IN }, { from: 7, to: 1026 }, 'A'))
        bench.send(udp({ ...IN, source: '192.0.2.81' }, { from: 7, to: 1027 }, DATA))
        bench.send(udp(IN, { from: 7, to: 1028 }, DATA))
      })
      expect(seen.map(({ destination }) => destination)).toEqual(['198.51.100.70:1028'])
    })

    it('keeps 256 that nobody reads, counts the others, and runs four traces at once', async () => {
      const open = () => owner.order('call', plane, 'openTrace', { from: '192.0.2.82' })
      const traces: number[] = [await open(), await open(), await open(), await open()]
      expect(await open()).toBe(0)
      const flood = Array.from({ length: 300 }, (_, n) =>
        udp({ ...IN, source: '192.0.2.82' }, { from: 7, to: 2048 + n }, DATA),
      )
      await lost('NO_BINDING', ...flood)
      const batch = await owner.order('call', plane, 'readTrace', traces[0])
      expect([batch.packets.length, batch.missed]).toEqual([256, 44])
      expect(await owner.order('call', plane, 'readTrace', traces[0])).toEqual({ packets: [], missed: 0 })
      for (const trace of traces) await owner.order('call', plane, 'closeTrace', trace)
      expect(await open()).toBeGreaterThan(0)
    })
  })

  describe('that are not sent', () => {
    const foresee = (packet: Buffer): Promise<TracedPacket> => owner.order('foresee', plane, packet.toString('hex'))
    const state = async () => ({
      bindings: await owner.order('call', plane, 'bindings'),
      sessions: (await owner.order('call', plane, 'sessions')).map((one: SessionInfo) => [one.server6, one.state]),
      dropped: (await owner.order('call', plane, 'drops')).filter(
        // the kernel's own multicast on the device is not of the test
        (one: DropCounter) => one.reason !== 'NOT_OUR_PREFIX',
      ),
    })

    it('says what would become of them, and leaves nothing behind', async () => {
      const before = await state()
      expect(await foresee(tcp(OUT, { from: 9001, to: 80 }, 'S'))).toMatchObject({
        session: { state: 'V6_INIT', fresh: true },
        binding: true,
        lost: null,
        sent: 1,
        out: { source: expect.stringMatching(/^198\.51\.100\.\d+:0$/), destination: '192.0.2.80:80', length: 40 },
      })
      expect(await foresee(tcp(OUT, { from: 9002, to: 80 }, 'A'))).toMatchObject({
        lost: { reason: 'TCP_NOT_SYN', step: 'session' },
        out: null,
      })
      expect(await foresee(udp(IN, { from: 7, to: 4000 }, DATA))).toMatchObject({
        lost: { reason: 'NO_BINDING' },
        answered: true,
      })
      expect(await foresee(udp({ ...IN, destination: '198.51.100.65' }, { from: 7, to: 2000 }, DATA))).toMatchObject({
        session: { fresh: true },
        binding: false,
        out: { destination: '[2001:db8:1::5]:2000' },
      })
      const fragment = { offset: 0, more: true, id: 9 }
      expect(await foresee(udp({ ...OUT, fragment }, { from: 9003, to: 9 }, DATA))).toMatchObject({ sent: 1 })
      expect(await foresee(ip({ ...OUT, fragment: { ...fragment, offset: 64 } }, 'udp', DATA))).toMatchObject({
        lost: null,
        sent: 0,
      })
      expect(await foresee(Buffer.of(0x45))).toMatchObject({ lost: { reason: 'TRUNCATED' }, source: '' })
      expect(await state()).toEqual(before)
    })

    it('says what the session would make of them that is there', async () => {
      bench.send(udp(OUT, { from: 9010, to: 9 }, DATA))
      for (;;) if ((await foresee(udp(OUT, { from: 9010, to: 9 }, DATA))).session?.fresh === false) break
      const { out } = await foresee(udp(OUT, { from: 9010, to: 9 }, DATA))
      const [host = '', port] = out?.source.split(':') ?? []
      const answer = udp({ source: IN.source, destination: host }, { from: 9, to: Number(port) }, DATA)
      expect(await foresee(answer)).toMatchObject({
        session: { state: 'ESTABLISHED', fresh: false },
        out: { destination: '[2001:db8:1::10]:9010' },
      })
    })
  })
})
