// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   one that floods       1024 sessions, 64 KiB for fragments
 */
import { beforeAll, expect, it } from 'vitest'
import { Host } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

story('A flood', ['/usr/bin/python3'], () => {
  const scene = useScene('flood', {
    config: {
      nat64: { maxSessions: 1024 },
      translation: { fragmentMemory: '64KiB', icmpSourceV4: ['192.0.2.1'], icmpSourceV6: ['2001:db8:1::1'] },
    },
  })
  let client: Host
  let server: Host
  const python = (side: 'client' | 'server', script: string) => scene.now[side].run('/usr/bin/python3', ['-c', script])

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    server = await Host.start(scene.now.server)
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'calm', bytes: 32 << 20, pace: 10 })
  })

  it('of new flows fills the table and no more, and those that stand go on', async () => {
    const { gateway } = scene.now
    const handle = await client.do('download', { host: SERVER, port: 19 })
    await python(
      'client',
      `
import socket
for port in range(10000, 14000):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", port))
    s.sendto(b"x", ("${SERVER}", 9))
    s.close()`,
    )
    const { body } = await gateway.api('/api/v1/status')
    expect(body.nat64.sessions).toBeLessThanOrEqual(1024)
    expect(body.nat64.sessions).toBeGreaterThan(500)
    const counted = await drops(gateway)
    expect((counted.TABLE_FULL ?? 0) + (counted.CLIENT_LIMIT ?? 0)).toBeGreaterThan(1000)
    expect(await client.do('finish', { handle })).toMatchObject({ bytes: 32 << 20 })
  })

  it('of fragments without a first one is bounded and counted', async () => {
    const { gateway } = scene.now
    await python(
      'server',
      `
from scapy.all import *
p = [bytes(IP(src="192.0.2.80", dst="198.51.100.70", id=i, frag=100, proto=17) / Raw(bytes(800))) for i in range(2000)]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for each in p:
    s.sendto(each, ("198.51.100.70", 0))`,
    )
    const counted = await drops(gateway)
    expect((counted.FRAGMENT_MEMORY ?? 0) + (counted.FRAGMENT_TIMEOUT ?? 0)).toBeGreaterThan(1000)
    expect((await gateway.api('/healthz')).status).toBe(200)
  })
})
