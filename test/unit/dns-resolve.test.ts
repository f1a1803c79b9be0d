// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { main } from '../../src/cli/dispatch.ts'
import { A, a, FLAGS, freePort, Gateway, PTR, ptr, record, soa, TXT, table, wireName } from './dns-fake.ts'
import { closing, upstreamOf } from './dns-setup.ts'

async function sixgate(...args: string[]) {
  const out: string[] = []
  const err: string[] = []
  const code = await main(['resolve', ...args], { out: (line) => out.push(line), err: (line) => err.push(line) })
  return { code, out, err }
}

describe('sixgate resolve', () => {
  it('asks for AAAA and says that the answer is synthesised', async () => {
    const upstream = await upstreamOf(
      table({
        'web.example 28': { authorities: [soa('example', 60)] },
        'web.example 1': { answers: [a('web.example', '192.0.2.33')] },
      }),
    )
    const gateway = await Gateway.start([upstream])
    closing(gateway)
    const { code, out } = await sixgate('web.example', `@[::1]:${gateway.port}`)
    expect(out).toEqual([
      'name          ttl  type  data',
      'web.example.   60  AAAA  64:ff9b::c000:221',
      `[::1]:${gateway.port}: NOERROR, synthesised from IPv4`,
    ])
    expect(code).toBe(0)
  })

  it('prints JSON', async () => {
    const server = await upstreamOf(() => ({ answers: [a('web.example', '192.0.2.1', 7)] }))
    const { code, out } = await sixgate('--json', 'web.example', 'a', `@${server.endpoint}`)
    expect(JSON.parse(out.join('\n'))).toEqual({
      server: server.endpoint,
      transport: 'udp',
      name: 'web.example.',
      type: 'A',
      rcode: 'NOERROR',
      synthesised: false,
      answers: [{ name: 'web.example.', ttl: 7, type: 'A', data: '192.0.2.1' }],
    })
    expect(code).toBe(0)
  })

  it('asks for the name of an address', async () => {
    const reverse = '33.2.0.192.in-addr.arpa'
    const server = await upstreamOf(({ name, type }) =>
      name === reverse && type === PTR ? { answers: [ptr(name, 'web.example')] } : { rcode: 3 },
    )
    expect((await sixgate('192.0.2.33', `@${server.endpoint}`)).out.join()).toContain('web.example.')
    await sixgate('2001:db8::1', `@${server.endpoint}`)
    expect(server.asked.at(-1)!.name).toBe(`1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`)
  })

  it('asks over TCP when the answer is truncated', async () => {
    const server = await upstreamOf(({ transport }) =>
      transport === 'tcp' ? { answers: [a('web.example', '192.0.2.1')] } : { flags: FLAGS.TC },
    )
    const { out } = await sixgate('web.example', 'A', `@${server.endpoint}`)
    expect(out.at(-1)).toBe(`${server.endpoint} over TCP: NOERROR`)
  })

  it('writes data of types it does not read as RFC 3597 does, and text in quotes', async () => {
    const server = await upstreamOf(({ name, type }) => ({
      answers: [
        type === TXT
          ? record(name, TXT, 1, Buffer.from('\x05a "b\u0007', 'latin1'))
          : record(name, 65, 1, Buffer.from('000100', 'hex')),
      ],
    }))
    expect((await sixgate('web.example', 'HTTPS', `@${server.endpoint}`)).out[1]).toContain('\\# 3 000100')
    expect((await sixgate('web.example', 'TYPE65', `@${server.endpoint}`)).out[1]).toContain('\\# 3 000100')
    expect((await sixgate('web.example', 'TXT', `@${server.endpoint}`)).out[1]).toContain('"a \\"b\\u0007"')
  })

  it.each([
    ['no such name', { rcode: 3 }, 'the name does not exist (NXDOMAIN)'],
    ['no such record', {}, 'the name has no records of this type'],
    ['a refusal', { rcode: 5 }, 'this client may not ask (REFUSED)'],
    ['a failure', { rcode: 2 }, 'the server could not find out (SERVFAIL)'],
  ])('exits 1 with the reason for %s', async (_, reply, reason) => {
    const server = await upstreamOf(() => reply)
    const { code, out, err } = await sixgate('web.example', 'A', `@${server.endpoint}`)
    expect([code, out, err]).toEqual([1, [], [`sixgate: ${server.endpoint} has no A for web.example.: ${reason}`]])
  })

  it('exits 1 when nothing listens there', async () => {
    const port = await freePort()
    const { code, err } = await sixgate('web.example', `@[::1]:${port}`)
    expect([code, err]).toEqual([1, [`sixgate: nothing answers on [::1]:${port}`]])
  })

  it('exits 1 when the answer is broken', async () => {
    const server = await upstreamOf(() => ({ answers: [record('web.example', A, 1, wireName('x')).subarray(0, -1)] }))
    const { code, err } = await sixgate('web.example', 'A', `@${server.endpoint}`)
    expect(code).toBe(1)
    expect(err[0]).toContain('answers with a broken message')
  })

  it.each([
    [['web..example', '@::1'], '"web..example" is not a domain name'],
    [['web.example', 'NONSENSE', '@::1'], '"NONSENSE" is not a record type'],
    [['web.example', 'A', '@2001:db8::x'], '2001:db8::x'],
    [['web.example', '@::1', '@::2'], 'unexpected operand "@::2"'],
    [['@::1'], 'NAME is missing'],
  ])('exits 2 for %j', async (args, message) => {
    const { code, err } = await sixgate(...args)
    expect(code).toBe(2)
    expect(err.join()).toContain(message)
  })
})
