// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ── DHCP ── server
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.20…30 192.0.2.80
 *                    pool 198.51.100.64/28
 */
import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { story, useScene } from './story.ts'

story('An outside address by DHCPv4', ['udhcpc', 'udhcpd'], () => {
  const scene = useScene('dhcp', {
    config: {
      interfaces: [
        { name: 'lan0', role: 'inside', addresses: ['2001:db8:1::1/64'] },
        { name: 'wan0', role: 'outside', dhcp4: true },
      ],
    },
    async extend({ topology, server }) {
      const path = (suffix: string) => topology.ownPath(`/run/sixgate-lab/dhcp-${topology.id}${suffix}`)
      const [file, leases] = [path('.conf'), path('.leases')]
      writeFileSync(leases, '')
      writeFileSync(
        file,
        `start 192.0.2.20\nend 192.0.2.30\ninterface eth0\nlease_file ${leases}\npidfile ${path('.pid')}\n` +
          'option subnet 255.255.255.0\noption router 192.0.2.80\noption lease 600\n',
      )
      server.spawn('udhcpd', ['-f', file])
    },
  })

  it('is taken, with the default route, and used by the translator', async () => {
    const { client, router, server, gateway } = scene.now
    const leased = await until('there is a lease', async () => {
      const { dhcp4 } = (await gateway.api('/api/v1/status')).body
      return (dhcp4[0].address as string | null) ?? undefined
    })
    expect(leased).toMatch(/^192\.0\.2\.(2\d|30)\/24$/)
    await until('the route is there', async () =>
      (await router.ip('route', 'show', 'default')).includes('via 192.0.2.80 dev wan0'),
    )
    await server.ip('route', 'replace', '198.51.100.64/28', 'via', leased?.split('/')[0] ?? '')
    const web = await Host.start(server)
    await web.do('echo', { host: '192.0.2.80', port: 7 })
    const visitor = await Host.start(client)
    expect((await visitor.do('greet', { host: '64:ff9b::192.0.2.80', port: 7, text: 'x' })).text).toBe('x')
  })

  it('is kept when the daemon is killed, and asked for again by its successor', async () => {
    const { router, gateway } = scene.now
    const before = await router.ip('-4', 'address', 'show', 'dev', 'wan0')
    await gateway.stop('SIGKILL')
    expect(await router.ip('-4', 'address', 'show', 'dev', 'wan0')).toBe(before)
    await gateway.start()
    await until('the lease is renewed', async () => gateway.log.includes('"event":"bound"'))
    expect(await router.ip('-4', 'address', 'show', 'dev', 'wan0')).toBe(before)
  })

  it('is given back at the end', async () => {
    const { router, gateway } = scene.now
    await gateway.stop()
    expect(await router.ip('-4', 'address', 'show', 'dev', 'wan0')).toBe('')
    expect(await router.ip('route', 'show', 'default')).toBe('')
  })
})
