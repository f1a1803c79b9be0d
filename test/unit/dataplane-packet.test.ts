// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DataplaneConfig, DropCounter } from '../../src/system/dataplane.ts'
import { Bench, CONFIG, type Owner, obstacle } from './dataplane-bench.ts'
import {
  type Frame,
  frameOf,
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
  udpSegment,
  vnetBytes,
} from './dataplane-packets.ts'

const reason = obstacle()

const CLIENT = '2001:db8:1::10'
const SERVER4 = '192.0.2.80'
const SERVER6 = '64:ff9b::192.0.2.80'
const OUT: Ip = { source: CLIENT, destination: SERVER6 }
/** To the client behind the static binding 198.51.100.65:2000. */
const STATIC: Ip = { source: SERVER4, destination: '198.51.100.65' }
const HOST = '2001:db8:1::5'

const pattern = (length: number) => Buffer.from(Array.from({ length }, (_, index) => (index * 7) & 0xff))

describe.skipIf(reason)(`The packets of a data plane${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  let owner: Owner
  let plane: number
  let port = 10_000

  const configure = (changes: Partial<DataplaneConfig>) =>
    owner.order('call', plane, 'configure', { ...CONFIG, ...changes })
  const drops = async () => {
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    return Object.fromEntries(rows.map(({ reason: name, packets }) => [name, packets]))
  }
  /** Sends what must be lost, and returns the reasons that were counted. */
  const lost = async (...packets: Buffer[]) => {
    const before = await drops()
    for (const packet of packets) bench.send(packet)
    for (;;) {
      const after = await drops()
      // the kernel's own multicast on the device is not of the test
      const grown = Object.keys(after).filter((name) => name !== 'NOT_OUR_PREFIX' && after[name] !== before[name])
      if (grown.length > 0)
        return Object.fromEntries(grown.map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)]))
    }
  }
  /** A UDP session of its own: what left, and a way to answer it. */
  const session = async (data = pattern(20)) => {
    const from = port++
    const out = await bench.exchange(udp(OUT, { from, to: 7 }, data))
    const back: Ip = { source: SERVER4, destination: out.source }
    return { from, out, back }
  }

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
    owner = bench.owner()
    plane = await owner.order('open', bench.options())
    bench.route()
  })
  beforeEach(() => configure({}))
  afterAll(async () => {
    await owner?.end()
    bench?.close()
  })

  describe('of a session', () => {
    it('go out from a pool address, with one hop less and the same payload', async () => {
      const out = await bench.exchange(udp({ ...OUT, hop: 64, tos: 0x28 }, { from: 5000, to: 7 }, pattern(100)))
      expect(out).toMatchObject({ family: 4, destination: SERVER4, to: 7, protocol: 17, hop: 63, tos: 0x28, df: false })
      expect(out.source).toMatch(/^198\.51\.100\.(6[4-9]|7\d)$/)
      expect(out.from).toBeGreaterThan(1023)
      expect(out.upper.subarray(8)).toEqual(pattern(100))
      expect(isSound(out)).toBe(true)
    })

    it('come back to the client, with one hop less', async () => {
      const { from, out, back } = await session()
      const answer = await bench.exchange(udp({ ...back, hop: 50, df: true }, { from: 7, to: out.from }, pattern(33)))
      expect(answer).toMatchObject({ family: 6, hop: 49, from: 7, to: from, protocol: 17 })
      expect([same(answer.source, SERVER6), same(answer.destination, CLIENT)]).toEqual([true, true])
      expect(answer.upper.subarray(8)).toEqual(pattern(33))
      expect(isSound(answer)).toBe(true)
    })

    it('set DF above 1260 bytes only', async () => {
      expect((await session(pattern(1260 - 28))).out.df).toBe(false)
      expect((await session(pattern(1261 - 28))).out.df).toBe(true)
    })

    it('may carry ICMP echo, whose identifier is mapped', async () => {
      const out = await bench.exchange(icmp(OUT, 128, 0, 0x12340001, pattern(56)))
      expect(out).toMatchObject({ family: 4, protocol: 1, destination: SERVER4 })
      expect([...out.upper.subarray(0, 2)]).toEqual([8, 0])
      expect(isSound(out)).toBe(true)
      const identifier = out.upper.readUInt16BE(4)
      const reply: Ip = { source: SERVER4, destination: out.source }
      const back = await bench.exchange(icmp(reply, 0, 0, identifier * 0x10000 + 1, pattern(56)))
      expect(back.upper.readUInt32BE(4)).toBe(0x12340001)
      expect([back.upper[0], isSound(back)]).toEqual([129, true])
    })

    it('zero the traffic class when told to, or carry a TOS of the operator’s', async () => {
      await configure({ copyTrafficClass: false })
      const packet = udp({ ...OUT, tos: 0x28 }, { from: 5000, to: 7 }, pattern(9))
      expect((await bench.exchange(packet)).tos).toBe(0)
      await configure({ copyTrafficClass: false, tos: 0x48 })
      expect((await bench.exchange(packet)).tos).toBe(0x48)
    })

    it('get a UDP checksum when they have none', async () => {
      const packet = udp(STATIC, { from: 7, to: 2000 }, pattern(101))
      packet.writeUInt16BE(0, 26)
      const out = await bench.exchange(packet)
      expect([same(out.destination, HOST), isSound(out)]).toEqual([true, true])
    })
  })

  it('of TCP, from outside and of no session, reach the client of the binding unspoilt', async () => {
    const out = await bench.exchange(tcp(STATIC, { from: 4242, to: 2000 }, 'A', pattern(33)))
    expect([same(out.destination, HOST), isSound(out)]).toEqual([true, true])
  })

  describe('larger than the wire', () => {
    const super6 = (ports: { from: number; to: number }, payload: Buffer) =>
      tcp(OUT, { ...ports, partial: true }, 'A', payload)
    const offload = (start: number, offset: number, gsoType: number, gsoSize: number, hdrLen: number) => ({
      ...{ flags: NEEDS_CSUM, csumStart: start, csumOffset: offset, gsoType, gsoSize, hdrLen },
    })

    it('cross whole from IPv6 to IPv4 over TCP', async () => {
      const from = port++
      await bench.exchange(tcp(OUT, { from, to: 80 }, 'S'))
      const payload = pattern(40_000)
      const out = await bench.exchange(super6({ from, to: 80 }, payload), offload(40, 16, GSO.tcp6, 1420, 60))
      expect(out.vnet).toMatchObject({
        flags: NEEDS_CSUM,
        gsoType: GSO.tcp4,
        gsoSize: 1420,
        csumStart: 20,
        csumOffset: 16,
      })
      expect(out.upper.subarray(20)).toEqual(payload)
      expect([out.df, isSound(out)]).toEqual([true, true])
    })

    it('cross whole from IPv4 to IPv6 over TCP', async () => {
      const from = port++
      const syn = await bench.exchange(tcp(OUT, { from, to: 80 }, 'S'))
      const back: Ip = { source: SERVER4, destination: syn.source, df: true }
      await bench.exchange(tcp(back, { from: 80, to: syn.from }, 'SA'))
      const payload = pattern(40_000)
      const packet = tcp(back, { from: 80, to: syn.from, partial: true }, 'A', payload)
      const out = await bench.exchange(packet, offload(20, 16, GSO.tcp4, 1440, 40))
      expect(out.vnet).toMatchObject({
        flags: NEEDS_CSUM,
        gsoType: GSO.tcp6,
        gsoSize: 1440,
        csumStart: 40,
        csumOffset: 16,
      })
      expect(out.upper.subarray(20)).toEqual(payload)
      expect(isSound(out)).toBe(true)
    })

    it('are one packet a segment to the counters', async () => {
      const from = port++
      await bench.exchange(tcp(OUT, { from, to: 80 }, 'S'))
      await bench.exchange(super6({ from, to: 80 }, pattern(14_200)), offload(40, 16, GSO.tcp6, 1420, 60))
      const sessions = await owner.order('call', plane, 'sessions', { protocol: 'tcp' })
      const mine = sessions.find(({ client6 }: { client6: string }) => client6 === `[${CLIENT}]:${from}`)
      expect(mine).toMatchObject({ packetsOut: 11, bytesOut: 60 + 10 * 60 + 14_200 })
    })

    it('cross whole over UDP when DF is set', async () => {
      const { out: first, back } = await session()
      const packet = udp({ ...back, df: true }, { from: 7, to: first.from, partial: true }, pattern(4200))
      const out = await bench.exchange(packet, offload(20, 6, GSO.udp, 1400, 28))
      expect(out.vnet).toMatchObject({ gsoType: GSO.udp, gsoSize: 1400, csumStart: 40 })
      expect([out.upper.length, isSound(out)]).toEqual([4208, true])
    })

    it('are split and fragmented over UDP when DF is clear', async () => {
      const { out: first, back } = await session()
      const data = pattern(3000)
      const packet = udp(back, { from: 7, to: first.from, partial: true }, data)
      bench.send(packet, offload(20, 6, GSO.udp, 1400, 28))
      const datagrams = new Map<number, Frame[]>()
      for (let n = 0; n < 5; n++) {
        const frame = await bench.receive(({ family }) => family === 6)
        const id = frame.fragment?.id ?? -1
        datagrams.set(id, [...(datagrams.get(id) ?? []), frame])
        expect(frame.bytes.length).toBeLessThanOrEqual(1280)
      }
      const whole = [...datagrams.values()].map((frames) => ({
        frames,
        upper: Buffer.concat(frames.map(({ upper }) => upper)),
      }))
      expect(whole.map(({ frames }) => frames.length)).toEqual([2, 2, 1])
      for (const { frames, upper } of whole) expect(isSound(frames[0] as Frame, upper)).toBe(true)
      expect(Buffer.concat(whole.map(({ upper }) => upper.subarray(8)))).toEqual(data)
    })

    it('are fragmented to the lowest IPv6 MTU when DF is clear', async () => {
      await configure({ lowestIpv6Mtu: 1400 })
      const data = pattern(1452)
      bench.send(udp({ ...STATIC, id: 0xbeef }, { from: 7, to: 2000 }, data))
      const frames = [await bench.receive(), await bench.receive()]
      expect(frames.map(({ fragment }) => fragment)).toEqual([
        { offset: 0, more: true, id: 0xbeef },
        { offset: 1352, more: false, id: 0xbeef },
      ])
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect(isSound(frames[0] as Frame, upper)).toBe(true)
      expect(upper.subarray(8)).toEqual(data)
    })
  })

  describe('in fragments', () => {
    const cut = (header: Ip, upper: Buffer, id: number, protocol: 'udp' | 'icmp' | 'icmp6' = 'udp', step = 1024) =>
      Array.from({ length: Math.ceil(upper.length / step) }, (_, index) => {
        const offset = index * step
        const more = offset + step < upper.length
        return ip({ ...header, fragment: { offset, more, id } }, protocol, upper.subarray(offset, offset + step))
      })
    const collect = async (count: number) => {
      const frames: Frame[] = []
      while (frames.length < count) frames.push(await bench.receive())
      return frames.sort((a, b) => (a.fragment?.offset ?? 0) - (b.fragment?.offset ?? 0))
    }

    it.each([['in order'], ['in reverse']])('go out %s', async (order) => {
      const fragments = cut(OUT, udpSegment(OUT, { from: 5001, to: 7 }, pattern(2500)), 0xabcd1234)
      for (const one of order === 'in order' ? fragments : fragments.reverse()) bench.send(one)
      const frames = await collect(3)
      expect(frames.map(({ fragment, df }) => [fragment?.offset, fragment?.more, fragment?.id, df])).toEqual([
        [0, true, 0x1234, false],
        [1024, true, 0x1234, false],
        [2048, false, 0x1234, false],
      ])
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect([isSound(frames[0] as Frame, upper), upper.subarray(8).equals(pattern(2500))]).toEqual([true, true])
    })

    it.each([['in order'], ['in reverse']])('come in %s', async (order) => {
      const fragments = cut(STATIC, udpSegment(STATIC, { from: 7, to: 2000 }, pattern(2500)), 0x4321)
      for (const one of order === 'in order' ? fragments : fragments.reverse()) bench.send(one)
      const frames = await collect(3)
      expect(frames.map(({ fragment }) => fragment?.id)).toEqual([0x4321, 0x4321, 0x4321])
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect([isSound(frames[0] as Frame, upper), same(frames[2]?.destination ?? '::', HOST)]).toEqual([true, true])
    })

    it.each([['in order'], ['in reverse']])('without a UDP checksum are put together first, %s', async (order) => {
      const whole = udpSegment(STATIC, { from: 7, to: 2000 }, pattern(2500))
      whole.writeUInt16BE(0, 6)
      const fragments = cut(STATIC, whole, order === 'in order' ? 0x11 : 0x12)
      for (const one of order === 'in order' ? fragments : fragments.reverse()) bench.send(one)
      const frames = await collect(3)
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect([isSound(frames[0] as Frame, upper), upper.subarray(8).equals(pattern(2500))]).toEqual([true, true])
    })

    it('of an ICMP echo are put together first', async () => {
      const echo = packetOf(icmp(OUT, 128, 0, 0x00070001, pattern(2500))).upper
      for (const one of cut(OUT, echo, 99, 'icmp6')) bench.send(one)
      const frames = await collect(2)
      const upper = Buffer.concat(frames.map((frame) => frame.upper))
      expect([frames[0]?.df, upper.length, isSound(frames[0] as Frame, upper)]).toEqual([false, 2508, true])
    })

    it('without a first one are lost when their time is up', async () => {
      const [, second] = cut(STATIC, udpSegment(STATIC, { from: 7, to: 2000 }, pattern(1500)), 0x77)
      expect(await lost(second as Buffer)).toEqual({ FRAGMENT_TIMEOUT: 1 })
    })
  })

  describe('that are ICMP errors', () => {
    it('of a router reach the client, with the packet they are about', async () => {
      const { from, out } = await session()
      const about = out.bytes.subarray(0, 28)
      const answer = await bench.exchange(icmp({ source: '203.0.113.9', destination: out.source }, 11, 0, 0, about))
      expect([answer.upper[0], answer.upper[1], answer.protocol, isSound(answer)]).toEqual([3, 0, 58, true])
      expect(same(answer.source, '64:ff9b::203.0.113.9')).toBe(true)
      const inner = packetOf(answer.upper.subarray(8))
      expect([same(inner.source, CLIENT), same(inner.destination, SERVER6), inner.from, inner.to]).toEqual([
        true,
        true,
        from,
        7,
      ])
    })

    it('of the client reach the server, from the address it knows', async () => {
      const { out, back } = await session()
      const reached = await bench.exchange(udp({ ...back, df: true }, { from: 7, to: out.from }, pattern(20)))
      const answer = await bench.exchange(icmp(OUT, 1, 4, 0, reached.bytes))
      expect([answer.upper[0], answer.upper[1], isSound(answer)]).toEqual([3, 3, true])
      expect([answer.source, answer.destination]).toEqual([out.source, SERVER4])
      expect(packetOf(answer.upper.subarray(8))).toMatchObject({
        source: SERVER4,
        destination: out.source,
        from: 7,
        to: out.from,
      })
    })

    it('of another IPv6 router come from the operator’s address', async () => {
      await configure({ icmpSourceV4: ['203.0.113.77'] })
      const { out, back } = await session()
      const reached = await bench.exchange(udp({ ...back, df: true }, { from: 7, to: out.from }, pattern(1000)))
      const router: Ip = { source: '2001:db8:5::1', destination: SERVER6 }
      const answer = await bench.exchange(icmp(router, 2, 0, 1400, reached.bytes))
      expect([answer.upper[0], answer.upper[1], answer.upper.readUInt16BE(6)]).toEqual([3, 4, 1380])
      expect([answer.source, isSound(answer)]).toEqual(['203.0.113.77', true])
    })

    it('tell the client an MTU 20 bytes larger', async () => {
      const { out } = await session()
      const about = out.bytes.subarray(0, 28)
      const answer = await bench.exchange(icmp({ source: '203.0.113.9', destination: out.source }, 3, 4, 1400, about))
      expect([answer.upper[0], answer.upper.readUInt32BE(4)]).toEqual([2, 1420])
    })

    it('about a packet of no session are lost', async () => {
      const about = udp({ source: '198.51.100.70', destination: SERVER4 }, { from: 999, to: 7 }, pattern(8))
      expect(await lost(icmp({ source: '203.0.113.9', destination: '198.51.100.70' }, 11, 0, 0, about))).toEqual({
        ICMP_NO_SESSION: 1,
      })
    })

    it('about an ICMP error are lost', async () => {
      const { out } = await session()
      const inner = icmp({ source: out.source, destination: SERVER4 }, 3, 1, 0, out.bytes)
      expect(await lost(icmp({ source: SERVER4, destination: out.source }, 11, 0, 0, inner))).toEqual({
        ICMP_ERROR_ABOUT_ERROR: 1,
      })
    })
  })

  describe('that cannot go on', () => {
    it('are answered with host unreachable when nothing is bound', async () => {
      const answer = await bench.exchange(
        udp({ ...STATIC, destination: '198.51.100.70' }, { from: 7, to: 999 }, pattern(8)),
      )
      expect([answer.upper[0], answer.upper[1], isSound(answer)]).toEqual([3, 1, true])
      expect([answer.source, answer.destination]).toEqual(['192.0.2.1', SERVER4])
      expect(packetOf(answer.upper.subarray(8))).toMatchObject({ destination: '198.51.100.70', to: 999 })
    })

    it('are answered with prohibited when the filter refuses them', async () => {
      await configure({ filtering: 'address-dependent' })
      const { out } = await session()
      const stranger: Ip = { source: '203.0.113.5', destination: out.source }
      const answer = await bench.exchange(udp(stranger, { from: 7, to: out.from }, pattern(8)))
      expect([answer.upper[0], answer.upper[1], answer.destination]).toEqual([3, 13, '203.0.113.5'])
    })

    it('are answered with address unreachable when no port is left', async () => {
      const pools = [{ addresses: ['198.51.100.79/32'], firstPort: 2000, lastPort: 2001, clients: ['::/0'] }]
      await configure({ pools, static: [] })
      for (const from of [40_000, 40_001]) await bench.exchange(udp(OUT, { from, to: 7 }, pattern(8)))
      const answer = await bench.exchange(udp(OUT, { from: 40_002, to: 7 }, pattern(8)))
      expect([answer.family, answer.upper[0], answer.upper[1], isSound(answer)]).toEqual([6, 1, 3, true])
      expect([same(answer.source, '2001:db8:1::1'), same(answer.destination, CLIENT)]).toEqual([true, true])
    })

    it('are answered with port unreachable when nobody takes up a held SYN', async () => {
      await configure({ filtering: 'address-dependent', timeouts: { ...CONFIG.timeouts, tcpIncomingSyn: 1 } })
      const out = await bench.exchange(tcp(OUT, { from: 5002, to: 80 }, 'S'))
      const stranger: Ip = { source: '203.0.113.6', destination: out.source }
      const answer = await bench.exchange(tcp(stranger, { from: 4000, to: out.from }, 'S'))
      expect([answer.upper[0], answer.upper[1], answer.destination]).toEqual([3, 3, '203.0.113.6'])
      expect(packetOf(answer.upper.subarray(8))).toMatchObject({ from: 4000, to: out.from })
    })

    it('are answered with a parameter problem when a routing header is not used up', async () => {
      const bytes = Buffer.alloc(24)
      bytes.set([0, 2, 0, 1])
      const packet = udp({ ...OUT, extension: { type: 43, bytes } }, { from: 5000, to: 7 }, pattern(8))
      const answer = await bench.exchange(packet)
      expect([answer.upper[0], answer.upper[1], answer.upper.readUInt32BE(4)]).toEqual([4, 0, 43])
    })

    it('are answered with prohibited when their destination may not be translated', async () => {
      const answer = await bench.exchange(
        udp({ ...OUT, destination: '64:ff9b::127.0.0.1' }, { from: 1, to: 2 }, pattern(8)),
      )
      expect([...answer.upper.subarray(0, 2), same(answer.destination, CLIENT), isSound(answer)]).toEqual([
        1,
        1,
        true,
        true,
      ])
      await configure({ allowNonGlobal: false })
      const other = await bench.exchange(udp(OUT, { from: 3, to: 4 }, pattern(8)))
      expect([...other.upper.subarray(0, 2), packetOf(other.upper.subarray(8)).from]).toEqual([1, 1, 3])
      const back = await bench.exchange(udp(STATIC, { from: 7, to: 2000 }, pattern(8)))
      expect([...back.upper.subarray(0, 2), back.destination, isSound(back)]).toEqual([3, 13, STATIC.source, true])
    })

    it('are answered as RFC 6146 says when their protocol is unknown, and not when it is IGMP', async () => {
      const out = await bench.exchange(ip(OUT, 'sctp', pattern(12)))
      expect([...out.upper.subarray(0, 2), isSound(out)]).toEqual([1, 4, true])
      bench.send(ip(STATIC, 'igmp', pattern(12)))
      const back = await bench.exchange(ip(STATIC, 'sctp', pattern(16)))
      expect([...back.upper.subarray(0, 2), packetOf(back.upper.subarray(8)).upper.length, isSound(back)]).toEqual([
        3,
        2,
        16,
        true,
      ])
    })

    it('are answered as often as the operator allows, which is no matter to path MTU discovery', async () => {
      await configure({ icmpErrorRate: 0 })
      const before = (await drops()).RATE_LIMITED ?? 0
      bench.send(udp({ ...STATIC, destination: '198.51.100.70' }, { from: 7, to: 1024 }, pattern(8)))
      bench.send(ip(OUT, 'sctp', pattern(12)))
      const { family, upper } = await bench.exchange(udp(STATIC, { from: 7, to: 2000 }, pattern(8)))
      expect([family, upper.readUInt16BE(2), (await drops()).RATE_LIMITED ?? 0]).toEqual([6, 2000, before])
    })

    it('are counted by name', async () => {
      expect(await lost(ip(OUT, 'sctp', Buffer.alloc(12)))).toEqual({ UNKNOWN_PROTOCOL: 1 })
      await bench.receive()
      expect(await lost(icmp(OUT, 133, 0, 0, pattern(8)))).toEqual({ ICMP_UNTRANSLATABLE: 1 })
      expect(await lost(tcp(OUT, { from: 5003, to: 80 }, 'A'))).toEqual({ TCP_NOT_SYN: 1 })
      expect(await lost(udp({ ...OUT, source: SERVER6 }, { from: 1, to: 2 }, pattern(8)))).toEqual({ HAIRPIN_LOOP: 1 })
      const multicast = { ...OUT, destination: '64:ff9b::224.0.0.1' }
      expect(await lost(udp(multicast, { from: 1, to: 2 }, pattern(8)))).toEqual({ ILLEGAL_DESTINATION: 1 })
      await bench.receive()
      await configure({ allowNonGlobal: false })
      expect(await lost(udp(OUT, { from: 1, to: 2 }, pattern(8)))).toEqual({ NON_GLOBAL_IPV4: 1 })
      await bench.receive()
    })
  })

  describe('from client to client by an outside address', () => {
    const HAIRPIN: Ip = { source: CLIENT, destination: '64:ff9b::198.51.100.65' }

    it('never leave, and cost one hop', async () => {
      const out = await bench.exchange(udp({ ...HAIRPIN, hop: 20 }, { from: 5004, to: 2000 }, pattern(50)))
      expect([out.family, out.hop, out.to, same(out.destination, HOST), isSound(out)]).toEqual([
        6,
        19,
        2000,
        true,
        true,
      ])
      expect(out.source).toMatch(/^0064:ff9b:0000:0000:0000:0000:c633:64/)
    })

    it('bring an ICMP error back to the one it is about', async () => {
      const reached = await bench.exchange(udp(HAIRPIN, { from: 5005, to: 2000 }, pattern(50)))
      const answer = await bench.exchange(icmp({ source: HOST, destination: reached.source }, 1, 4, 0, reached.bytes))
      expect([answer.upper[0], answer.upper[1], same(answer.destination, CLIENT), isSound(answer)]).toEqual([
        1,
        4,
        true,
        true,
      ])
      const inner = packetOf(answer.upper.subarray(8))
      expect([inner.from, inner.to, same(inner.source, CLIENT)]).toEqual([5005, 2000, true])
    })

    it('are refused as if they came from outside', async () => {
      const nowhere = { ...HAIRPIN, destination: '64:ff9b::198.51.100.70' }
      const answer = await bench.exchange(udp(nowhere, { from: 5006, to: 999 }, pattern(50)))
      expect([answer.family, answer.upper[0], answer.upper[1], same(answer.destination, CLIENT)]).toEqual([
        6,
        1,
        0,
        true,
      ])
      expect(packetOf(answer.upper.subarray(8))).toMatchObject({ from: 5006, to: 999 })
    })
  })

  it('reads its own packets as it writes them', () => {
    const packet = udp(OUT, { from: 1, to: 2 }, pattern(5))
    const frame = frameOf(Buffer.concat([vnetBytes({ gsoSize: 7 }), packet]))
    expect(frame).toMatchObject({ from: 1, to: 2, vnet: { gsoSize: 7 } })
    expect(isSound(frame)).toBe(true)
    frame.upper[9] = 0xff
    expect(isSound(frame)).toBe(false)
  })

  // the last: it leaves nothing for the errors of others
  it('are answered no faster than the rate limit', async () => {
    const flood = Array.from({ length: 400 }, (_, n) =>
      udp({ ...STATIC, destination: '198.51.100.70' }, { from: 7, to: 1024 + n }, pattern(8)),
    )
    const before = await drops()
    for (const packet of flood) bench.send(packet)
    let after = before
    while ((after.NO_BINDING ?? 0) - (before.NO_BINDING ?? 0) < 400) after = await drops()
    expect((after.RATE_LIMITED ?? 0) - (before.RATE_LIMITED ?? 0)).toBeGreaterThan(0)
  })

  it('from strangers do not keep a client from hearing that there is no port', async () => {
    await configure({
      pools: [{ addresses: ['198.51.100.79/32'], firstPort: 2000, lastPort: 2001, clients: ['::/0'] }],
      static: [],
    })
    for (const from of [41_000, 41_001]) await bench.exchange(udp(OUT, { from, to: 7 }, pattern(8)))
    const before = await drops()
    for (let n = 0; n < 40; n++) {
      for (let scan = 0; scan < 20; scan++)
        bench.send(udp({ ...STATIC, destination: '198.51.100.79' }, { from: 7, to: 3000 + n * 20 + scan }, pattern(8)))
      bench.send(udp(OUT, { from: 41_100 + n, to: 7 }, pattern(8)))
    }
    for (let n = 0; n < 40; n++) await bench.receive(({ family, upper }) => family === 6 && upper[0] === 1)
    expect((await drops()).RATE_LIMITED ?? 0).toBeGreaterThan(before.RATE_LIMITED ?? 0)
  })
})
