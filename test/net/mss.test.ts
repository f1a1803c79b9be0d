// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *                    a SYN announces 1000 bytes at most, then what it likes
 */
import { expect, it } from 'vitest'
import { type Overrides, story, useScene } from './story.ts'

/** Both ends print the largest segment they send, with 12 bytes of timestamps. */
const ACCEPT = `
import socket
s = socket.create_server(("192.0.2.80", 7000))
s.settimeout(20)
connection, peer = s.accept()
print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) + 12)
connection.sendall(b"x" * 100000)
`
const CONNECT = `
import socket, time
until = time.monotonic() + 20
while True:
    try:
        s = socket.create_connection(("64:ff9b::192.0.2.80", 7000), 10)
        break
    except ConnectionRefusedError:
        assert time.monotonic() < until
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) + 12)
assert sum(len(piece) for piece in iter(lambda: s.recv(65536), b"")) == 100000
`

story('A SYN through the gateway', ['/usr/bin/python3'], () => {
  const clamped = (mssClamp: string): Overrides => ({
    translation: { mssClamp, icmpSourceV4: ['192.0.2.1'], icmpSourceV6: ['2001:db8:1::1'] },
  })
  const scene = useScene('mss', { config: clamped('1000B') })

  /** What client and server send at most. */
  async function segments(): Promise<number[]> {
    const { client, server } = scene.now
    const both = await Promise.all([
      client.run('/usr/bin/python3', ['-c', CONNECT]),
      server.run('/usr/bin/python3', ['-c', ACCEPT]),
    ])
    return both.map(Number)
  }

  it('announces no more than the clamp in either direction, and the connection carries data', async () => {
    expect(await segments()).toEqual([1000, 1000])
  })

  it('announces what the ends do once the clamp is off', async () => {
    const { gateway } = scene.now
    const { headers, body } = await gateway.api('/api/v1/config')
    const config = { ...body, translation: { ...body.translation, mssClamp: 'off' } }
    const changed = await gateway.api('/api/v1/config', {
      method: 'PUT',
      body: config,
      headers: { 'if-match': String(headers.etag) },
    })
    expect(changed.status).toBe(200)
    expect(await segments()).toEqual([1440, 1440])
  })
})
