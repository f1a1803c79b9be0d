// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   TC          TC              192.0.2.80
 *
 * Established flows are translated by the programs on lan0 and wan0; the translator sees their first packets.
 */
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { type Scene, story, useScene } from './story.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const SERVER = '64:ff9b::192.0.2.80'
const BYTES = 48 << 20

interface Totals {
  readonly packetsOut: number
  readonly packetsIn: number
  readonly bytesIn: number
}

async function status({ gateway }: Scene) {
  return (await gateway.api('/api/v1/status')).body
}

/** Starts a download and waits for its first megabytes. */
async function download(scene: Scene, port: number, pace = 5) {
  const client = await Host.start(scene.client)
  const server = await Host.start(scene.server)
  await server.do('source', { host: '192.0.2.80', port, seed: 'long', bytes: BYTES, pace })
  const handle = await client.do('download', { host: SERVER, port })
  const beyond = (bytes: number) =>
    until(`${bytes} bytes have come`, async () => (await client.do('progress', { handle })) > bytes, 60)
  const finish = async () =>
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: BYTES, sha256: streamHash('long', BYTES) })
  await beyond(4 << 20)
  return { beyond, finish, progress: () => client.do('progress', { handle }) }
}

story('Established flows in the kernel', [], () => {
  const scene = useScene('fast')

  it('are translated where they arrive, and counted as the others are', async () => {
    const { interfaces, fastpath } = await status(scene.now)
    expect(interfaces.map(({ datapath }: { datapath: string }) => datapath)).toEqual(['tc', 'tc'])
    expect(fastpath).toMatchObject({ loaded: true, pinned: true, adopted: false, flows: 0 })

    const transfer = await download(scene.now, 19)
    const { sessions } = (await scene.now.gateway.api('/api/v1/sessions?protocol=tcp')).body
    await transfer.finish()
    expect(sessions).toHaveLength(1)
    expect((sessions[0] as Totals).bytesIn).toBeGreaterThan(4 << 20)
    const after = await status(scene.now)
    // the first packets and the last ones are the translator's
    const slow = after.nat64.packets46 - after.fastpath.translated46.packets
    expect(slow).toBeGreaterThan(0)
    expect(after.fastpath.translated46.packets).toBeGreaterThan(20 * slow)
    expect(after.fastpath.translated46.bytes).toBeGreaterThan(BYTES)
    await until('the flow is gone', async () => (await status(scene.now)).fastpath.flows === 0)
    const client = after.clients.find((one: { client: string }) => one.client === '2001:db8:1::10') as Totals
    expect(client.bytesIn).toBeGreaterThan(BYTES)
  })

  it('come below while somebody follows them, and go up again after', async () => {
    const transfer = await download(scene.now, 20)
    const { router, gateway } = scene.now
    const more = ['--from', '2001:db8:1::10', '--limit', '5']
    const cli = router.spawn(process.execPath, [main, 'trace', '--instance', gateway.instance, ...more])
    expect((await cli.exited).code).toBe(0)
    expect(cli.output.match(/ESTABLISHED/g)).toHaveLength(5)
    const { fastpath } = await status(scene.now)
    await until('packets pass above again', async () => {
      const now = (await status(scene.now)).fastpath
      return now.translated46.packets > fastpath.translated46.packets + 20
    })
    await transfer.finish()
  })

  it('stop when the firewall forbids them, and go on when it does not', async () => {
    const { router } = scene.now
    const transfer = await download(scene.now, 22, 20)
    await router.run('nft', ['add', 'table', 'inet', 'operator'])
    const chain = '{ type filter hook forward priority 10; policy accept; }'
    await router.run('nft', ['add', 'chain', 'inet', 'operator', 'forward', chain])
    await router.run('nft', ['add', 'rule', 'inet', 'operator', 'forward', 'iifname', 'lan0', 'drop'])
    await until('the flow is taken back', async () => (await status(scene.now)).fastpath.flows === 0)
    const stopped = (await status(scene.now)).fastpath.translated64.packets
    await router.run('nft', ['delete', 'table', 'inet', 'operator'])
    await transfer.finish()
    expect((await status(scene.now)).fastpath.translated64.packets).toBeGreaterThan(stopped + 20)
  })

  it('go on while the daemon is away, and its successor takes them over', async () => {
    const { gateway } = scene.now
    const transfer = await download(scene.now, 21, 20)
    await gateway.stop('SIGKILL')
    await transfer.beyond((await transfer.progress()) + (8 << 20))
    await gateway.start()
    const { fastpath, nat64 } = await status(scene.now)
    expect(fastpath).toMatchObject({ loaded: true, adopted: true, flows: 1 })
    expect(nat64.adopted).toBeGreaterThanOrEqual(1)
    const [session] = (await gateway.api('/api/v1/sessions?protocol=tcp&address=2001:db8:1::10')).body.sessions
    expect((session as Totals).bytesIn).toBeGreaterThan(8 << 20)
    await transfer.finish()
  })

  it('leave nothing in the kernel when the gateway ends', async () => {
    await scene.now.gateway.stop()
    for (const device of ['lan0', 'wan0']) {
      expect(await scene.now.router.run('tc', ['qdisc', 'show', 'dev', device])).not.toContain('clsact')
    }
  })
})

