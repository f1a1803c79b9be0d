// SPDX-License-Identifier: Apache-2.0
/*
 * wire0 ── kernel routing ── sixgate0 ── translator
 *   siit 2001:db8:100::/40, 2001:db8:1:0:1::/120 ↔ 203.0.113.0/24, beside the NAT64 of dataplane-bench.ts
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DataplaneConfig, DropCounter, TracedPacket } from '../../src/system/dataplane.ts'
import { Bench, CONFIG, type Owner, obstacle } from './dataplane-bench.ts'
import {
  checksum,
  type Frame,
  type Ip,
  icmp,
  ip,
  isSound,
  packetOf,
  plain,
  same,
  tcp,
  udp,
  udpSegment,
} from './dataplane-packets.ts'

const reason = obstacle()

const HOST6 = '2001:db8:1:0:1::5'
const HOST4 = '203.0.113.5'
const PEER4 = '192.0.2.80'
const PEER6 = '2001:db8:1c0:2:50::'
const IN: Ip = { source: PEER4, destination: HOST4 }
const OUT: Ip = { source: HOST6, destination: PEER6 }
const SIIT = {
  prefix: '2001:db8:100::/40',
  map: [{ ipv6: '2001:db8:1:0:1::/120', ipv4: '203.0.113.0/24' }],
  amendUdpChecksumZero: false,
}
const data = Buffer.from('stateless translation')

/** Without a checksum. */
const bare = () => {
  const packet = udp(IN, { from: 5000, to: 7 }, data)
  packet.writeUInt16BE(0, 26)
  return packet
}

