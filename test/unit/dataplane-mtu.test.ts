// SPDX-License-Identifier: Apache-2.0
/* What is too big for a route, and the number its sender is told (RFC 7915 §4.1, §4.2, §5.1, §5.2). */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DataplaneConfig, DataplaneStatus, DropCounter } from '../../src/system/dataplane.ts'
import { until } from '../lab/process.ts'
import { Bench, CONFIG, type Owner, obstacle } from './dataplane-bench.ts'
import {
  type Frame,
  GSO,
  type Ip,
  icmp,
  ip,
  isSound,
  NEEDS_CSUM,
  packetOf,
  same,
  tcp,
  udp,
} from './dataplane-packets.ts'

const reason = obstacle()

const HOST = '2001:db8:1::5'
const SERVER4 = '192.0.2.80'
const SERVER6 = '64:ff9b::192.0.2.80'
/** Of the static binding 198.51.100.65:2000. */
const OUT: Ip = { source: HOST, destination: SERVER6 }
const IN: Ip = { source: SERVER4, destination: '198.51.100.65' }
const OTHER = '2001:db8:1::6'
const PORTS_OUT = { from: 2000, to: 7 }
const PORTS_IN = { from: 7, to: 2000 }

const pattern = (length: number) => Buffer.from(Array.from({ length }, (_, index) => (index * 7) & 0xff))
/** An IPv6 or IPv4 datagram of exactly so many bytes. */
const out = (size: number) => udp(OUT, PORTS_OUT, pattern(size - 48))
const into = (size: number, df: boolean, id = 0) => udp({ ...IN, df, id }, PORTS_IN, pattern(size - 28))

type Answer = 'passes' | { told: number }