story('A configuration that keeps packets to the device', [], () => {
  const scene = useScene('fast-tun', { config: { datapath: 'tun' } })

  it('loads nothing and says so', async () => {
    const { interfaces, fastpath } = await status(scene.now)
    expect(fastpath.loaded).toBe(false)
    expect(interfaces[0]).toMatchObject({ datapath: 'tun', why: 'the configuration says so' })
    await (await download(scene.now, 19, 1)).finish()
  })
})

/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   XDP         XDP             192.0.2.80
 */
story('Established flows on interfaces with native XDP', ['ethtool'], () => {
  const scene = useScene('fast-xdp', {
    config: { datapath: 'xdp' },
    async extend({ client, server }) {
      // what XDP sees has its checksum, as what comes from a card; and a veth takes redirected frames with GRO
      for (const peer of [client, server]) await peer.run('ethtool', ['-K', 'eth0', 'tx', 'off', 'gro', 'on'])
    },
  })

  it('are redirected from one to the other', async () => {
    const { interfaces } = await status(scene.now)
    expect(interfaces.map(({ datapath }: { datapath: string }) => datapath)).toEqual(['xdp', 'xdp'])
    const transfer = await download(scene.now, 19)
    await transfer.finish()
    const { fastpath, nat64 } = await status(scene.now)
    expect(fastpath.translated46.bytes).toBeGreaterThan(BYTES)
    expect(fastpath.translated64.packets).toBeGreaterThan(20 * (nat64.packets64 - fastpath.translated64.packets))
  })

  it('go on while the daemon is away', async () => {
    const { gateway } = scene.now
    const transfer = await download(scene.now, 20, 20)
    await gateway.stop('SIGKILL')
    await transfer.beyond((await transfer.progress()) + (8 << 20))
    await gateway.start()
    expect((await status(scene.now)).fastpath).toMatchObject({ adopted: true, flows: 1 })
    await transfer.finish()
  })
})

/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:3::10   TC          TC              192.0.2.80
 *   203.0.113.10
 */
story('Packets without a session in the kernel', [], () => {
  const scene = useScene('fast-siit', {
    config: {
      siit: { prefix: '2001:db8:100::/96', map: [{ ipv6: '2001:db8:3::10', ipv4: '203.0.113.10' }] },
    },
    async extend({ client, router, server }) {
      await client.ip('addr', 'add', '2001:db8:3::10/128', 'dev', 'eth0')
      await router.ip('-6', 'route', 'add', '2001:db8:3::10/128', 'via', '2001:db8:1::10', 'dev', 'lan0', 'onlink')
      await server.ip('route', 'add', '203.0.113.10/32', 'via', '192.0.2.1')
    },
  })

  it('are translated by their addresses alone, and leave no flow', async () => {
    const server = await Host.start(scene.now.server)
    const client = await Host.start(scene.now.client)
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
    const sizes = Array.from({ length: 50 }, () => 100)
    const ask = { host: '2001:db8:100::192.0.2.80', local: '2001:db8:3::10', port: 7, sizes }
    expect((await client.do('udpAsk', ask)).sizes).toEqual(sizes)
    const { siit, fastpath } = await status(scene.now)
    expect(fastpath.flows).toBe(0)
    expect(siit.packets64).toBeGreaterThanOrEqual(50)
    expect(siit.packets46).toBeGreaterThanOrEqual(50)
    expect(fastpath.siit64.packets).toBeGreaterThan(40)
    expect(fastpath.siit46.packets).toBeGreaterThan(40)
  })
})