describe.skipIf(reason)(`Packets without a session${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  let owner: Owner
  let plane: number

  const configure = (changes: Partial<DataplaneConfig>) =>
    owner.order('call', plane, 'configure', { ...CONFIG, siit: SIIT, icmpSourceV4: ['198.51.100.1'], ...changes })
  const drops = async () => {
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    return Object.fromEntries(rows.map(({ reason: name, packets }) => [name, packets]))
  }
  const exchange = (packet: Buffer) => bench.exchange(packet)
  const foresee = (packet: Buffer): Promise<TracedPacket> => owner.order('foresee', plane, packet.toString('hex'))
  const lost = async (packet: Buffer) => {
    const before = await drops()
    bench.send(packet)
    for (;;) {
      const after = await drops()
      const grown = Object.keys(after).filter((name) => name !== 'NOT_OUR_PREFIX' && after[name] !== before[name])
      if (grown.length > 0) return grown
    }
  }

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
    owner = bench.owner()
    plane = await owner.order('open', bench.options())
    bench.route()
    bench.inside('-6', 'route', 'replace', '2001:db8:100::/40', 'dev', 'sixgate0')
    bench.inside('-4', 'route', 'replace', '203.0.113.0/24', 'dev', 'sixgate0')
  })
  beforeEach(() => configure({}))
  afterAll(async () => {
    await owner?.end()
    bench?.close()
  })

  it('keep their ports, both ways, and cost one hop', async () => {
    const inward = await exchange(udp({ ...IN, hop: 64, tos: 0x28 }, { from: 5000, to: 7 }, data))
    expect(inward).toMatchObject({ family: 6, hop: 63, tos: 0x28, from: 5000, to: 7 })
    expect([same(inward.source, PEER6), same(inward.destination, HOST6), isSound(inward)]).toEqual([true, true, true])
    const outward = await exchange(tcp({ ...OUT, hop: 9 }, { from: 7, to: 5000 }, 'A', data))
    expect(outward).toMatchObject({ family: 4, hop: 8, source: HOST4, destination: PEER4, from: 7, to: 5000 })
    expect(isSound(outward)).toBe(true)
    expect(await owner.order('call', plane, 'sessions')).toEqual([])
  })

  it('go under a prefix of any of the six lengths', async () => {
    const forms = {
      '2001:db8::/32': '2001:db8:c000:250::',
      '2001:db8:100::/40': PEER6,
      '2001:db8:122::/48': '2001:db8:122:c000:2:5000::',
      '2001:db8:122:300::/56': '2001:db8:122:3c0:0:250::',
      '2001:db8:122:344::/64': '2001:db8:122:344:c0:2:5000::',
      '2001:db8:122:344::/96': '2001:db8:122:344::192.0.2.80',
    }
    for (const [prefix, form] of Object.entries(forms)) {
      await configure({ siit: { ...SIIT, prefix } })
      const out = await exchange(udp(IN, { from: 5000, to: 7 }, data))
      expect([prefix, same(out.source, form)]).toEqual([prefix, true])
    }
  })

  it('are not for the translator where a more specific route goes elsewhere (RFC 7915 sections 4.6 and 5.6)', async () => {
    const outward = { source: HOST6, destination: '2001:db8:1c0:2:63::' }
    const inward = { source: PEER4, destination: '203.0.113.99' }
    expect((await exchange(udp(outward, { from: 1, to: 2 }, data))).destination).toBe('192.0.2.99')
    expect((await exchange(udp(inward, { from: 1, to: 2 }, data))).family).toBe(6)
    bench.inside('-6', 'route', 'add', `${outward.destination}/80`, 'dev', 'wire0')
    bench.inside('-4', 'route', 'add', `${inward.destination}/32`, 'dev', 'wire0')
    // the kernel may tell the sender of a better way first
    for (const header of [outward, inward]) {
      bench.send(udp(header, { from: 1, to: 2 }, data))
      await bench.receive(({ destination, to }) => same(destination, header.destination) && to === 2)
    }
    bench.inside('-6', 'route', 'del', `${outward.destination}/80`)
    bench.inside('-4', 'route', 'del', `${inward.destination}/32`)
  })

  it('of at most 1280 bytes are fragmented where an IPv4 link takes less', async () => {
    bench.inside('-4', 'route', 'add', '192.0.2.96/28', 'dev', 'wire0', 'mtu', 'lock', '600')
    const bytes = Buffer.alloc(1232, 9)
    bench.send(udp({ source: HOST6, destination: '2001:db8:1c0:2:64::' }, { from: 1, to: 2 }, bytes))
    const sizes: number[] = []
    while (sizes.reduce((sum, size) => sum + size, 0) < bytes.length + 8)
      sizes.push((await bench.receive(({ destination }) => destination === '192.0.2.100')).upper.length)
    expect(sizes.toSorted((a, b) => b - a)).toEqual([576, 576, 88])
    bench.inside('-4', 'route', 'del', '192.0.2.96/28')
  })

  it('without a Fragment header get an identification that those before them had not', async () => {
    const ids: number[] = []
    for (let n = 0; n < 8; n++) ids.push((await exchange(udp(OUT, { from: 5103, to: 7 }, data))).id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('of one flow leave in the order in which they came, both ways', async () => {
    const way = async (header: Ip, from: number) => {
      const numbers = Array.from({ length: 256 }, (_, n) => n)
      for (const n of numbers) bench.send(udp(header, { from, to: 7 }, Buffer.of(n)))
      const seen: (number | undefined)[] = []
      while (seen.length < numbers.length) seen.push((await bench.receive(({ to }) => to === 7)).upper[8])
      expect(seen).toEqual(numbers)
    }
    await way(OUT, 5101)
    await way(IN, 5102)
  })

  it('of another protocol pass unchanged', async () => {
    const out = await exchange(patched(ip(IN, 'udp', udpSegment(IN, { from: 1, to: 2 }, data)), 132))
    expect(out).toMatchObject({ family: 6, protocol: 132 })
    expect(out.upper.subarray(8)).toEqual(data)
  })

  it('leave alone what only NAT64 translates', async () => {
    const out = await exchange(udp({ source: HOST6, destination: '64:ff9b::192.0.2.80' }, { from: 1, to: 7 }, data))
    expect(out.source).toMatch(/^198\.51\.100\.(6[4-9]|7\d)$/)
    const back = await exchange(udp({ source: PEER4, destination: out.source }, { from: 7, to: out.from }, data))
    expect([same(back.source, '64:ff9b::192.0.2.80'), same(back.destination, HOST6)]).toEqual([true, true])
  })

  it('without a UDP checksum are lost, or get one when told to', async () => {
    expect(await lost(bare())).toEqual(['UDP_CHECKSUM_ZERO'])
    const answer = await bench.receive()
    expect([...answer.upper.subarray(0, 2), answer.destination, isSound(answer)]).toEqual([3, 13, PEER4, true])
    await configure({ siit: { ...SIIT, amendUdpChecksumZero: true } })
    expect(isSound(await exchange(bare()))).toBe(true)
  })

  it('without a UDP checksum are known by addresses and ports, first fragments too (RFC 7915 section 4.5)', async () => {
    await configure({ siit: { ...SIIT, amendUdpChecksumZero: true } })
    const segment = udpSegment(IN, { from: 5003, to: 9 }, Buffer.alloc(64, 7))
    segment.writeUInt16BE(0, 6)
    const first = ip({ ...IN, fragment: { offset: 0, more: true, id: 78 } }, 'udp', segment.subarray(0, 40))
    expect(await lost(first)).toEqual(['UDP_CHECKSUM_ZERO'])
    await bench.receive()
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    const row = rows.find((one) => one.reason === 'UDP_CHECKSUM_ZERO')
    expect(row?.last.at(-1)).toMatchObject({ source: `${PEER4}:5003`, destination: `${HOST4}:9`, protocol: 'udp' })
  })

  it('in fragments pass one by one, whatever comes first; those of ICMP are lost', async () => {
    const whole = udpSegment(IN, { from: 5000, to: 7 }, Buffer.alloc(64, 7))
    const last = { ...IN, fragment: { offset: 40, more: false, id: 77 } }
    const out = await exchange(ip(last, 'udp', whole.subarray(40)))
    expect(out).toMatchObject({ family: 6, protocol: 17, fragment: { offset: 40, more: false, id: 77 } })
    const echo = icmp({ ...IN }, 8, 0, 1, Buffer.alloc(64)).subarray(20)
    expect(await lost(ip(last, 'icmp', echo.subarray(40)))).toEqual(['ICMP_FRAGMENT'])
  })

  it('that are errors have the packet inside translated, and a router without a mapping a source', async () => {
    const about = udp({ source: PEER6, destination: HOST6 }, { from: 5000, to: 7 }, data)
    const router = { source: '2001:db8:1::99', destination: PEER6 }
    const out = await exchange(icmp(router, 1, 4, 0, about))
    expect(out).toMatchObject({ family: 4, source: '198.51.100.1', destination: PEER4, protocol: 1 })
    expect([...out.upper.subarray(0, 2), isSound(out)]).toEqual([3, 3, true])
    expect(packetOf(out.upper.subarray(8))).toMatchObject({ source: PEER4, destination: HOST4, from: 5000, to: 7 })
    const foreign = udp({ source: PEER6, destination: '2001:db8:1::10' }, { from: 1, to: 2 }, data)
    expect(await lost(icmp(router, 1, 4, 0, foreign))).toEqual(['ICMP_INNER_ADDRESS'])
  })

  it('that are errors are translated though their source is illegal, which loses others', async () => {
    const about = udp({ source: HOST4, destination: PEER4 }, { from: 7, to: 5000 }, data)
    const out = await exchange(icmp({ source: '169.254.0.9', destination: HOST4 }, 11, 0, 0, about))
    expect([same(out.source, '2001:db8:1a9:fe00:9::'), same(out.destination, HOST6), isSound(out)]).toEqual([
      true,
      true,
      true,
    ])
    const illegal = [udp({ ...IN, source: '169.254.0.9' }, { from: 1, to: 2 }, data)]
    for (const source of ['::1', '::ffff:192.0.2.9', 'ff02::1', 'fe80::1'])
      illegal.push(udp({ source, destination: '64:ff9b::192.0.2.80' }, { from: 1, to: 2 }, data))
    for (const packet of illegal)
      expect(await foresee(packet)).toMatchObject({ lost: { reason: 'ILLEGAL_SOURCE' }, answered: false })
  })

  it('that are errors tell the IPv6 address of a router without a mapping, unless told not to', async () => {
    const about = udp({ source: PEER6, destination: HOST6 }, { from: 5000, to: 7 }, data)
    const router = icmp({ source: '2001:db8:1::99', destination: PEER6 }, 3, 0, 0, about)
    const { upper, ...told } = await exchange(router)
    expect([upper[0], (upper[5] ?? 0) * 4, upper.length, isSound({ ...told, upper } as Frame)]).toEqual([
      11,
      128,
      8 + 128 + 28,
      true,
    ])
    const extension = upper.subarray(8 + 128)
    expect(checksum(extension)).toBe(0)
    expect(extension.subarray(4).toString('hex')).toBe(`001802040002000020010db8000100000000000000000099`)
    const host = icmp({ source: HOST6, destination: PEER6 }, 3, 0, 0, about)
    expect((await exchange(host)).upper.length).toBe(8 + 20 + 8 + data.length)
    await configure({ icmpOrigin: false })
    expect((await exchange(router)).upper.length).toBe(8 + 20 + 8 + data.length)
  })

  it('that are errors come from the pool for those without a mapping, each router from one address of it', async () => {
    const icmpSourceV4 = ['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.4']
    await configure({ icmpSourceV4 })
    const about = udp({ source: PEER6, destination: HOST6 }, { from: 5000, to: 7 }, data)
    const sourceOf = async (router: number) => {
      const packet = icmp({ source: `2001:db8:1::${router.toString(16)}`, destination: PEER6 }, 3, 0, 0, about)
      return (await exchange(packet)).source
    }
    const seen: string[] = []
    for (let router = 0x90; router < 0xa0; router++) seen.push(await sourceOf(router))
    expect(icmpSourceV4).toEqual(expect.arrayContaining(seen))
    expect(new Set(seen).size).toBeGreaterThan(1)
    for (let router = 0x90; router < 0xa0; router++) expect(await sourceOf(router)).toBe(seen[router - 0x90])
  })

  it('between mapped hosts turn inside, seen under the prefix (RFC 7757 section 4)', async () => {
    const out = await exchange(
      udp({ source: HOST6, destination: '2001:db8:1cb:71:6::', hop: 64 }, { from: 1, to: 2 }, data),
    )
    expect(out).toMatchObject({ family: 6, hop: 63, from: 1, to: 2 })
    expect([same(out.source, '2001:db8:1cb:71:5::'), same(out.destination, '2001:db8:1:0:1::6')]).toEqual([true, true])
    expect(isSound(out)).toBe(true)
  })

  it('between a client of NAT64 and a mapped host turn inside, there and back', async () => {
    const client = '2001:db8:1::10'
    const there = await exchange(
      udp({ source: client, destination: '64:ff9b::203.0.113.5', hop: 64 }, { from: 1, to: 7 }, data),
    )
    expect([there.hop, same(there.destination, HOST6), isSound(there)]).toEqual([63, true, true])
    const reply = { source: HOST6, destination: there.source, hop: 64 }
    const back = await exchange(udp(reply, { from: 7, to: there.from }, data))
    expect(back).toMatchObject({ family: 6, hop: 63, from: 7, to: 1 })
    expect([same(back.source, '64:ff9b::203.0.113.5'), same(back.destination, client)]).toEqual([true, true])
  })

  // RFC 7757 appendix B: figure 1 is the table, the prefix is 64:ff9b::/96
  describe('by the example of RFC 7757', () => {
    const EXAMPLE = {
      prefix: '64:ff9b::/96',
      map: [
        { ipv4: '192.0.2.1/32', ipv6: '2001:db8:aaaa::/128' },
        { ipv4: '192.0.2.2/32', ipv6: '2001:db8:bbbb::b/128' },
        { ipv4: '192.0.2.16/28', ipv6: '2001:db8:cccc::/124' },
        { ipv4: '192.0.2.128/26', ipv6: '2001:db8:dddd::/64' },
        { ipv4: '192.0.2.192/29', ipv6: '2001:db8:eeee:8::/62' },
        { ipv4: '192.0.2.224/31', ipv6: '64:ff9b::/127' },
      ],
      amendUdpChecksumZero: false,
    }
    const A = '2001:db8:aaaa::'
    const B = '2001:db8:bbbb::b'
    const [A_BY_PREFIX, B_BY_PREFIX] = ['64:ff9b::192.0.2.1', '64:ff9b::192.0.2.2']
    /** Outer and inner addresses of an error. */
    const errorOf = ({ source, destination, upper }: Frame) => {
      const inner = packetOf(upper.subarray(8))
      return [source, destination, inner.source, inner.destination].map(plain)
    }
    const inside = [A_BY_PREFIX, B].map(plain)

    beforeEach(() => configure({ prefixes: ['2001:db8:64::/96'], siit: EXAMPLE }))

    it.each([
      ['192.0.2.1', A],
      ['192.0.2.2', B],
      ['192.0.2.16', '2001:db8:cccc::'],
      ['192.0.2.24', '2001:db8:cccc::8'],
      ['192.0.2.31', '2001:db8:cccc::f'],
      ['192.0.2.128', '2001:db8:dddd::'],
      ['192.0.2.152', '2001:db8:dddd:0:6000::'],
      ['192.0.2.183', '2001:db8:dddd:0:dc00::'],
      ['192.0.2.191', '2001:db8:dddd:0:fc00::'],
      ['192.0.2.195', '2001:db8:eeee:9:8000::'],
      ['192.0.2.225', '64:ff9b::1'],
      ['192.0.2.248', '64:ff9b::c000:2f8'],
    ])('have %s for %s', async (four, six) => {
      const inward = await foresee(udp({ source: '203.0.113.80', destination: four }, { from: 5, to: 7 }, data))
      expect(inward.out?.destination).toBe(`[${six}]:7`)
      const outward = await foresee(
        udp({ source: six, destination: '64:ff9b::203.0.113.80' }, { from: 7, to: 5 }, data),
      )
      expect(outward.out?.source).toBe(`${four}:7`)
    })

    it('turn inside when a mapped host is called by the prefix', async () => {
      const there = await exchange(udp({ source: A, destination: B_BY_PREFIX }, { from: 1, to: 2 }, data))
      expect([there.source, there.destination].map(plain)).toEqual(inside)
      const back = await exchange(udp({ source: B, destination: A_BY_PREFIX }, { from: 2, to: 1 }, data))
      expect([back.source, back.destination].map(plain)).toEqual([B_BY_PREFIX, A].map(plain))
    })

    const about = udp({ source: A_BY_PREFIX, destination: B }, { from: 1, to: 2 }, data)
    const known = [A, A, B_BY_PREFIX]

    it('turn inside as errors of a router, about what their receiver sent', async () => {
      const error = await exchange(icmp({ source: '2001:db8::1234', destination: A_BY_PREFIX }, 1, 3, 0, about))
      expect(errorOf(error)).toEqual(['64:ff9b::198.51.100.1', ...known].map(plain))
      expect(isSound(error)).toBe(true)
    })

    it('turn inside as errors of the host that was called, from the address it was called by', async () => {
      const error = await exchange(icmp({ source: B, destination: A_BY_PREFIX }, 1, 4, 0, about))
      expect(errorOf(error)).toEqual([B_BY_PREFIX, ...known].map(plain))
      expect(isSound(error)).toBe(true)
    })

    it('that find nobody behind a pool address after they turned are told so', async () => {
      const nobody = '64:ff9b::198.51.100.70'
      const error = await exchange(udp({ source: A, destination: nobody }, { from: 1, to: 2 }, data))
      expect(errorOf(error)).toEqual([nobody, A, A, nobody].map(plain))
      expect([...error.upper.subarray(0, 2), isSound(error)]).toEqual([1, 0, true])
    })

    it('do not turn when the mapped address itself was called', async () => {
      const packet = udp({ source: '64:ff9b::203.0.113.80', destination: '2001:db8:cccc::8' }, { from: 5, to: 7 }, data)
      expect((await foresee(packet)).out).toMatchObject({ source: '203.0.113.80:5', destination: '192.0.2.24:7' })
    })
  })

  it('are followed by a trace in both directions and around a hairpin, and need no session', async () => {
    const trace: number = await owner.order('call', plane, 'openTrace', { from: HOST4 })
    const read = async (count: number) => {
      const seen: TracedPacket[] = []
      while (seen.length < count) seen.push(...(await owner.order('call', plane, 'readTrace', trace)).packets)
      return seen
    }
    try {
      await exchange(udp(OUT, { from: 7, to: 5000 }, data))
      await exchange(udp({ ...OUT, destination: '2001:db8:1cb:71:6::' }, { from: 7, to: 5001 }, data))
      await exchange(udp(IN, { from: 5000, to: 7 }, data))
      await lost(udp({ ...OUT, destination: '2001:db8:17f:0:1::' }, { from: 7, to: 5002 }, data))
      await bench.receive()
      const way = { session: null, stateless: true }
      expect(await read(3)).toEqual([
        expect.objectContaining({
          ...way,
          source: `[${HOST6}]:7`,
          lost: null,
          out: expect.objectContaining({ source: `${HOST4}:7`, destination: `${PEER4}:5000` }),
        }),
        expect.objectContaining({
          ...way,
          lost: null,
          out: expect.objectContaining({
            source: '[2001:db8:1cb:71:5::]:7',
            destination: '[2001:db8:1:0:1::6]:5001',
          }),
        }),
        expect.objectContaining({
          ...way,
          lost: expect.objectContaining({ reason: 'ILLEGAL_DESTINATION', step: 'policy' }),
          out: null,
        }),
      ])
    } finally {
      await owner.order('call', plane, 'closeTrace', trace)
    }
  })

  it('are foreseen without being sent, in both directions and around a hairpin', async () => {
    const foresee = (packet: Buffer): Promise<TracedPacket> => owner.order('foresee', plane, packet.toString('hex'))
    const counters = async () => (await owner.order('call', plane, 'status')).siit
    const before = await counters()
    const way = { session: null, stateless: true, lost: null, sent: 1, binding: false }
    expect(await foresee(udp(IN, { from: 5000, to: 7 }, data))).toMatchObject({
      ...way,
      out: { direction: '6to4', source: '[2001:db8:1c0:2:50::]:5000', destination: `[${HOST6}]:7` },
    })
    expect(await foresee(tcp(OUT, { from: 7, to: 5000 }, 'A', data))).toMatchObject({
      ...way,
      out: { direction: '4to6', source: `${HOST4}:7`, destination: `${PEER4}:5000`, protocol: 'tcp' },
    })
    expect(await foresee(udp({ ...OUT, destination: '2001:db8:1cb:71:6::' }, { from: 7, to: 9 }, data))).toMatchObject({
      ...way,
      out: { direction: '6to4', destination: '[2001:db8:1:0:1::6]:9' },
    })
    expect(await foresee(bare())).toMatchObject({ stateless: true, lost: { reason: 'UDP_CHECKSUM_ZERO' }, sent: 0 })
    expect(await counters()).toEqual(before)
  })

  it('are counted apart from those with a session, and so are the lost ones', async () => {
    const status = () => owner.order('call', plane, 'status')
    const before = await status()
    await exchange(udp(IN, { from: 5000, to: 7 }, data))
    await exchange(udp(OUT, { from: 7, to: 5000 }, data))
    await exchange(udp(OUT, { from: 7, to: 5001 }, data))
    await lost(bare())
    await bench.receive()
    await exchange(udp({ source: HOST6, destination: '64:ff9b::192.0.2.80' }, { from: 1, to: 7 }, data))
    const after = await status()
    const grown = (of: (one: typeof after) => number) => of(after) - of(before)
    expect([grown((one) => one.siit.packets46), grown((one) => one.siit.bytes46)]).toEqual([1, 28 + data.length])
    expect([grown((one) => one.siit.packets64), grown((one) => one.packets64), grown((one) => one.packets46)]).toEqual([
      2, 1, 0,
    ])
    expect(grown((one) => one.siit.dropped)).toBe(1)
  })

  it('may not be sent in the name of a pool', async () => {
    const forged = { source: '2001:db8:1c6:3364:41::', destination: PEER6 }
    expect(await lost(udp(forged, { from: 1, to: 2 }, data))).toEqual(['ILLEGAL_SOURCE'])
  })
})

/** With another protocol in the IPv4 header, whose checksum follows. */
function patched(packet: Buffer, protocol: number): Buffer {
  const difference = protocol - (packet[9] ?? 0)
  packet[9] = protocol
  let sum = (~packet.readUInt16BE(10) & 0xffff) + difference
  sum = (sum & 0xffff) + (sum >> 16)
  packet.writeUInt16BE(~sum & 0xffff, 10)
  return packet
}
