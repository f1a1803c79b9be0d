// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.1    192.0.2.80
 *                    pool 198.51.100.64/28
 */
import { expect, it } from 'vitest'
import { capture, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

story('Ping through the gateway', ['ping', 'tcpdump', 'tshark'], () => {
  const scene = useScene('ping')
  const ping = async (...args: string[]) => {
    const { stdout } = await scene.now.client.attempt('ping', ['-6', '-W', '5', ...args])
    return stdout
  }

  it('answers every echo of any size, fragments too', async () => {
    for (const size of ['0', '56', '1400', '3000', '20000'])
      expect(await ping('-c', '3', '-i', '0.02', '-s', size, SERVER)).toMatch(/ 3 received/)
  })

  it('lowers the hop limit by one', async () => {
    const seen = await capture(scene.now.server, 'eth0', 'icmp[icmptype] == icmp-echo')
    expect(await ping('-c', '1', '-t', '33', SERVER)).toMatch(/ 1 received/)
    expect(await seen.packets(['ip.ttl', 'ip.src'])).toEqual([['32', expect.stringMatching(/^198\.51\.100\./)]])
  })

  it('lowers the time to live by one on the way back', async () => {
    expect(await ping('-c', '1', SERVER)).toMatch(/ttl=63 /)
  })

  it('tells two clients with one identifier apart', async () => {
    await scene.now.client.ip('address', 'add', '2001:db8:1::11/64', 'dev', 'eth0', 'nodad')
    const sources = ['2001:db8:1::10', '2001:db8:1::11']
    const both = await Promise.all(
      sources.map((source) => ping('-c', '5', '-i', '0.02', '-e', '77', '-I', source, SERVER)),
    )
    for (const text of both) expect(text).toMatch(/ 5 received/)
    const { body } = await scene.now.gateway.api('/api/v1/bindings?protocol=icmp')
    const inside = body.bindings.map((binding: { inside: string }) => binding.inside)
    for (const source of sources) expect(inside).toContain(`[${source}]:77`)
  })

  it('passes on that a host is unreachable', async () => {
    await scene.now.router.ip('route', 'add', 'unreachable', '203.0.113.9/32')
    expect(await ping('-c', '1', '64:ff9b::203.0.113.9')).toMatch(/unreachable/i)
  })
})
