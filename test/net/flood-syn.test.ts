// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   131,072 sessions            192.0.2.80
 *   downloads, while forged SYNs come
 *   from all of its /64                          or from all of 192.0.2.96/27
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { spoof } from '../lab/spoof.ts'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const SYNS = 200_000
const RATE = 40_000
const SESSIONS = 131_072
const BYTES = 64 << 20
/** Takes what is sent to port 9 before the server can answer, and counts it. */
const SINK = `table netdev sink {
  counter arrived { }
  chain in {
    type filter hook ingress device "eth0" priority 0
    tcp dport 9 counter name arrived drop
  }
}`

story('200,000 forged SYNs', ['g++', 'nft'], () => {
  const scene = useScene('synflood', { config: { nat64: { maxSessions: SESSIONS } } })
  let client: Host
  let server: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    server = await Host.start(scene.now.server)
    for (const port of [19, 20])
      await server.do('source', { host: '192.0.2.80', port, seed: 'calm', bytes: BYTES, pace: 5 })
    await server.do('echo', { host: '192.0.2.80', port: 7 })
    await scene.now.server.run('nft', ['-f', '-'], { input: SINK })
  })

  const status = async () => (await scene.now.gateway.api('/api/v1/status')).body.nat64
  /** The client's own session with that port of the server. */
  const session = async (port: number) => {
    const { body } = await scene.now.gateway.api('/api/v1/sessions?protocol=tcp&address=2001:db8:1::10')
    const found = body.sessions.filter((one: { server4: string }) => one.server4 === `192.0.2.80:${port}`)
    expect(found).toHaveLength(1)
    return found[0]
  }
  /** Packets that were lost. An error that was held back is about a packet that has its own reason. */
  const lost = async () => {
    const { RATE_LIMITED: _, ...reasons } = await drops(scene.now.gateway)
    return Object.fromEntries(Object.entries(reasons).filter(([, packets]) => packets > 0))
  }
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0)

  const arrived = async () => {
    const text = await scene.now.server.run('nft', ['list', 'counter', 'netdev', 'sink', 'arrived'])
    return Number(/packets (\d+)/.exec(text)?.[1])
  }
  /** What came faster than the gateway read it: the kernel counts that at the device. */
  const overflowed = async () => {
    const { router, gateway } = scene.now
    const [link] = JSON.parse(await router.run('ip', ['-s', '-j', 'link', 'show', gateway.device]))
    return Number(link.stats64.tx.dropped)
  }

  it('from the IPv4 side, to ports that nobody has, are counted to the last and change nothing', async () => {
    const handle = await client.do('download', { host: SERVER, port: 19 })
    const before = await session(19)
    // the half of the pool that does not hold the client's own address
    const half = Number(/\.(\d+):/.exec(before.pool4)?.[1]) < 72 ? '198.51.100.72/29' : '198.51.100.64/29'
    await spoof(scene.now.server, { kind: 'syn', from: '192.0.2.96/27', to: half, count: SYNS, rate: RATE })
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('calm', BYTES) })
    expect(await session(19)).toMatchObject({ client6: before.client6, pool4: before.pool4 })
    expect((await status()).sessions).toBe(1)
    // those that were held for the client's own SYN are given up in the end (RFC 6146 section 3.5.2.2)
    await until('every SYN is counted', async () => (await overflowed()) + sum(await lost()) >= SYNS)
    const { SYN_HELD_FULL = 0, SYN_HELD_EXPIRED = 0, ...others } = await lost()
    expect(SYN_HELD_FULL + SYN_HELD_EXPIRED + (await overflowed())).toBe(SYNS)
    expect(SYN_HELD_EXPIRED).toBeGreaterThanOrEqual(1024)
    expect(others).toEqual({})
  })

  it('from the IPv6 side fill the table and displace one another, and nobody else', async () => {
    const gone = async () => sum(await lost()) + (await overflowed())
    const already = await gone()
    const handle = await client.do('download', { host: SERVER, port: 20 })
    const before = await session(20)
    const flood = { kind: 'syn', from: '2001:db8:1::/64', to: SERVER, port: 9, count: SYNS, rate: RATE } as const
    const sent = spoof(scene.now.client, flood)
    await until('the table is full', async () => (await status()).sessions >= SESSIONS - 1)
    // newcomers get in all the while
    expect((await client.do('greet', { host: SERVER, port: 7, text: 'hello' })).text).toBe('hello')
    await sent
    expect((await client.do('greet', { host: SERVER, port: 7, text: 'again' })).text).toBe('again')
    const { sessions, bindings } = await status()
    expect(sessions).toBeLessThanOrEqual(SESSIONS)
    expect(bindings).toBeLessThanOrEqual(SESSIONS)
    expect(await session(20)).toMatchObject({ client6: before.client6, pool4: before.pool4, state: 'ESTABLISHED' })
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('calm', BYTES) })
    // each was translated, or its loss has a reason
    await until('every SYN is accounted for', async () => (await arrived()) + (await gone()) - already >= SYNS)
    const refused = (await gone()) - already
    expect(await arrived()).toBeLessThanOrEqual(SYNS)
    const { halfOpen, evicted } = await status()
    expect(halfOpen + evicted).toBeGreaterThanOrEqual(SYNS - refused)
  })
})
