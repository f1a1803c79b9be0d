// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { ChecksumLog } from '../../src/checksum-log.ts'
import { ManualClock } from '../../src/clock.ts'
import { validateConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/log.ts'
import type { DropCounter } from '../../src/system/dataplane.ts'
import { DROP } from './api-fake.ts'

const config = (siit: object = { siit: { prefix: '2001:db8:100::/40' } }) => validateConfig({ version: 1, ...siit })

function setUp() {
  const lines: { msg: string; packets: number; last: unknown[]; remedy: string }[] = []
  const clock = new ManualClock()
  const rows: DropCounter[] = [DROP, { ...DROP, reason: 'UDP_CHECKSUM_ZERO', packets: 0, last: [] }]
  const log = createLog('warn', { write: (line) => void lines.push(JSON.parse(line)) })
  const service = new ChecksumLog(() => ({ drops: () => rows }), clock, log)
  /** As many more were lost, from these ports. */
  const lose = (packets: number, ports: number[]) => {
    const [one] = DROP.last
    if (!one || !rows[1]) throw new Error('the fake lost no packet')
    const more = ports.map((port) => ({ ...one, source: `192.0.2.80:${port}`, destination: '203.0.113.5:7' }))
    rows[1] = { ...rows[1], packets: rows[1].packets + packets, last: [...rows[1].last, ...more].slice(-8) }
  }
  return { lines, clock, rows, service, lose }
}

it('datagrams lost for want of a UDP checksum are logged with addresses and ports', async () => {
  const { lines, clock, service, lose } = setUp()
  await service.update(config())
  lose(2, [5000, 5001])
  clock.advance(10_000)
  const { time } = DROP.last[0] ?? {}
  const datagram = (port: number) => ({ time, source: `192.0.2.80:${port}`, destination: '203.0.113.5:7' })
  expect(lines).toEqual([
    expect.objectContaining({
      msg: expect.stringContaining('RFC 7915 section 4.5'),
      packets: 2,
      last: [datagram(5000), datagram(5001)],
      remedy: expect.stringContaining('amendUdpChecksumZero'),
    }),
  ])
  clock.advance(30_000)
  expect(lines).toHaveLength(1)
  lose(1, [5002])
  clock.advance(10_000)
  expect(lines[1]).toMatchObject({ packets: 1, last: [datagram(5002)] })
  await service.close()
  expect(clock.waiting).toBe(0)
})

it('a flood of them is one line, with the last eight', async () => {
  const { lines, clock, service, lose } = setUp()
  await service.update(config())
  for (let port = 1; port <= 1000; port++) lose(100, [port])
  clock.advance(10_000)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ packets: 100_000 })
  expect(lines[0]?.last).toHaveLength(8)
})

it('they are looked for while stateless translation is configured, also by a data plane opened anew', async () => {
  const { lines, clock, rows, service, lose } = setUp()
  await service.update(config({}))
  expect(clock.waiting).toBe(0)
  await service.update(config())
  await service.update(config())
  expect(clock.waiting).toBe(1)
  lose(5, [1])
  clock.advance(10_000)
  rows.splice(1, 1, { ...DROP, reason: 'UDP_CHECKSUM_ZERO', packets: 0, last: [] })
  lose(3, [2])
  clock.advance(10_000)
  lose(1, [3])
  await service.update(config({}))
  expect(clock.waiting).toBe(0)
  expect(lines.map(({ packets }) => packets)).toEqual([5, 3, 1])
})
