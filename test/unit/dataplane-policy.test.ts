// SPDX-License-Identifier: Apache-2.0
/*
 * wire0 ── kernel routing ── sixgate0 ── translator with a policy
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { validateConfig } from '../../src/config/load.ts'
import { policyNodes } from '../../src/policy.ts'
import type { DataplaneConfig, DropCounter, PolicyCounter, TracedPacket } from '../../src/system/dataplane.ts'
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
  tcp,
  udp,
  udpSegment,
} from './dataplane-packets.ts'

const reason = obstacle()

const CLIENT = '2001:db8:1::5'
const SERVER = '192.0.2.80'
const SERVER6 = '64:ff9b::c000:250'
const OUT: Ip = { source: CLIENT, destination: SERVER6 }

const SIIT = {
  prefix: '2001:db8:100::/40',
  map: [{ ipv6: '2001:db8:1:0:1::/120', ipv4: '203.0.113.0/24' }],
  amendUdpChecksumZero: false,
}
const HOST6 = '2001:db8:1:0:1::5'
const HOST4 = '203.0.113.5'
const PEER6 = '2001:db8:1c0:2:50::'

/** As an operator writes it. */
const nodes = (policy: readonly object[]) => policyNodes(validateConfig({ version: 1, policy }))

describe.skipIf(reason)(`The policy${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  let owner: Owner
  let plane: number
  /** Another for each test, which also tells its packets from those of others. */
  let port = 20_000

  const configure = (policy: readonly object[], changes: Partial<DataplaneConfig> = {}) =>
    owner.order('call', plane, 'configure', {
      ...CONFIG,
      siit: SIIT,
      icmpSourceV4: ['198.51.100.1'],
      icmpSourceV6: ['2001:db8:1::1'],
      ...changes,
      policy: nodes(policy),
    })
  const counters = (): Promise<PolicyCounter[]> => owner.order('call', plane, 'policy')
  const drops = async () => {
    const rows: DropCounter[] = await owner.order('call', plane, 'drops')
    return Object.fromEntries(rows.map(({ reason: name, packets }) => [name, packets]))
  }
  const foresee = (packet: Buffer): Promise<TracedPacket> => owner.order('foresee', plane, packet.toString('hex'))
  const sessions = async () => (await owner.order('call', plane, 'sessions')).length
  /** The reason that takes the packet, and what its sender hears. */
  const refused = async (packet: Buffer) => {
    const before = await drops()
    bench.send(packet)
    for (;;) {
      const after = await drops()
      const grown = Object.keys(after).filter((name) => name !== 'NOT_OUR_PREFIX' && after[name] !== before[name])
      if (grown.length > 0) return grown
    }
  }
  const isError = ({ protocol, upper }: Frame) =>
    (protocol === 58 && (upper[0] ?? 0) < 128) || (protocol === 1 && upper[0] === 3)
  /** What becomes of the packet, whatever is still said of those that were refused. */
  const exchange = (packet: Buffer) => {
    bench.send(packet)
    return bench.receive((frame) => !isError(frame) && frame.bytes.includes(String(port)))
  }
  /** The ICMP error of this type and code about a packet of this test. */
  const hear = (typeAndCode: string) =>
    bench.receive((frame) => {
      const { bytes, upper } = frame
      return isError(frame) && bytes.includes(String(port)) && upper.toString('hex', 0, 2) === typeAndCode
    })
  /** 120 bytes as an IPv6 datagram. */
  const data = () => Buffer.alloc(72, String(port))
  const out = (to = 9, header = OUT) => udp(header, { from: port, to }, data())

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
    owner = bench.owner()
    plane = await owner.order('open', bench.options())
    bench.route()
    bench.inside('-6', 'route', 'replace', '2001:db8:1c0::/44', 'dev', 'sixgate0')
    bench.inside('-4', 'route', 'replace', '203.0.113.0/24', 'dev', 'sixgate0')
  })
  beforeEach(async () => {
    port++
    await configure([])
  })
  afterAll(async () => {
    await owner?.end()
    bench?.close()
  })

  it('denies a client before it costs a session, and says so', async () => {
    const before = await sessions()
    await configure([{ clients: ['2001:db8:1::/64'], verdict: 'deny' }])
    bench.send(out())
    expect(isSound(await hear('0101'))).toBe(true)
    expect(await sessions()).toBe(before)
    expect(await counters()).toMatchObject([{ packets: 1, bytes: 120, droppedPackets: 1, droppedBytes: 120 }])
  })

  it('lets the first verdict decide', async () => {
    await configure([
      { to: ['192.0.2.80'], protocol: 'udp', ports: '9', verdict: 'allow' },
      { to: ['192.0.2.0/24'], verdict: 'deny' },
      { verdict: 'allow' },
    ])
    expect((await exchange(out(9))).destination).toBe(SERVER)
    expect(await refused(out(10))).toEqual(['POLICY_DENY'])
    expect(await refused(tcp(OUT, { from: port, to: 9 }, 'S'))).toEqual(['POLICY_DENY'])
    expect((await exchange(out(9, { ...OUT, destination: '64:ff9b::c000:301' }))).destination).toBe('192.0.3.1')
    expect((await counters()).map(({ packets, droppedPackets }) => [packets, droppedPackets])).toEqual([
      [1, 0],
      [2, 2],
      [1, 0],
    ])
  })

  it('judges both directions by the same client and the same server', async () => {
    const { source, from } = await exchange(out())
    const back = () => udp({ source: SERVER, destination: source }, { from: 9, to: from }, data())
    expect((await exchange(back())).to).toBe(port)
    await configure([{ clients: [CLIENT], to: [SERVER], protocol: 'udp', ports: '9', verdict: 'deny' }])
    bench.send(back())
    await hear('030d')
    expect(await refused(out())).toEqual(['POLICY_DENY'])
    await configure([
      { clients: ['2001:db8:1::6'], verdict: 'deny' },
      { to: ['64:ff9b::/96'], verdict: 'allow' },
    ])
    expect((await exchange(back())).to).toBe(port)
    expect((await counters()).map(({ packets }) => packets)).toEqual([0, 1])
  })

  it('keeps IPv4 hosts that speak first out before they cost a session', async () => {
    const before = await sessions()
    const inward = (from: number) => udp({ source: SERVER, destination: '198.51.100.65' }, { from, to: 2000 }, data())
    await configure([{ clients: [CLIENT], to: [SERVER], ports: '7000-7009', protocol: 'udp', verdict: 'deny' }])
    expect(await refused(inward(7005))).toEqual(['POLICY_DENY'])
    expect(await sessions()).toBe(before)
    expect((await exchange(inward(7010))).destination).toBeTruthy()
    expect(await sessions()).toBe(before + 1)
  })

  it('tells ICMP echo from the rest, and judges an error as what it is about', async () => {
    await configure([{ protocol: 'icmp', verdict: 'deny' }])
    expect(await refused(icmp(OUT, 128, 0, 0x12340001, data()))).toEqual(['POLICY_DENY'])
    const sent = await exchange(out())
    const about = icmp({ source: '192.0.2.66', destination: sent.source }, 3, 1, 0, sent.bytes)
    bench.send(about)
    await hear('0100')
    await configure([{ protocol: 'udp', verdict: 'deny' }])
    expect(await refused(about)).toEqual(['POLICY_DENY'])
  })

  it('judges what needs no session, both ways', async () => {
    const outward = udp({ source: HOST6, destination: PEER6 }, { from: 7, to: 5000 }, data())
    const inward = udp({ source: SERVER, destination: HOST4 }, { from: 5000, to: 7 }, data())
    await configure([{ clients: ['2001:db8:1:0:1::/80'], protocol: 'udp', ports: '5000', verdict: 'deny' }])
    expect(await refused(outward)).toEqual(['POLICY_DENY'])
    expect(await refused(inward)).toEqual(['POLICY_DENY'])
    const { siit } = await owner.order('call', plane, 'status')
    expect(siit.dropped).toBe(2)
    await configure([{ to: ['192.0.2.0/24'], verdict: 'allow' }, { verdict: 'deny' }])
    expect((await exchange(inward)).from).toBe(5000)
  })

  it('lets later fragments of what a port allows follow, and denies none by a port they have not', async () => {
    const fragments = (header: Ip, id: number) => {
      const datagram = udpSegment(header, { from: 7, to: 53 }, Buffer.alloc(64, String(port)))
      const first = { offset: 0, more: true, id }
      const last = { offset: 40, more: false, id }
      return [
        ip({ ...header, fragment: first }, 'udp', datagram.subarray(0, 40)),
        ip({ ...header, fragment: last }, 'udp', datagram.subarray(40)),
      ]
    }
    const stateless = { source: HOST6, destination: PEER6 }
    await configure([{ protocol: 'udp', ports: '53', verdict: 'allow' }, { verdict: 'deny' }])
    for (const header of [stateless, OUT])
      for (const piece of fragments(header, 77)) expect((await exchange(piece)).fragment?.id).toBe(77)
    await configure([{ protocol: 'udp', ports: '53', verdict: 'deny' }])
    const [first, last] = fragments(stateless, 78) as [Buffer, Buffer]
    expect(await refused(first)).toEqual(['POLICY_DENY'])
    expect((await exchange(last)).fragment).toMatchObject({ offset: 40, more: false })
  })

  it('marks what is translated, and leaves ECN alone (RFC 3168 section 5)', async () => {
    await configure([{ dscp: 8 }, { protocol: 'udp', ports: '9', dscp: 46 }])
    const { tos, source, from } = await exchange(out(9, { ...OUT, tos: 0x2b }))
    expect(tos).toBe((46 << 2) | 3)
    const back = udp({ source: SERVER, destination: source, tos: 0x02 }, { from: 9, to: from }, data())
    expect((await exchange(back)).tos).toBe((46 << 2) | 2)
    expect((await exchange(out(10, { ...OUT, tos: 1 }))).tos).toBe((8 << 2) | 1)
    await configure([{ dscp: 10 }], { copyTrafficClass: false, tos: 0xb9 })
    expect((await exchange(out(9, { ...OUT, tos: 0x2b }))).tos).toBe((10 << 2) | 1)
  })

  it('gives each client prefix its quota, and charges every segment of a super-packet', async () => {
    await configure([{ quota: { bytes: '4KiB', period: '31d' } }])
    const large = { ...OUT, source: '2001:db8:1:a::5' }
    const payload = Buffer.alloc(2400, String(port))
    const vnet = { flags: NEEDS_CSUM, gsoType: GSO.tcp6, hdrLen: 60, gsoSize: 1200, csumStart: 40, csumOffset: 16 }
    bench.send(tcp(large, { from: port, to: 80, partial: true }, 'S', payload), vnet)
    await bench.receive(({ bytes, destination }) => destination === SERVER && bytes.includes(String(port)))
    // 2 × (60 + 1200) bytes; a third segment is more than is left
    expect(await counters()).toMatchObject([{ packets: 2, bytes: 2520, droppedPackets: 0, clients: 1 }])
    bench.send(tcp({ ...large, source: '2001:db8:1:a::6' }, { from: port, to: 80, partial: true }, 'S', payload), vnet)
    await hear('0101')
    expect(await counters()).toMatchObject([
      { packets: 4, bytes: 5040, droppedPackets: 2, droppedBytes: 2520, clients: 1 },
    ])
    expect((await exchange(out(9, { ...OUT, source: '2001:db8:1:b::5' }))).destination).toBe(SERVER)
    expect(await counters()).toMatchObject([{ clients: 2 }])
  })

  it('lets no more packets through than a rate and its burst', async () => {
    const client = '2001:db8:1:c::5'
    const before = (await drops()).POLICY_RATE ?? 0
    await configure([{ rate: { packetsPerSecond: 1, burst: '100s', clientPrefixLength: 128 } }])
    for (let sent = 1; sent <= 200; sent++) {
      bench.send(out(9, { ...OUT, source: client }))
      while ((await counters())[0]?.packets !== sent);
    }
    const lost = (await counters())[0]?.droppedPackets ?? 0
    // 101 at once: the burst and the packet that overdraws it; one more for each second that the test takes
    expect(200 - lost).toBeGreaterThanOrEqual(101)
    expect(lost).toBeGreaterThan(0)
    expect((await drops()).POLICY_RATE).toBe(before + lost)
  })

  it('gives back what a later limiter refuses', async () => {
    const client = '2001:db8:1:d::5'
    const quota = { name: 'quota', quota: { bytes: '1KiB', period: '31d' } }
    await configure([quota, { rate: { packetsPerSecond: 1, burst: '1s' } }])
    bench.send(out(9, { ...OUT, source: client }))
    bench.send(out(9, { ...OUT, source: client }))
    expect(await refused(out(9, { ...OUT, source: client }))).toEqual(['POLICY_RATE'])
    await configure([quota])
    // of 1024 bytes 2 × 120 are used, so that 6 more fit
    for (let i = 0; i < 6; i++) bench.send(out(9, { ...OUT, source: client }))
    expect(await refused(out(9, { ...OUT, source: client }))).toEqual(['POLICY_QUOTA'])
    expect((await counters())[0]).toMatchObject({ packets: 10, droppedPackets: 1 })
  })

  it('keeps the counters and the limiters of a node that stays, by its name or its content', async () => {
    const client = '2001:db8:1:e::5'
    const send = () => exchange(out(9, { ...OUT, source: client }))
    const spent = { name: 'day', quota: { bytes: '1KiB', period: '31d' } }
    const plain = { to: ['192.0.2.0/24'], dscp: 1 }
    await configure([spent, plain])
    await send()
    await configure([plain, { ...spent, quota: { bytes: '2KiB', period: '31d' } }, { verdict: 'allow' }])
    expect((await counters()).map(({ packets }) => packets)).toEqual([1, 1, 0])
    await send()
    await configure([{ ...spent, quota: { bytes: '1KiB', period: '31d' } }])
    for (let i = 0; i < 6; i++) await send()
    expect(await refused(out(9, { ...OUT, source: client }))).toEqual(['POLICY_QUOTA'])
    await configure([{ ...plain, dscp: 2 }])
    expect((await counters())[0]).toMatchObject({ packets: 0 })
  })

  it('is foreseen without being spent', async () => {
    await configure([{ protocol: 'tcp', verdict: 'deny' }, { quota: { bytes: '1KiB', period: '31d' } }])
    const denied = await foresee(tcp(OUT, { from: port, to: 80 }, 'S'))
    expect(denied.lost).toMatchObject({ reason: 'POLICY_DENY', step: 'policy' })
    expect((await foresee(out())).lost).toBeNull()
    expect(await counters()).toMatchObject([{ packets: 0 }, { packets: 0, clients: 0 }])
    expect(packetOf(out()).family).toBe(6)
  })
})
