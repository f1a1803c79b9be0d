// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   sixgate trace               192.0.2.80
 */
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import type { Background } from '../lab/process.ts'
import { Host } from './host.ts'
import { story, useScene } from './story.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const SERVER = '64:ff9b::192.0.2.80'

story('A trace', ['/usr/bin/python3'], () => {
  const scene = useScene('trace')
  let client: Host
  let server: Host

  beforeAll(async () => {
    client = await Host.start(scene.now.client)
    server = await Host.start(scene.now.server)
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
  })

  /** `sixgate trace`, as soon as it sees packets. */
  const trace = async (...args: string[]): Promise<Background> => {
    const { router, gateway } = scene.now
    const cli = router.spawn(process.execPath, [main, 'trace', '--instance', gateway.instance, ...args])
    await cli.waitFor(/following/)
    return cli
  }

  it('shows a datagram and its answer, from step to step', async () => {
    const cli = await trace('--protocol', 'udp', '--limit', '2')
    await client.do('udpAsk', { host: SERVER, port: 7, sizes: [32], localPort: 4711 })
    expect((await cli.exited).code).toBe(0)
    const lines = cli.output.split('\n')
    const pool = /198\.51\.100\.\d+:\d+/.exec(cli.output)?.[0] ?? ''
    expect(lines.filter((line) => line !== '').map((line) => line.replace(/^\S+Z {2}/, ''))).toEqual([
      'following; Ctrl-C ends it',
      'udp [2001:db8:1::10]:4711 → [64:ff9b::c000:250]:7, 80 bytes',
      '  session: new, ESTABLISHED',
      `  translate: udp ${pool} → 192.0.2.80:7, 60 bytes`,
      '  route: sent',
      `udp 192.0.2.80:7 → ${pool}, 60 bytes`,
      '  session: ESTABLISHED',
      '  translate: udp [64:ff9b::c000:250]:7 → [2001:db8:1::10]:4711, 80 bytes',
      '  route: sent',
      'the limit is reached: 2 packets',
    ])
  })

  it('shows why a datagram goes nowhere', async () => {
    const cli = await trace('--to', '198.51.100.77', '--limit', '1')
    const send = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", ("198.51.100.77", 5555))'
    await scene.now.server.run('/usr/bin/python3', ['-c', send])
    expect((await cli.exited).code).toBe(0)
    expect(cli.output).toContain('lost, no binding for the IPv4 destination (NO_BINDING, RFC 6146')
  })

  it('ends with its client, and leaves room for others', async () => {
    const args = ['--from', '203.0.113.9']
    const four = await Promise.all([trace(...args), trace(...args), trace(...args), trace(...args)])
    const { gateway } = scene.now
    expect((await gateway.api('/api/v1/trace?seconds=1')).body.code).toBe('TRACE_BUSY')
    await Promise.all(four.map((cli) => cli.stop('SIGINT')))
    await trace('--limit', '1', '--protocol', 'udp')
  })
})
