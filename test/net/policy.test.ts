// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   may, marked                 192.0.2.80
 *   2001:db8:2::10   may not
 *   2001:db8:3::10   a quota of 64 KiB
 */
import { beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { capture, drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

const POLICY = [
  { name: 'closed', clients: ['2001:db8:2::/64'], verdict: 'deny' },
  { name: 'a day', clients: ['2001:db8:3::/64'], quota: { bytes: '64KiB', period: '31d' } },
  { name: 'slow', clients: ['2001:db8:4::/64'], rate: { packetsPerSecond: 1, burst: '1m' } },
  { name: 'urgent', protocol: 'udp', ports: '7', dscp: 46 },
]

/** Sends datagrams of so many bytes and prints how many came back, and which error a connected socket heard of. */
const ASK = `
import errno, socket, sys
source, count, size, patience = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind((source, int(sys.argv[6])))
s.connect(("${SERVER}", int(sys.argv[5])))
s.settimeout(patience)
back, heard = 0, ""
for i in range(count):
    try:
        s.send(b"x" * size)
        s.recv(65536)
        back += 1
    except TimeoutError:
        pass
    except OSError as error:
        heard = errno.errorcode[error.errno]
print(back, heard)
`

story('A policy', ['/usr/bin/python3', 'tcpdump', 'tshark'], () => {
  const scene = useScene('policy', {
    config: { policy: POLICY },
    extend: async ({ client, router }) => {
      for (const net of [2, 3, 4]) {
        await client.ip('address', 'add', `2001:db8:${net}::10/64`, 'dev', 'eth0', 'nodad')
        await router.ip('-6', 'route', 'add', `2001:db8:${net}::/64`, 'dev', 'lan0')
      }
    },
  })
  const ask = async (net: number, count: number, size: number, patience = 5, port = 7, local = 0) => {
    const args = ['-c', ASK, `2001:db8:${net}::10`, String(count), ...[size, patience, port, local].map(String)]
    const [back, heard] = (await scene.now.client.run('/usr/bin/python3', args)).trim().split(' ')
    return { back: Number(back), heard }
  }
  const nodes = async (): Promise<Record<string, { packets: number; droppedPackets: number; clients: number }>> => {
    const { body } = await scene.now.gateway.api('/api/v1/policy')
    return Object.fromEntries(body.policy.map((node: { name: string }) => [node.name, node]))
  }

  beforeAll(async () => {
    const server = await Host.start(scene.now.server)
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
    await server.do('udpEcho', { host: '192.0.2.80', port: 9 })
  })

  it('marks what it lets through, and the server sees the mark', async () => {
    const { server } = scene.now
    const seen = await capture(server, 'eth0', 'udp and dst port 7')
    expect(await ask(1, 1, 100)).toMatchObject({ back: 1 })
    await until(
      'the packet is captured',
      async () => (await seen.packets(['ip.dsfield.dscp'], { stop: false })).length > 0,
    )
    expect(await seen.packets(['ip.dsfield.dscp'])).toEqual([['46']])
  })

  it('denies by prefix, and the client hears of it', async () => {
    const { gateway } = scene.now
    const { body: before } = await gateway.api('/api/v1/status')
    const { back, heard } = await ask(2, 3, 100)
    expect([back, heard]).toEqual([0, 'EACCES'])
    expect((await nodes()).closed).toMatchObject({ droppedPackets: 3 })
    expect((await drops(gateway)).POLICY_DENY).toBe(3)
    expect((await gateway.api('/api/v1/status')).body.nat64.sessions).toBe(before.nat64.sessions)
  })

  it('takes what is over the quota, both directions counted, and nobody else pays for it', async () => {
    // 65,536 bytes are 31 exchanges of 1048 and 1028 bytes, one whose answer is taken, and two that are refused
    expect(await ask(3, 34, 1000)).toMatchObject({ back: 31, heard: 'EACCES' })
    expect((await nodes())['a day']).toMatchObject({ packets: 66, clients: 1 })
    expect(await ask(1, 5, 1000)).toMatchObject({ back: 5 })
  })

  it('takes what is faster than the rate, and what is not comes through', async () => {
    const { back } = await ask(4, 40, 100, 0.5)
    const node = (await nodes()).slow
    // 61 packets at once, half of them answers; one more for each second that it takes
    expect(back).toBeGreaterThanOrEqual(30)
    expect(node?.clients).toBe(1)
    expect((await drops(scene.now.gateway)).POLICY_RATE ?? 0).toBe(node?.droppedPackets)
  })

  const change = async (policy: (nodes: { name?: string }[]) => object[]) => {
    const { gateway } = scene.now
    const { body, headers } = await gateway.api('/api/v1/config')
    const put = { method: 'PUT', body: { ...body, policy: policy(body.policy) } }
    expect(
      (await gateway.api('/api/v1/config', { ...put, headers: { 'if-match': String(headers.etag) } })).status,
    ).toBe(200)
  }
  const fastpath = async () => (await scene.now.gateway.api('/api/v1/status')).body.fastpath

  it('leaves the flows that no node is about to the kernel, until one is', async () => {
    expect(await ask(1, 5, 100, 5, 7, 5007)).toMatchObject({ back: 5 })
    const before = await fastpath()
    expect(before).toMatchObject({ loaded: true, flows: 0 })
    const again = () => ask(1, 5, 100, 5, 9, 5009)
    expect(await again()).toMatchObject({ back: 5 })
    const after = await fastpath()
    expect(after.flows).toBe(1)
    expect(after.translated64.packets).toBeGreaterThan(before.translated64.packets)
    await change((nodes) => [...nodes, { name: 'shut', protocol: 'udp', ports: '9', verdict: 'deny' }])
    expect(await again()).toMatchObject({ back: 0, heard: 'EACCES' })
    expect((await nodes()).shut?.droppedPackets).toBe(5)
    expect((await fastpath()).translated64.packets).toBe(after.translated64.packets)
    await change((nodes) => nodes.filter(({ name }) => name !== 'shut'))
    expect(await again()).toMatchObject({ back: 5 })
    expect((await fastpath()).flows).toBe(1)
  })

  it('is replaced whole while sessions live on', async () => {
    await change((nodes) => nodes.filter(({ name }) => name !== 'closed'))
    expect(await ask(2, 1, 100)).toMatchObject({ back: 1 })
    expect((await nodes())['a day']).toMatchObject({ packets: 66 })
    expect((await nodes()).closed).toBeUndefined()
  })
})
