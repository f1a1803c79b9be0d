// SPDX-License-Identifier: Apache-2.0
/*
 *   a ──── gwa ══════ 6in4 ══════ gwb ──── b      2001:db8:a::/64 and 2001:db8:b::/64, see tunnel-sites.ts
 *              192.0.2.1   198.51.100.1
 */
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host, streamHash } from './host.ts'
import { capture, story } from './story.ts'
import { forge, LOCAL, lost, useSites } from './tunnel-sites.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const A = '2001:db8:a'
const B = '2001:db8:b'
const BYTES = 8 << 20

story('A 6in4 tunnel of the gateway itself', ['ping', 'tcpdump', 'tshark', 'ethtool', '/usr/bin/python3'], () => {
  const common = { name: 'far0', mode: '6in4', backend: 'sixgate' }
  const far = { ...common, local: LOCAL.a, remote: LOCAL.b, routes: [`${B}::/64`], addresses: ['2001:db8:f::1/64'] }
  const near = { ...common, local: LOCAL.b, remote: LOCAL.a, routes: [`${A}::/64`], addresses: ['2001:db8:f::2/64'] }
  const sites = useSites('tun4', { a: { tunnels: [far], prefix: A }, b: { tunnels: [near], prefix: B } })
  const ping = async (...args: string[]) => {
    const { stdout } = await sites.now.a.host.attempt('ping', ['-6', '-n', '-c', '1', '-W', '3', ...args])
    return stdout
  }
  const put = (name: string, body: object, ifMatch = '*') =>
    sites.now.a.gateway.api(`/api/v1/tunnels/${name}`, { method: 'PUT', body, headers: { 'if-match': ifMatch } })

  it('joins two islands, with protocol 41 and the right addresses between them', async () => {
    const { mid, b } = sites.now
    const seen = await capture(mid, 'to-a', 'ip proto 41')
    expect(await ping(b.address)).toMatch(/1 received/)
    const fields = ['ip.src', 'ip.dst', 'ip.ttl', 'ip.flags.df', 'ipv6.src', 'ipv6.dst']
    const packets = await until('two packets are captured', async () => {
      const rows = await seen.packets(fields, { stop: false })
      return rows.length >= 2 && rows
    })
    await seen.process.stop('SIGINT')
    expect(packets[0]).toEqual([LOCAL.a, LOCAL.b, '64', expect.stringMatching(/^(1|True)$/), `${A}::10`, b.address])
    expect(packets[1]?.slice(0, 2)).toEqual([LOCAL.b, LOCAL.a])
  })

  it.each(['off', 'on'])('carries a stream whole while GRO is %s', async (gro) => {
    const { a, b } = sites.now
    for (const { router } of [a, b]) await router.run('ethtool', ['-K', 'wan0', 'gro', gro])
    const [server, client] = [await Host.start(b.host), await Host.start(a.host)]
    await server.do('sink', { host: '::', port: gro === 'on' ? 81 : 80 })
    const seed = `gro ${gro}`
    const got = await client.do('upload', { host: b.address, port: gro === 'on' ? 81 : 80, seed, bytes: BYTES })
    expect(got).toMatchObject({ bytes: BYTES, sha256: streamHash(seed, BYTES) })
  })

  it('carries the mark of congestion inside out and outside in (RFC 6040)', async () => {
    const { mid, b } = sites.now
    const seen = await capture(mid, 'to-a', 'ip proto 41 and src 192.0.2.1')
    expect(await ping('-Q', '0xfe', b.address)).toMatch(/1 received/)
    const [packet] = await until('it is captured', async () => {
      const rows = await seen.packets(['ip.dsfield', 'ipv6.tclass'], { stop: false })
      return rows.length > 0 && rows
    })
    await seen.process.stop('SIGINT')
    // the ECN field goes along, the DSCP is the tunnel's own
    expect(packet?.map(Number)).toEqual([0x02, 0xfe])
  })

  it('tells the sender inside what the way outside does not carry', async () => {
    const { mid, a, b } = sites.now
    expect(await ping('-M', 'do', '-s', '1400', b.address)).toMatch(/1 received/)
    await mid.ip('link', 'set', 'to-b', 'mtu', '1400')
    try {
      // the first goes all the way to the narrow link, whose router answers with ICMPv4
      const told = await until('the sender is told', async () => {
        const text = await ping('-M', 'do', '-s', '1400', b.address)
        return /mtu[ =:]*1380/i.test(text) && text
      })
      expect(told).not.toMatch(/1 received/)
      expect(await ping('-M', 'do', '-s', '1332', b.address)).toMatch(/1 received/)
      await a.host.ip('-6', 'route', 'flush', 'cache')
      // now the gateway knows, and answers itself
      expect(await ping('-M', 'do', '-s', '1400', b.address)).toMatch(/From 2001:db8:f::1 .*mtu=1380/)
      expect((await lost(a, 'far0')).TOO_BIG).toBeGreaterThan(0)
      const { body } = await a.gateway.api('/api/v1/tunnels/far0')
      expect(body.errors).toBeGreaterThan(0)
    } finally {
      await mid.ip('link', 'set', 'to-b', 'mtu', '1500')
      for (const { router, host } of [a, b]) {
        await router.ip('route', 'flush', 'cache')
        await host.ip('-6', 'route', 'flush', 'cache')
      }
    }
  })

  it('fragments outside where the way carries less than IPv6 needs (RFC 4213 section 3.2.2)', async () => {
    const { mid, a, b } = sites.now
    const narrow = async (mtu: string) => {
      await mid.ip('link', 'set', 'to-b', 'mtu', mtu)
      await b.router.ip('link', 'set', 'wan0', 'mtu', mtu)
    }
    const seen = await capture(b.router, 'wan0', 'ip proto 41 and src 192.0.2.1')
    await narrow('1000')
    try {
      await until('packets of 1280 bytes go through', async () =>
        /1 received/.test(await ping('-s', '1232', b.address)),
      )
      expect(await ping('-M', 'do', '-s', '1233', b.address)).toMatch(/mtu=1280/)
    } finally {
      await narrow('1500')
      for (const { router } of [a, b]) await router.ip('route', 'flush', 'cache')
    }
    const offsets = (await seen.packets(['ip.frag_offset'])).flat().map(Number)
    expect(offsets).toContain(0)
    expect(offsets.some((offset) => offset > 0)).toBe(true)
  })

  it('takes nothing from a stranger, and counts what it refused', async () => {
    const { mid, a } = sites.now
    await forge(mid, ['203.0.113.66', LOCAL.a], [`${B}::66`, `${A}::10`])
    await until('it is counted', async () => (await lost(a, 'strays')).TUNNEL_UNKNOWN === 1)
    await forge(mid, [LOCAL.b, LOCAL.a], ['ff02::1', `${A}::10`])
    await until('it is counted', async () => (await lost(a, 'far0')).TUNNEL_INNER_SOURCE === 1)
    const { text } = await a.gateway.api('/metrics')
    expect(text).toMatch(/^sixgate_tunnel_dropped_packets_total\{tunnel="far0",reason="TUNNEL_INNER_SOURCE"\} 1$/m)
    expect(text).toMatch(/^sixgate_tunnel_packets_total\{tunnel="far0",direction="out"\} [1-9]/m)
  })

  it('comes back when somebody deletes its link', async () => {
    const { a, b } = sites.now
    await a.router.ip('link', 'del', 'far0')
    await until('packets go through again', async () => /1 received/.test(await ping(b.address)))
  })

  it('is shown with its backend and the reason for it', async () => {
    const { a } = sites.now
    const args = [main, 'show', 'tunnels', '--instance', a.gateway.instance]
    const text = await a.router.run(process.execPath, args)
    expect(text).toMatch(/far0 +6in4 +192\.0\.2\.1 +198\.51\.100\.1 +up +1480 .*sixgate: configured/)
    expect(text).toMatch(/far0 +TUNNEL_INNER_SOURCE +1/)
  })

  it('is made, changed and removed by the API, as often as it is asked', async () => {
    const { a, b } = sites.now
    const body = {
      mode: '6in4',
      backend: 'sixgate',
      local: LOCAL.a,
      remote: '203.0.113.9',
      routes: ['2001:db8:9::/48'],
    }
    expect((await put('near0', body)).status).toBe(201)
    expect((await put('near0', body)).status).toBe(200)
    expect(await a.router.ip('-6', 'route', 'show', '2001:db8:9::/48')).toContain('dev near0')
    const changed = { ...body, mtu: 1300, routes: ['2001:db8:8::/48'] }
    expect((await put('near0', changed)).body).toMatchObject({ name: 'near0', mtu: 1300, state: 'up' })
    expect(await a.router.ip('-6', 'route', 'show', '2001:db8:9::/48')).toBe('')
    const wrong = await put('near0', { ...body, remote: LOCAL.a })
    expect([wrong.status, wrong.text]).toEqual([422, expect.stringContaining('/tunnels/1/remote')])
    const gone = { method: 'DELETE', headers: { 'if-match': '*' } }
    expect((await a.gateway.api('/api/v1/tunnels/near0', gone)).status).toBe(200)
    expect((await a.gateway.api('/api/v1/tunnels/near0', gone)).status).toBe(404)
    expect((await a.router.attempt('ip', ['link', 'show', 'near0'])).code).not.toBe(0)
    expect(await ping(b.address)).toMatch(/1 received/)
  })

  it('refuses the name of a link that is somebody else’s', async () => {
    const { a } = sites.now
    await a.router.ip('link', 'add', 'foreign0', 'type', 'veth', 'peer', 'foreign1')
    const answer = await put('foreign0', { mode: '6in4', local: LOCAL.a, remote: '203.0.113.9' })
    expect([answer.status, answer.text]).toEqual([422, expect.stringContaining('/tunnels/1/name')])
  })

  it('lives on while one daemon hands over to the next', async () => {
    const { a, b } = sites.now
    await a.gateway.stop('SIGUSR2')
    expect(await a.router.ip('link', 'show', 'far0')).toContain('far0')
    await a.gateway.start()
    await until('packets go through again', async () => /1 received/.test(await ping(b.address)))
  })

  it('goes with the gateway', async () => {
    const { a } = sites.now
    await a.gateway.stop()
    expect((await a.router.attempt('ip', ['link', 'show', 'far0'])).code).not.toBe(0)
    expect(await a.router.ip('-6', 'route', 'show', `${B}::/64`)).toBe('')
  })
})
