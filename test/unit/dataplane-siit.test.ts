// SPDX-License-Identifier: Apache-2.0
/*
 * wire0 ── kernel routing ── sixgate0 ── translator
 *   siit 2001:db8:100::/40, 2001:db8:1:0:1::/120 ↔ 203.0.113.0/24, beside the NAT64 of dataplane-bench.ts
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DataplaneConfig, DropCounter } from '../../src/system/dataplane.ts'
import { Bench, CONFIG, type Owner, obstacle } from './dataplane-bench.ts'
import { type Ip, icmp, ip, isSound, packetOf, same, tcp, udp, udpSegment } from './dataplane-packets.ts'

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
    const bare = () => {
      const packet = udp(IN, { from: 5000, to: 7 }, data)
      packet.writeUInt16BE(0, 26)
      return packet
    }
    expect(await lost(bare())).toEqual(['UDP_CHECKSUM_ZERO'])
    await configure({ siit: { ...SIIT, amendUdpChecksumZero: true } })
    expect(isSound(await exchange(bare()))).toBe(true)
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
