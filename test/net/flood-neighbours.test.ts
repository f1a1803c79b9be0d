// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   1024 neighbours             192.0.2.80
 *   downloads, while forged SYNs come            refuses each of them
 *   from all of its /64
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { spoof } from '../lab/spoof.ts'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const SYNS = 60_000
const BYTES = 16 << 20
const COUNT = `table netdev count {
  counter arrived { }
  chain in {
    type filter hook ingress device "eth0" priority 0
    tcp dport 9 counter name arrived
  }
}`

story('Answers to forged sources on a link', ['g++', 'nft'], () => {
  const scene = useScene('neighbours')
  let client: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    const server = await Host.start(scene.now.server)
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'calm', bytes: BYTES, pace: 5 })
    await scene.now.server.run('nft', ['-f', '-'], { input: COUNT })
  })

  /** Packets for which the kernel had no room for a neighbour on that device. */
  const unsent = async (device: string) => {
    const text = await scene.now.router.run('cat', [`/proc/net/dev_snmp6/${device}`])
    return Number(/Ip6OutNoRoutes\s+(\d+)/.exec(text)?.[1])
  }
  const arrived = async () => {
    const text = await scene.now.server.run('nft', ['list', 'counter', 'netdev', 'count', 'arrived'])
    return Number(/packets (\d+)/.exec(text)?.[1])
  }
  /** What came faster than the gateway read it. */
  const overflowed = async () => {
    const { router, gateway } = scene.now
    const [link] = JSON.parse(await router.run('ip', ['-s', '-j', 'link', 'show', gateway.device]))
    return Number(link.stats64.tx.dropped)
  }
  const lost = async () => Object.values(await drops(scene.now.gateway)).reduce((sum, count) => sum + count, 0)

  it('fill the kernel’s table of neighbours, which keeps no packet from the translator', async () => {
    const { client: from, gateway } = scene.now
    const handle = await client.do('download', { host: SERVER, port: 19 })
    await spoof(from, { kind: 'syn', from: '2001:db8:1::/64', to: SERVER, port: 9, count: SYNS, rate: 20_000 })
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('calm', BYTES) })
    expect(await unsent('lan0')).toBeGreaterThan(0)
    expect(await unsent(gateway.device)).toBe(0)
    await until('every SYN is counted', async () => (await arrived()) + (await lost()) + (await overflowed()) >= SYNS)
  })
})