describe.skipIf(reason)(`The sizes a data plane knows${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  let owner: Owner
  let plane: number

  const configure = (changes: Partial<DataplaneConfig>) =>
    owner.order('call', plane, 'configure', { ...CONFIG, ...changes })
  const mtus = async (side: 'ipv4' | 'ipv6') => {
    const status: DataplaneStatus = await owner.order('call', plane, 'status')
    return status.mtus.filter((one) => one.side === side)
  }
  const sees = (side: 'ipv4' | 'ipv6', example: string, mtu: number) =>
    until(`${example} carries ${mtu}`, async () =>
      (await mtus(side)).some((one) => one.example === example && one.mtu === mtu),
    )
  /** All routes carry what the link does. */
  const seesLink = (side: 'ipv4' | 'ipv6') =>
    until(`${side} carries 9000`, async () => (await mtus(side)).every(({ mtu }) => mtu === 9000))
  /** Routes to the two hosts, 0 for the link's MTU; returns once the translator knows. */
  const routes = async (mtu6: number, mtu4: number) => {
    const way = (mtu: number) => ['dev', 'wire0', ...(mtu ? ['mtu', 'lock', String(mtu)] : [])]
    bench.inside('-6', 'route', 'replace', `${HOST}/128`, ...way(mtu6))
    bench.inside('-4', 'route', 'replace', `${SERVER4}/32`, ...way(mtu4))
    await (mtu6 ? sees('ipv6', `${HOST}/128`, mtu6) : seesLink('ipv6'))
    await (mtu4 ? sees('ipv4', `${SERVER4}/32`, mtu4) : seesLink('ipv4'))
  }
  const drops = async () => {
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    return rows.find((row) => row.reason === 'TOO_BIG')?.packets ?? 0
  }
  const told = ({ family, upper }: Frame): Answer => {
    if (family === 6 && upper[0] === 2) return { told: upper.readUInt32BE(4) }
    if (family === 4 && upper[0] === 3 && upper[1] === 4) return { told: upper.readUInt16BE(6) }
    return 'passes'
  }

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
    bench.inside('link', 'set', 'wire0', 'mtu', '9000')
    owner = bench.owner()
    plane = await owner.order('open', bench.options())
    bench.route()
  })
  beforeEach(() => configure({}))
  afterAll(async () => {
    await owner?.end()
    bench?.close()
  })

  describe('from IPv6 to IPv4', () => {
    it.each<[mtu6: number, mtu4: number, size: number, answer: Answer]>([
      [0, 0, 9000, 'passes'],
      [0, 1500, 1520, 'passes'],
      [0, 1500, 1521, { told: 1520 }],
      [0, 1400, 1420, 'passes'],
      [0, 1400, 1421, { told: 1420 }],
      // no less than every IPv6 link carries
      [0, 1000, 1281, { told: 1280 }],
      // the way back to the sender is narrower than the one ahead
      [1400, 1500, 1600, { told: 1400 }],
    ])('with routes of %i and %i, 0 for 9000, a packet of %i bytes: %o', async (mtu6, mtu4, size, answer) => {
      await routes(mtu6, mtu4)
      const before = await drops()
      const frame = await bench.exchange(out(size))
      expect([told(frame), isSound(frame)]).toEqual([answer, true])
      if (answer === 'passes') return
      expect([await drops(), same(frame.source, '2001:db8:1::1')]).toEqual([before + 1, true])
      expect(frame.upper.subarray(8, 15)).toEqual(out(size).subarray(0, 7))
    })

    it('what every IPv6 link carries has DF clear and is cut by the kernel', async () => {
      await routes(0, 1000)
      bench.send(out(1280))
      const frames = [await bench.receive(), await bench.receive()]
      expect(frames.map(({ bytes, df }) => [bytes.length, df])).toEqual([
        [996, false],
        [284, false],
      ])
    })

    it('a fragment has DF clear and is cut by the kernel', async () => {
      await routes(0, 1400)
      const fragment = { offset: 0, more: true, id: 77 }
      const whole = packetOf(out(2048)).upper
      bench.send(ip({ ...OUT, fragment }, 'udp', whole.subarray(0, 1600)))
      const frames = [await bench.receive(), await bench.receive()]
      expect(frames.map((one) => [one.df, one.fragment?.more, one.fragment?.offset])).toEqual([
        [false, true, 0],
        [false, true, 1376],
      ])
    })

    it('a super-packet is judged by its segments', async () => {
      await routes(0, 1400)
      const vnet = { flags: NEEDS_CSUM, csumStart: 40, csumOffset: 16, gsoType: GSO.tcp6, hdrLen: 60 }
      const bulk = tcp(OUT, { ...PORTS_OUT, partial: true }, 'A', pattern(14_000))
      const fits = await bench.exchange(bulk, { ...vnet, gsoSize: 1360 })
      expect([told(fits), fits.vnet.gsoSize]).toEqual(['passes', 1360])
      const before = await drops()
      expect(told(await bench.exchange(bulk, { ...vnet, gsoSize: 1361 }))).toEqual({ told: 1420 })
      expect(await drops()).toBe(before + 11)
    })
  })

  describe('from IPv4 to IPv6, with DF', () => {
    it.each<[mtu6: number, mtu4: number, size: number, answer: Answer]>([
      [0, 0, 8980, 'passes'],
      [1500, 0, 1480, 'passes'],
      [1500, 0, 1481, { told: 1480 }],
      [1280, 0, 1260, 'passes'],
      [1280, 0, 1261, { told: 1260 }],
      [1500, 1400, 1490, { told: 1400 }],
    ])('with routes of %i and %i, 0 for 9000, a packet of %i bytes: %o', async (mtu6, mtu4, size, answer) => {
      await routes(mtu6, mtu4)
      const frame = await bench.exchange(into(size, true))
      expect([told(frame), isSound(frame)]).toEqual([answer, true])
      if (answer !== 'passes') expect([frame.source, frame.destination]).toEqual(['192.0.2.1', SERVER4])
    })

    it('a super-packet is judged by its segments', async () => {
      await routes(1400, 0)
      const vnet = { flags: NEEDS_CSUM, csumStart: 20, csumOffset: 16, gsoType: GSO.tcp4, hdrLen: 40 }
      const bulk = tcp({ ...IN, df: true }, { ...PORTS_IN, partial: true }, 'A', pattern(14_000))
      const fits = await bench.exchange(bulk, { ...vnet, gsoSize: 1340 })
      expect([told(fits), fits.vnet.gsoSize]).toEqual(['passes', 1340])
      expect(told(await bench.exchange(bulk, { ...vnet, gsoSize: 1341 }))).toEqual({ told: 1380 })
    })
  })

  describe('from IPv4 to IPv6, with DF clear', () => {
    it.each<[mtu6: number, lowest: number, size: number, sizes: readonly number[]]>([
      [0, 1280, 1260, [1280]],
      [0, 1280, 1261, [1280, 57]],
      [0, 1500, 1480, [1500]],
      [0, 1500, 1481, [1496, 61]],
      // the operator's lowest is more than this route carries
      [1400, 1500, 1380, [1400]],
      [1400, 1500, 1381, [1400, 57]],
      [1280, 9000, 1261, [1280, 57]],
    ])('with a route of %i, 0 for 9000, and %i the lowest, a packet of %i bytes leaves as %o', async (...row) => {
      const [mtu6, lowest, size, sizes] = row
      await routes(mtu6, 0)
      await configure({ lowestIpv6Mtu: lowest })
      bench.send(into(size, false, 4711))
      const frames: Frame[] = []
      while (frames.length < sizes.length) frames.push(await bench.receive())
      expect(frames.map(({ bytes }) => bytes.length)).toEqual(sizes)
      expect(frames.map(({ fragment }) => fragment?.id)).toEqual(sizes.map(() => (sizes.length > 1 ? 4711 : undefined)))
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect([isSound(frames[0] as Frame, upper), upper.subarray(8).equals(pattern(size - 28))]).toEqual([true, true])
    })

    it('segments of a super-packet too big for the route are fragmented one by one', async () => {
      await routes(1400, 0)
      await configure({ lowestIpv6Mtu: 1500 })
      const vnet = { flags: NEEDS_CSUM, csumStart: 20, csumOffset: 6, gsoType: GSO.udp, hdrLen: 28, gsoSize: 1400 }
      bench.send(udp({ ...IN, id: 5 }, { ...PORTS_IN, partial: true }, pattern(2800)), vnet)
      const frames: Frame[] = []
      while (frames.length < 4) frames.push(await bench.receive())
      expect(frames.map(({ bytes, fragment }) => [bytes.length, fragment?.id])).toEqual([
        [1400, 5],
        [104, 5],
        [1400, 6],
        [104, 6],
      ])
    })
  })

  describe('in the errors of others', () => {
    /** What a client is told when an IPv4 router says `mtu`, and what a server is told when an IPv6 router does. */
    it.each<[mtu6: number, mtu4: number, mtu: number, told6: number, told4: number]>([
      [0, 0, 1400, 1420, 1380],
      [1400, 0, 1500, 1400, 1380],
      [0, 1400, 1500, 1420, 1400],
      [1300, 1350, 1450, 1300, 1280],
      [0, 0, 100, 1280, 80],
    ])('routes of %i and %i, 0 for 9000, bound an MTU of %i to %i and %i', async (mtu6, mtu4, mtu, told6, told4) => {
      await routes(0, 0)
      const sent = await bench.exchange(out(1600))
      const reached = await bench.exchange(into(1600, true))
      await routes(mtu6, mtu4)
      const router = { source: '203.0.113.9', destination: '198.51.100.65' }
      expect(told(await bench.exchange(icmp(router, 3, 4, mtu, sent.bytes.subarray(0, 28))))).toEqual({ told: told6 })
      const answer = await bench.exchange(icmp(OUT, 2, 0, mtu, reached.bytes.subarray(0, 1200)))
      expect(told(answer)).toEqual({ told: told4 })
    })
  })

  describe('from client to client', () => {
    it('is the IPv6 route of the one that is reached', async () => {
      await routes(1400, 0)
      const hairpin: Ip = { source: OTHER, destination: '64:ff9b::198.51.100.65' }
      const turned = (size: number) => bench.exchange(udp(hairpin, { from: 5000, to: 2000 }, pattern(size - 48)))
      expect(told(await turned(1400))).toBe('passes')
      const answer = await turned(1401)
      expect([told(answer), same(answer.destination, OTHER), isSound(answer)]).toEqual([{ told: 1400 }, true, true])
    })
  })

  describe('without sessions', () => {
    const MAPPED = '203.0.113.200'
    const stateless6 = { source: HOST, destination: `2001:db8:64::${SERVER4}` }
    const stateless4 = { source: SERVER4, destination: MAPPED, df: true }
    const siit = {
      prefix: '2001:db8:64::/96',
      map: [{ ipv6: `${HOST}/128`, ipv4: `${MAPPED}/32` }],
      amendUdpChecksumZero: false,
    }

    beforeAll(() => {
      bench.inside('-6', 'route', 'replace', siit.prefix, 'dev', 'sixgate0')
      bench.inside('-4', 'route', 'replace', `${MAPPED}/32`, 'dev', 'sixgate0')
    })
    beforeEach(() => configure({ siit }))

    it('are told to both ends', async () => {
      const from6 = (size: number) => bench.exchange(udp(stateless6, PORTS_OUT, pattern(size - 48)))
      const from4 = (size: number) => bench.exchange(udp(stateless4, PORTS_IN, pattern(size - 28)))
      await routes(0, 1400)
      expect([told(await from6(1420)), told(await from6(1421))]).toEqual(['passes', { told: 1420 }])
      await routes(1400, 0)
      expect([told(await from4(1380)), told(await from4(1381))]).toEqual(['passes', { told: 1380 }])
    })

    it('bound the errors of others', async () => {
      await routes(0, 0)
      const sent = await bench.exchange(udp(stateless6, PORTS_OUT, pattern(1500)))
      const reached = await bench.exchange(udp(stateless4, PORTS_IN, pattern(1500)))
      await routes(1300, 1350)
      const router = { source: '203.0.113.9', destination: MAPPED }
      const to6 = await bench.exchange(icmp(router, 3, 4, 1450, sent.bytes.subarray(0, 28)))
      const to4 = await bench.exchange(icmp(stateless6, 2, 0, 1450, reached.bytes.subarray(0, 1200)))
      expect([told(to6), told(to4)]).toEqual([{ told: 1300 }, { told: 1280 }])
      await routes(0, 1350)
      expect(told(await bench.exchange(icmp(router, 3, 4, 1450, sent.bytes.subarray(0, 28))))).toEqual({ told: 1370 })
    })
  })

  describe('that a SYN announces', () => {
    const mss = (frame: Frame) => frame.upper.readUInt16BE(22)
    /** With the option in front of the data: a SYN of 24 bytes. */
    const syn = (header: Ip, ports: { from: number; to: number }) => {
      const upper = packetOf(tcp(header, ports, 'S', Buffer.from([2, 4, 0x22, 0x98]))).upper
      upper[12] = 0x60
      return ip(header, 'tcp', upper)
    }

    it.each([
      [0, 0, 8856],
      [0, 1400, 1360],
      [1400, 1400, 1340],
      [1280, 1500, 1220],
      [0, 100, 216],
    ])('fits routes of %i and %i, 0 for 9000: %i', async (mtu6, mtu4, fits) => {
      await configure({ mssClamp: 'auto' })
      await routes(mtu6, mtu4)
      expect(mss(await bench.exchange(syn(OUT, PORTS_OUT)))).toBe(fits)
      expect(mss(await bench.exchange(syn(IN, PORTS_IN)))).toBe(fits)
    })
  })

  describe('followed while they change', () => {
    it('are those of the link', async () => {
      await routes(0, 0)
      expect(told(await bench.exchange(out(1600)))).toBe('passes')
      bench.inside('link', 'set', 'wire0', 'mtu', '1500')
      await sees('ipv4', '0.0.0.0/0', 1500)
      expect(told(await bench.exchange(out(1600)))).toEqual({ told: 1500 })
      bench.inside('link', 'set', 'wire0', 'mtu', '9000')
      await sees('ipv4', '0.0.0.0/0', 9000)
      expect(told(await bench.exchange(out(1600)))).toBe('passes')
    })

    it('are those of the longest prefix', async () => {
      await routes(0, 1400)
      expect(told(await bench.exchange(out(1600)))).toEqual({ told: 1420 })
      bench.inside('-4', 'route', 'del', `${SERVER4}/32`)
      bench.inside('-4', 'route', 'add', '192.0.2.64/27', 'dev', 'wire0', 'mtu', 'lock', '1300')
      await sees('ipv4', '192.0.2.64/27', 1300)
      expect(told(await bench.exchange(out(1600)))).toEqual({ told: 1320 })
      bench.inside('-4', 'route', 'del', '192.0.2.64/27')
      await seesLink('ipv4')
      expect(told(await bench.exchange(out(1600)))).toBe('passes')
    })

    it('are those of every route, also where there are more sizes than are shown', async () => {
      await routes(0, 0)
      const hosts = Array.from({ length: 100 }, (_, index) => index)
      for (const host of hosts)
        bench.inside('-4', 'route', 'add', `203.0.113.${host}/32`, 'dev', 'wire0', 'mtu', 'lock', `${1300 + host}`)
      await until('as many as are shown', async () => (await mtus('ipv4')).length === 32)
      expect((await mtus('ipv6')).map(({ mtu }) => mtu)).toEqual([9000])
      for (const host of [0, 50, 99]) {
        const packet = udp({ ...OUT, destination: `64:ff9b::203.0.113.${host}` }, PORTS_OUT, pattern(1500))
        expect(told(await bench.exchange(packet))).toEqual({ told: 1320 + host })
      }
      for (const host of hosts) bench.inside('-4', 'route', 'del', `203.0.113.${host}/32`)
      await seesLink('ipv4')
    })

    it('are those of the table that a rule chooses', async () => {
      await routes(0, 0)
      bench.inside('-4', 'route', 'add', 'default', 'dev', 'wire0', 'table', '77', 'mtu', 'lock', '1350')
      bench.inside('-4', 'rule', 'add', 'from', '198.51.100.65', 'table', '77')
      await sees('ipv4', '0.0.0.0/0', 1350)
      expect(told(await bench.exchange(out(1600)))).toEqual({ told: 1370 })
      bench.inside('-4', 'rule', 'del', 'from', '198.51.100.65')
      bench.inside('-4', 'route', 'flush', 'table', '77')
      await seesLink('ipv4')
      expect(told(await bench.exchange(out(1600)))).toBe('passes')
    })
  })
})
