// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DropCounter, LostPacket } from '../../src/system/dataplane.ts'
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
      const ports = last.map(({ source }) => Number(source.split(':').at(-1)))
      expect(ports).toEqual(ports.toSorted((a, b) => a - b))
      expect(ports[0]).toBeGreaterThanOrEqual(6000)
    })
  })
})
