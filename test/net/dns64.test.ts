// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   [2001:db8:1::1]:53          192.0.2.80 www.example.net, A only
 *                                                192.0.2.53 its name server
 */
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { story, useScene } from './story.ts'

const origin = fileURLToPath(new URL('../lab/origin.ts', import.meta.url))

story('DNS64 asked by dig', ['dig'], () => {
  const scene = useScene('dns64', {
    config: {
      dns64: {
        listen: ['[2001:db8:1::1]:53', '192.0.2.1:53'],
        upstreams: ['192.0.2.53:53'],
        clients: ['2001:db8:1::/48', '192.0.2.0/24'],
      },
    },
    async extend({ server }) {
      await server.ip('address', 'add', '192.0.2.53/24', 'dev', 'eth0')
      await server.program(origin, ['192.0.2.80', '192.0.2.53', 'example.net'])
    },
  })
  const dig = (...args: string[]) => scene.now.client.run('dig', ['@2001:db8:1::1', '+tries=2', '+time=3', ...args])

  it('makes an AAAA of an A', async () => {
    const text = await dig('www.example.net', 'AAAA')
    expect(text).toMatch(/status: NOERROR/)
    // RFC 6147 5.1.7: the least of the A's 300 s and the SOA's 60 s
    expect(text).toMatch(/^www\.example\.net\.\s+60\s+IN\s+AAAA\s+64:ff9b::c000:250$/m)
  })

  it('passes A on as it is', async () => {
    expect(await dig('+short', 'www.example.net', 'A')).toBe('192.0.2.80\n')
  })

  it('answers over TCP, and over IPv4', async () => {
    expect(await dig('+tcp', '+short', 'www.example.net', 'AAAA')).toBe('64:ff9b::c000:250\n')
    const args = ['@192.0.2.1', '+short', 'www.example.net', 'AAAA']
    expect(await scene.now.server.run('dig', args)).toBe('64:ff9b::c000:250\n')
  })

  it('passes NXDOMAIN on', async () => {
    expect(await dig('nowhere.example.net', 'AAAA')).toMatch(/status: NXDOMAIN/)
  })

  it('answers ipv4only.arpa itself (RFC 7050, RFC 8880)', async () => {
    const lines = (text: string) => text.trim().split('\n').sort()
    expect(lines(await dig('+short', 'ipv4only.arpa', 'AAAA'))).toEqual(['64:ff9b::c000:aa', '64:ff9b::c000:ab'])
    expect(lines(await dig('+short', 'ipv4only.arpa', 'A'))).toEqual(['192.0.0.170', '192.0.0.171'])
    expect(await dig('below.ipv4only.arpa', 'AAAA')).toMatch(/status: NXDOMAIN/)
  })

  it('answers PTR under the prefix with a CNAME to in-addr.arpa', async () => {
    expect(await dig('-x', '64:ff9b::c000:250')).toMatch(/CNAME\s+80\.2\.0\.192\.in-addr\.arpa\./)
  })

  it('speaks EDNS, and refuses a version it does not know', async () => {
    expect(await dig('www.example.net', 'AAAA', '+edns=0')).toMatch(/EDNS: version: 0, flags:; udp: 1232/)
    expect(await dig('www.example.net', 'AAAA', '+edns=1', '+noednsneg')).toMatch(/status: BADVERS/)
  })

  it('does not synthesise for a validator (DO and CD)', async () => {
    const text = await dig('www.example.net', 'AAAA', '+dnssec', '+cdflag')
    expect(text).toMatch(/ANSWER: 0/)
  })

  it('refuses a stranger', async () => {
    await scene.now.client.ip('address', 'add', '2001:db8:9::9/128', 'dev', 'eth0', 'nodad')
    await scene.now.router.ip('route', 'add', '2001:db8:9::9/128', 'via', '2001:db8:1::10', 'dev', 'lan0')
    expect(await dig('-b', '2001:db8:9::9', 'www.example.net', 'AAAA')).toMatch(/status: REFUSED/)
  })

  it('counts what it answered', async () => {
    const { status, body } = await scene.now.gateway.api('/api/v1/dns64')
    expect(status).toBe(200)
    expect(JSON.stringify(body)).toMatch(/"synthesi[sz]ed":[1-9]/)
  })
})
