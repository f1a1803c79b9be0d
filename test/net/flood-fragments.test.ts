// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   1 MiB for fragments         192.0.2.80
 *   sends datagrams in fragments, while first-less ones come
 *   from all of its /64                and from all of 192.0.2.96/27
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { spoof } from '../lab/spoof.ts'
import { Host } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
/** Of each family. */
const FRAGMENTS = 20_000
const RATE = 4_000
const MEMORY = 1 << 20
const PAYLOAD = 800

story('A flood of fragments that belong to nothing', ['g++'], () => {
  const scene = useScene('fragflood', {
    config: {
      translation: { fragmentMemory: '1MiB', icmpSourceV4: ['192.0.2.1'], icmpSourceV6: ['2001:db8:1::1'] },
    },
  })
  let client: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    const server = await Host.start(scene.now.server)
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
  })

  const lost = async () =>
    Object.fromEntries(Object.entries(await drops(scene.now.gateway)).filter(([, packets]) => packets > 0))
  const given = async () => Object.values(await lost()).reduce((sum, packets) => sum + packets, 0)
  /** What the gateway has given up, or what came faster than it read. */
  const gone = async () => {
    const { router, gateway } = scene.now
    const [link] = JSON.parse(await router.run('ip', ['-s', '-j', 'link', 'show', gateway.device]))
    return (await given()) + Number(link.stats64.tx.dropped)
  }

  it('costs the fragments of others nothing, fills its memory and no more, and is counted to the last', async () => {
    const { client: inside, server: outside } = scene.now
    const flood = { kind: 'fragment', count: FRAGMENTS, rate: RATE } as const
    let over = false
    const floods = Promise.all([
      spoof(inside, { ...flood, from: '2001:db8:1::/64', to: SERVER }),
      spoof(outside, { ...flood, from: '192.0.2.96/27', to: '198.51.100.64/28' }),
    ]).finally(() => {
      over = true
    })
    await until('the memory is full', async () => ((await lost())['FRAGMENT_MEMORY'] ?? 0) > 0)
    const sizes = [3000, 9000, 20_000]
    let asked = 0
    for (; !over || asked === 0; asked++)
      expect((await client.do('udpAsk', { host: SERVER, port: 7, sizes })).sizes).toEqual(sizes)
    await floods
    expect(asked).toBeGreaterThan(1)
    // what has not gone is still waiting, in the memory there is
    await until('all but what fits was given up', async () => (await gone()) >= 2 * FRAGMENTS - MEMORY / PAYLOAD)
    await until('every fragment is counted', async () => (await gone()) >= 2 * FRAGMENTS)
    // no more than came of the flood: none was the client's
    expect(await given()).toBeLessThanOrEqual(2 * FRAGMENTS)
    expect(Object.keys(await lost()).sort()).toEqual(['FRAGMENT_MEMORY', 'FRAGMENT_TIMEOUT'])
  })
})
