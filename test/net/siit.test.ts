// SPDX-License-Identifier: Apache-2.0
/*
 *   www ────────── r6 ────────── lan0 gateway wan0 ────── user
 *   2001:db8:3::10  2001:db8:1::10   ::1    192.0.2.1     192.0.2.80
 *   IPv6 only                                             IPv4 only
 *                   siit 2001:db8:100::/40, 2001:db8:3::/120 ↔ 203.0.113.0/24, 2001:db8:1::10 ↔ 198.51.100.10
 *                   sources without a mapping are 198.51.100.1
 */
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const WWW = '203.0.113.16'
const USER6 = '2001:db8:1c0:2:50::'
const WWW6 = '2001:db8:1cb:71:10::'
const BYTES = 16 << 20

story('Stateless translation', ['ping', 'traceroute', '/usr/bin/python3'], () => {
  let deep: Namespace
  const map = [
    { ipv6: '2001:db8:3::/120', ipv4: '203.0.113.0/24' },
    { ipv6: '2001:db8:1::10', ipv4: '198.51.100.10' },
  ]
  const scene = useScene('siit', {
    config: {
      interfaces: [
        {
          ...{ name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
          routes: ['2001:db8:3::/64 via 2001:db8:1::10'],
        },
        { name: 'wan0', role: 'outside', addresses: ['192.0.2.1/24'] },
      ],
      siit: { prefix: '2001:db8:100::/40', map: map.slice(0, 1) },
      translation: { icmpSourceV4: ['198.51.100.1'] },
    },
    async extend({ topology, client, server }) {
      deep = await topology.namespace('www')
      await topology.veth(
        { namespace: client, name: 'eth1', addresses: ['2001:db8:3::1/64'] },
        { namespace: deep, name: 'eth0', addresses: ['2001:db8:3::10/64'] },
      )
      await client.sysctl({ 'net.ipv6.conf.all.forwarding': 1 })
      // a second host on the same wire, from which nothing goes unasked
      await deep.ip('address', 'add', '2001:db8:3::11/64', 'dev', 'eth0', 'nodad', 'preferred_lft', '0')
      await deep.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:3::1')
      for (const prefix of ['203.0.113.0/24', '198.51.100.0/24'])
        await server.ip('route', 'replace', prefix, 'via', '192.0.2.1')
    },
  })
  let www: Host
  let user: Host

  /** What is changed in the running configuration. */
  const change = async (entries: typeof map, others: object = {}) => {
    const { gateway } = scene.now
    const { body, headers } = await gateway.api('/api/v1/config')
    const config = { ...body, siit: { ...body.siit, map: entries }, ...others }
    const put = { method: 'PUT', body: config, headers: { 'if-match': String(headers.etag) } }
    const { status, text } = await gateway.api('/api/v1/config', put)
    expect([status, text]).toEqual([200, expect.anything()])
  }

  beforeAll(async () => {
    www = await Host.start(deep)
    user = await Host.start(scene.now.server)
    await www.do('sink', { host: '::', port: 80 })
    await www.do('udpEcho', { host: '::', port: 7 })
    await user.do('sink', { host: '0.0.0.0', port: 80 })
  })

  it('lets an IPv4-only user reach an IPv6-only server, who sees the user under the prefix', async () => {
    const got = await user.do('upload', { host: WWW, port: 80, seed: 'in', bytes: BYTES })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash('in', BYTES) })
    expect(got.remote.startsWith(`[${USER6}]:`)).toBe(true)
    expect(got.local).toBe('[2001:db8:3::10]:80')
  })

  it('lets the server reach the user, who sees its mapped address', async () => {
    const got = await www.do('upload', { host: USER6, port: 80, seed: 'out', bytes: BYTES })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash('out', BYTES) })
    expect(got.remote.startsWith(`${WWW}:`)).toBe(true)
  })

  it('answers a ping with both addresses kept', async () => {
    expect(await scene.now.server.run('ping', ['-c', '1', '-W', '5', WWW])).toMatch(/1 received/)
    expect(await deep.run('ping', ['-6', '-c', '1', '-W', '5', USER6])).toMatch(/1 received/)
  })

  it('carries datagrams in fragments both ways', async () => {
    const sizes = [10, 1400, 5000, 20_000]
    expect((await user.do('udpAsk', { host: WWW, port: 7, sizes })).sizes).toEqual(sizes)
  })

  it('shows the IPv6 routers of a traceroute under the address for those without', async () => {
    const args = ['-4', '-n', '-q', '1', '-N', '1', '-w', '3', WWW]
    const text = await scene.now.server.run('traceroute', args)
    const hops = [...text.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1])
    expect(hops).toEqual(['192.0.2.1', '198.51.100.1', WWW])
  })

  it('shows the IPv4 path of a traceroute under the prefix', async () => {
    const text = await deep.run('traceroute', ['-6', '-n', '-q', '1', '-N', '1', '-w', '3', USER6])
    const hops = [...text.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1])
    expect(hops).toEqual(['2001:db8:3::1', '2001:db8:1::1', USER6])
  })

  it('turns a call from one mapped address to another inside (RFC 7757 section 4)', async () => {
    const ask = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("2001:db8:3::11", 0))
s.settimeout(5)
s.sendto(b"hairpin", ("${WWW6}", 7))
data, peer = s.recvfrom(100)
print(data.decode(), peer[0])`
    expect(await deep.run('/usr/bin/python3', ['-c', ask])).toBe(`hairpin ${WWW6}\n`)
  })

  it('leaves a connection alone while another mapping comes and goes', async () => {
    const { gateway, server } = scene.now
    const before = await drops(gateway)
    await www.do('source', { host: '::', port: 8000, seed: 'long', bytes: BYTES, pace: 5 })
    const handle = await user.do('download', { host: WWW, port: 8000 })
    await change(map)
    expect(await server.run('ping', ['-c', '1', '-W', '5', '198.51.100.10'])).toMatch(/1 received/)
    await change(map.slice(0, 1))
    expect(await user.do('progress', { handle })).toBeLessThan(BYTES)
    const got = await user.do('finish', { handle })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash('long', BYTES) })
    expect(await drops(gateway)).toEqual(before)
    expect((await server.attempt('ping', ['-c', '1', '-W', '1', '198.51.100.10'])).code).not.toBe(0)
  })

  it('is followed by a trace, and needs no session there', async () => {
    const { router, gateway, server } = scene.now
    const cli = router.spawn(process.execPath, [
      main,
      'trace',
      '--instance',
      gateway.instance,
      '--limit',
      '2',
      '--to',
      WWW,
    ])
    await cli.waitFor(/following/)
    await server.run('ping', ['-c', '2', '-i', '0.2', '-W', '5', WWW])
    expect((await cli.exited).code).toBe(0)
    expect(cli.output).toMatch(/icmp 192\.0\.2\.80:\d+ → 203\.0\.113\.16:\d+, 84 bytes/)
    expect(cli.output).toContain('  session: needs none: both addresses translate statelessly')
    expect(cli.output).toMatch(/translate: icmpv6 \[2001:db8:1c0:2:50::\]:\d+ → \[2001:db8:3::10\]:\d+, 104 bytes/)
  })

  it('shows a datagram without a checksum among the lost, with addresses and ports', async () => {
    const { gateway, server } = scene.now
    const send = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
s.bind(("192.0.2.80", 4711))
s.sendto(b"bare", ("${WWW}", 7))`
    await server.run('/usr/bin/python3', ['-c', send])
    const last = async () => {
      const { body } = await gateway.api('/api/v1/drops')
      return body.drops.find((drop: { reason: string }) => drop.reason === 'UDP_CHECKSUM_ZERO').last
    }
    const lost = await until('it is lost', async () => (await last()).at(-1))
    expect(lost).toMatchObject({ source: '192.0.2.80:4711', destination: `${WWW}:7`, protocol: 'udp' })
    await until('it is logged', () => /UDP datagrams without a checksum.*/.exec(gateway.log)?.[0])
    expect(gateway.log).toContain('"source":"192.0.2.80:4711"')
  })

  it('has a status and metrics of its own', async () => {
    const { gateway } = scene.now
    const { siit } = (await gateway.api('/api/v1/status')).body
    expect(siit).toMatchObject({ prefix: '2001:db8:100::/40', mappings: 1, dropped: expect.any(Number) })
    for (const key of ['packets64', 'bytes64', 'packets46', 'bytes46', 'dropped']) expect(siit[key]).toBeGreaterThan(0)
    const { text } = await gateway.api('/metrics')
    expect(text).toMatch(/^sixgate_siit_packets_total\{direction="4to6"\} [1-9]/m)
    expect(text).toMatch(/^sixgate_siit_dropped_packets_total [1-9]/m)
  })

  it('goes on without NAT64', async () => {
    await change(map.slice(0, 1), { nat64: undefined })
    const got = await user.do('upload', { host: WWW, port: 80, seed: 'alone', bytes: BYTES })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash('alone', BYTES) })
  })

  it('keeps no session', async () => {
    expect((await scene.now.gateway.api('/api/v1/sessions')).body.sessions).toEqual([])
  })
})
