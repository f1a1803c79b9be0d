// SPDX-License-Identifier: Apache-2.0
/*
 *   host ───────────────── lan0 gateway wan0 ───────────── user
 *   2001:db8:3::10  ::11            ::1    192.0.2.1       192.0.2.80
 *   2001:db8:1::10  ::11
 *
 *   siit 2001:db8:100::/40, all the time 2001:db8:3::/120 ↔ 203.0.113.0/24, and now and then
 *   2001:db8:1::10 ↔ 198.51.100.10 and ::11 ↔ .11, or the other way round. NAT64 with a pool beside it.
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { drops, story, useScene } from './story.ts'

/** The last one leaves the mappings in place. */
const CHANGES = 205
/** Milliseconds between two datagrams of a flow. */
const EVERY = 3

const KEPT = { ipv6: '2001:db8:3::/120', ipv4: '203.0.113.0/24' }
const [X, Y] = ['2001:db8:1::10', '2001:db8:1::11']
const [P, Q] = ['198.51.100.10', '198.51.100.11']
const under = (ipv4: string) => {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number)
  const hex = (value: number) => value.toString(16)
  return `2001:db8:1${hex(a).padStart(2, '0')}:${hex(b * 256 + c)}:${hex(d)}::`
}
const pair = (x: string, y: string) => [
  { ipv6: X, ipv4: x },
  { ipv6: Y, ipv4: y },
]
const STATES = [pair(P, Q), pair(Q, P), []]

story('Stateless translation that is changed', [], () => {
  const scene = useScene('siitchg', {
    config: {
      interfaces: [
        { name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64', '2001:db8:3::1/64'] },
        { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'] },
      ],
      siit: { prefix: '2001:db8:100::/40', map: [KEPT] },
    },
    async extend({ client, server }) {
      for (const address of [Y, '2001:db8:3::10', '2001:db8:3::11'])
        await client.ip('address', 'add', `${address}/64`, 'dev', 'eth0', 'nodad')
      for (const prefix of ['203.0.113.0/24', '198.51.100.0/24'])
        await server.ip('route', 'replace', prefix, 'via', '192.0.2.1')
    },
  })
  let host: Host
  let user: Host
  let config: { siit: object }
  beforeAll(async () => {
    host = await Host.start(scene.now.client)
    user = await Host.start(scene.now.server)
    for (const local of ['2001:db8:3::10', X, Y])
      await scene.now.client.run('ping', ['-6', '-c', '1', '-W', '5', '-I', local, '2001:db8:1::1'])
    await scene.now.server.run('ping', ['-c', '1', '-W', '5', '203.0.113.16'])
    config = (await scene.now.gateway.api('/api/v1/config')).body
  })

  const change = async (map: object[]) => {
    const body = { ...config, siit: { ...config.siit, map: [KEPT, ...map] } }
    const headers = { 'if-match': '*' }
    const { status, text } = await scene.now.gateway.api('/api/v1/config', { method: 'PUT', body, headers })
    expect([status, text]).toEqual([200, expect.anything()])
  }

  /** A flow of numbered datagrams; the result ends it and tells what was sent, and what came to each receiver from whom. */
  const flow = async (
    from: Host,
    local: string,
    to: string,
    port: number,
    at: readonly (readonly [Host, string])[],
  ) => {
    const counters = await Promise.all(
      at.map(async ([one, own]) => [one, await one.do('udpCount', { host: own, port })] as const),
    )
    const sender = await from.do('udpNumber', { host: to, port, local, every: EVERY })
    return async () => {
      const sent = await from.do('udpStop', { handle: sender })
      const tally = () => Promise.all(counters.map(([one, handle]) => one.do('udpTally', { handle })))
      const numbers = async () => (await tally()).flatMap((one) => Object.values(one).flat())
      await until('the last datagram comes', async () => (await numbers()).includes(sent - 1))
      return { sent, came: await tally() }
    }
  }
  /** Which of the numbers did not come, and which came more than once. */
  const judged = (sent: number, came: number[] = []) => {
    const seen = new Set(came)
    const missing = Array.from({ length: sent }, (_, number) => number).filter((number) => !seen.has(number))
    return { missing, repeated: came.length - seen.size }
  }
  const SOUND = { missing: [], repeated: 0 }

  it('loses and repeats nothing of what stays, and translates nothing by half of a change', async () => {
    // what is sent to a mapped address without its mapping is nobody's
    const lost = async () => ({ ...(await drops(scene.now.gateway)), NOT_OUR_PREFIX: 0 })
    const before = await lost()
    const inward = await flow(user, '192.0.2.80', '203.0.113.16', 4001, [[host, '2001:db8:3::10']])
    const outward = await flow(host, '2001:db8:3::10', under('192.0.2.80'), 4002, [[user, '192.0.2.80']])
    const stateful = await flow(host, '2001:db8:3::11', '64:ff9b::192.0.2.80', 4003, [[user, '192.0.2.80']])
    const turned = await flow(host, X, under(P), 4004, [
      [host, X],
      [host, Y],
    ])
    const changing = await flow(user, '192.0.2.80', P, 4005, [
      [host, X],
      [host, Y],
    ])
    for (let number = 0; number < CHANGES; number++) await change(STATES[number % STATES.length] ?? [])

    for (const [end, source] of [
      [inward, under('192.0.2.80')],
      [outward, '203.0.113.16'],
    ] as const) {
      const { sent, came } = await end()
      expect(sent).toBeGreaterThan(CHANGES)
      expect(came.map((one) => Object.keys(one))).toEqual([[source]])
      expect(judged(sent, came[0]?.[source])).toEqual(SOUND)
    }
    const nat64 = await stateful()
    const [pool = ''] = Object.keys(nat64.came[0] ?? {})
    expect(pool).toMatch(/^198\.51\.100\.(6[4-9]|7\d)$/)
    expect(judged(nat64.sent, nat64.came[0]?.[pool])).toEqual(SOUND)

    // A call to P comes back to X as from P while X has P, and to Y as from Q while Y has it.
    const half = await turned()
    expect(half.came.map((one) => Object.keys(one))).toEqual([[under(P)], [under(Q)]])
    const called = await changing()
    expect(called.came.map((one) => Object.keys(one))).toEqual([[under('192.0.2.80')], [under('192.0.2.80')]])
    for (const { came } of [half, called]) {
      expect(
        judged(
          0,
          came.flatMap((one) => Object.values(one).flat()),
        ).repeated,
      ).toBe(0)
      for (const one of came) expect(Object.values(one).flat().length).toBeGreaterThan(CHANGES / 3)
    }
    expect(await lost()).toEqual(before)
  }, 300_000)
})
