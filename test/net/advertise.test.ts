// SPDX-License-Identifier: Apache-2.0
/*
 *   client ◀── RA ── lan0 gateway wan0 ── server
 *   no address       2001:db8:1::1
 */
import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { capture, story, useScene } from './story.ts'

story('Router advertisements', ['radvd', 'tcpdump', 'tshark'], () => {
  const scene = useScene('advertise', {
    config: {
      advertise: [
        {
          ...{ interface: 'lan0', prefixes: ['2001:db8:1::/64'], rdnss: ['2001:db8:1::1'], pref64: '64:ff9b::/96' },
          ...{ interval: '10s', lifetime: '5m' },
        },
      ],
    },
    idle: true,
    // the client has nothing but what the gateway tells it
    async extend({ client }) {
      await client.ip('-6', 'address', 'flush', 'dev', 'eth0', 'scope', 'global')
      await client.ip('-6', 'route', 'flush', 'default')
      await client.sysctl({ 'net.ipv6.conf.eth0.accept_ra': 1, 'net.ipv6.conf.eth0.dad_transmits': 0 })
    },
  })

  it('carry the prefix, the resolver and the NAT64 prefix (RFC 4861, 8106, 8781)', async () => {
    const seen = await capture(scene.now.client, 'eth0', 'icmp6 and ip6[40] == 134')
    await scene.now.gateway.start()
    const fields = ['icmpv6.nd.ra.router_lifetime', 'icmpv6.opt.prefix', 'icmpv6.opt.rdnss']
    const first = await until('an advertisement came', async () => (await seen.packets(fields, { stop: false }))[0], 30)
    await seen.process.stop('SIGINT')
    expect(first?.[0]).toBe('300')
    expect(first?.[1]).toBe('2001:db8:1::')
    expect(first?.[2]).toBe('2001:db8:1::1')
    // tshark of Debian 12 has no name for option 38, so its bytes are read: lifetime 304 s, length code 0 (/96)
    const raw = execFileSync('tshark', ['-r', seen.file, '-x', '-c', '1'], { encoding: 'utf8' })
    const bytes = [...raw.matchAll(/^[0-9a-f]{4} {2}((?:[0-9a-f]{2} )+)/gm)].map((match) => match[1]).join('')
    expect(bytes).toContain('26 02 01 30 00 64 ff 9b 00 00 00 00 00 00 00 00')
  })

  it('give the client its address and its default route', async () => {
    const { client, gateway } = scene.now
    await until('the client has an address', async () =>
      (await client.ip('-6', 'address', 'show', 'dev', 'eth0', 'scope', 'global')).includes('2001:db8:1:'),
    )
    await until('the client has a route', async () =>
      (await client.ip('-6', 'route', 'show', 'default')).includes('proto ra'),
    )
    const { body } = await gateway.api('/api/v1/status')
    expect(body.advertise).toMatchObject({ state: 'running', restarts: 0, links: ['lan0'] })
  })

  it('come again after radvd was killed', async () => {
    const { client, gateway } = scene.now
    const { body } = await gateway.api('/api/v1/status')
    const seen = await capture(client, 'eth0', 'icmp6 and ip6[40] == 134')
    process.kill(body.advertise.pid, 'SIGKILL')
    await until(
      'an advertisement came',
      async () => (await seen.packets(['frame.number'], { stop: false })).length > 0,
      30,
    )
    await seen.process.stop('SIGINT')
    const { advertise } = (await gateway.api('/api/v1/status')).body
    expect(advertise).toMatchObject({ state: 'running', restarts: 1, lastExit: 'signal SIGKILL' })
    expect(advertise.pid).not.toBe(body.advertise.pid)
  })

  it('say at the end that the router goes, and radvd goes with the gateway', async () => {
    const { client, gateway, router } = scene.now
    await gateway.stop()
    await until('the route is gone', async () => (await client.ip('-6', 'route', 'show', 'default')) === '')
    await until('radvd is gone', async () => !(await router.attempt('pgrep', ['-f', gateway.runDirectory])).stdout)
  })
})
