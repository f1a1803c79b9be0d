// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/clock.ts'
import {
  A,
  AAAA,
  a,
  buildQuery,
  exchange,
  exchangeTcp,
  FLAGS,
  flagsOf,
  frame,
  freePort,
  opt,
  read,
  record,
  TXT,
  table,
  u16,
  u32,
} from './dns-fake.ts'
import { rcode, setUp, WEB } from './dns-setup.ts'

const QUERY = buildQuery('web.example', AAAA)

describe('transport', () => {
  it.each(['::1', '127.0.0.1', '127.0.0.77'])('answers over UDP from the address that was asked: %s', async (host) => {
    const { gateway } = await setUp(table(WEB))
    // exchange() connects its socket, which takes nothing from any other address.
    expect(read(await gateway.send(QUERY, host)).answers).toHaveLength(1)
  })

  it.each(['::1', '127.0.0.1'])('answers over TCP to %s', async (host) => {
    const { gateway } = await setUp(table(WEB))
    const [reply] = await exchangeTcp(frame(QUERY), gateway.port, 1, host)
    expect(read(reply!).answers).toHaveLength(1)
  })

  it('answers on an IPv4 listener and from any of its addresses', async () => {
    const port = await freePort()
    const { gateway } = await setUp(table(WEB), { listen: [`0.0.0.0:${port}`] })
    expect(gateway.port).not.toBe(port)
    for (const host of ['127.0.0.1', '127.0.0.9'])
      expect(read(await exchange(QUERY, port, host)).answers).toHaveLength(1)
  })

  it('answers a link-local client on its link', async (context) => {
    const zone = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      (addresses ?? []).filter(({ address }) => address.startsWith('fe80:')).map(({ address }) => `${address}%${name}`),
    )[0]
    if (!zone) return context.skip('no link has a link-local address (needs a link)')
    const { gateway } = await setUp(table(WEB), { clients: ['fe80::/10'] })
    expect(read(await gateway.send(QUERY, zone)).answers).toHaveLength(1)
  })

  it('answers pipelined queries on one connection, in any order', async () => {
    const { upstream, gateway } = await setUp(() => 'silent')
    const slow = buildQuery('slow.example', A, { id: 1 })
    const fast = buildQuery('ipv4only.arpa', A, { id: 2 })
    const answers = exchangeTcp(Buffer.concat([frame(slow), frame(fast)]), gateway.port, 2)
    const [asked] = await upstream.received(1)
    asked!.reply({ answers: [a('slow.example', '192.0.2.1')] })
    expect((await answers).map((bytes) => bytes.readUInt16BE(0)).sort()).toEqual([1, 2])
  })

  it('reads a query that arrives byte by byte', async () => {
    const { gateway } = await setUp(table(WEB))
    const socket = connect(gateway.port, '127.0.0.1')
    socket.setNoDelay(true)
    for (const byte of frame(QUERY))
      await new Promise<void>((resolve) => socket.write(Buffer.from([byte]), () => resolve()))
    const reply = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    socket.destroy()
    expect(read(reply.subarray(2)).answers).toHaveLength(1)
  })

  it('closes a connection that is idle, and no other', async () => {
    const { upstream, gateway } = await setUp(() => 'silent', { tcpIdleTimeout: '1s' })
    const busy = exchangeTcp(frame(buildQuery('slow.example', A)), gateway.port, 1)
    const [asked] = await upstream.received(1)
    // Nothing is sent: the connection ends because the gateway closes it.
    expect(await exchangeTcp(Buffer.alloc(0), gateway.port, 1)).toEqual([])
    asked!.reply({ answers: [a('slow.example', '192.0.2.1')] })
    expect(await busy).toHaveLength(1)
  })

  it('keeps to its limit of connections: the one idle longest makes room', async () => {
    const { gateway } = await setUp(table(WEB), { tcpConnections: 2 })
    const connections = []
    for (let number = 0; number < 3; number++) {
      const socket = connect(gateway.port, '127.0.0.1')
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      socket.write(frame(QUERY))
      await new Promise((resolve) => socket.once('data', resolve))
      connections.push({ socket, closed })
    }
    await connections[0]!.closed
    expect(gateway.server.stats().tcpConnections).toBe(2)
    for (const { socket } of connections) socket.destroy()
  })

  it('survives a client that leaves before its answer', async () => {
    const { upstream, gateway } = await setUp(() => 'silent')
    const socket = connect(gateway.port, '127.0.0.1')
    socket.write(frame(buildQuery('slow.example', A)))
    const [asked] = await upstream.received(1)
    const gone = new Promise((resolve) => socket.once('close', resolve))
    socket.resetAndDestroy()
    await gone
    asked!.reply({ answers: [a('slow.example', '192.0.2.1')] })
    expect((await gateway.ask('ipv4only.arpa', A)).answers).toHaveLength(2)
  })

  it('names the endpoint that is in use, over UDP and TCP', async () => {
    const { gateway } = await setUp(table(WEB))
    await expect(setUp(table(WEB), { listen: [`127.0.0.1:${gateway.port}`] })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: `127.0.0.1:${gateway.port} is in use`,
    })
  })

  it('opens what is new and keeps what stays when its listeners change', async () => {
    const { gateway } = await setUp(table(WEB))
    const second = await freePort()
    const socket = connect(gateway.port, '127.0.0.1')
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
    await gateway.update({ listen: [`[::]:${gateway.port}`, `[::1]:${second}`] })
    expect(read(await exchange(QUERY, second, '::1')).answers).toHaveLength(1)
    socket.write(frame(QUERY))
    const reply = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    expect(read(reply.subarray(2)).answers).toHaveLength(1)
    await gateway.update({ listen: [`[::1]:${second}`] })
    const taken = createSocket('udp6')
    await new Promise<void>((resolve) => taken.bind(gateway.port, '::', resolve))
    await new Promise<void>((resolve) => taken.close(() => resolve()))
  })

  it('moves from the wildcard to one address of the same port, and back when that fails', async () => {
    const { gateway } = await setUp(table(WEB))
    await expect(gateway.update({ listen: [`192.0.2.1:${gateway.port}`] })).rejects.toMatchObject({
      code: 'ADDRESS_NOT_LOCAL',
    })
    expect(read(await gateway.send(QUERY)).answers).toHaveLength(1)
    await gateway.update({ listen: [`[::1]:${gateway.port}`] })
    expect(read(await gateway.send(QUERY, '::1')).answers).toHaveLength(1)
    const free = createSocket('udp4')
    await new Promise<void>((resolve) => free.bind(gateway.port, '127.0.0.1', resolve))
    await new Promise<void>((resolve) => free.close(() => resolve()))
  })

  it('changes nothing when a new listener cannot be had', async () => {
    const { gateway } = await setUp(table(WEB))
    const other = await setUp(table(WEB))
    const listen = [`[::]:${await freePort()}`, `[::]:${other.gateway.port}`]
    await expect(gateway.update({ listen, bypass: ['example'] })).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    expect((await gateway.ask('web.example', AAAA)).answers).toHaveLength(1)
  })
})

describe('EDNS (RFC 6891)', () => {
  it('answers EDNS with one OPT record that caps the size at 1232, and no EDNS with none', async () => {
    const { gateway } = await setUp(table(WEB))
    for (let turn = 0; turn < 2; turn++) {
      const [found] = (await gateway.ask('web.example', AAAA, { edns: { size: 4096 } })).additionals
      expect([found!.type, found!.class]).toEqual([41, 1232])
      expect((await gateway.ask('web.example', AAAA)).additionals).toEqual([])
    }
  })

  it('refuses a later version with BADVERS and its own version', async () => {
    const { gateway } = await setUp(table(WEB))
    const reply = await gateway.ask('web.example', AAAA, { edns: { version: 1 } })
    expect([reply.header.rcode, reply.answers, (reply.additionals[0]!.ttl >>> 16) & 255]).toEqual([16, [], 0])
  })

  it('ignores options it does not know', async () => {
    const { gateway } = await setUp(table(WEB))
    const options = Buffer.concat([u16(65001), u16(3), Buffer.from([1, 2, 3]), u16(10), u16(8), Buffer.alloc(8)])
    expect((await gateway.ask('web.example', AAAA, { edns: { options } })).answers).toHaveLength(1)
  })

  it.each([
    ['two OPT records', Buffer.concat([opt({}), opt({})]), 2],
    ['an OPT record that has an owner', Buffer.concat([Buffer.from([1, 97]), opt({})]), 1],
    ['an option longer than its record', opt({ options: Buffer.concat([u16(10), u16(9), Buffer.alloc(8)]) }), 1],
    ['a record longer than the message', Buffer.concat([opt({}).subarray(0, 9), u16(4)]), 1],
    ['bytes behind its end', Buffer.from([0]), 0],
    ['fewer records than it counts', Buffer.alloc(0), 65535],
  ])('answers %s with FORMERR', async (_, rest, count) => {
    const { gateway } = await setUp(table(WEB))
    const packet = Buffer.concat([QUERY, rest])
    packet.writeUInt16BE(count, 10)
    const reply = await gateway.send(packet)
    expect([rcode(reply), reply.readUInt16BE(0)]).toEqual([1, 4711])
  })

  it('sets TC, keeps OPT and sends no half answer when synthesis overflows', async () => {
    const answers = Array.from({ length: 60 }, (_, index) => a('web.example', `192.0.2.${index}`))
    const { gateway } = await setUp(table({ ...WEB, 'web.example 1': { answers: answers.slice(0, 60) } }))
    for (let turn = 0; turn < 2; turn++) {
      const reply = read(await gateway.send(buildQuery('web.example', AAAA, { edns: { size: 65535 } })))
      expect([reply.header.tc, reply.answers, reply.additionals.map(({ type }) => type)]).toEqual([1, [], [41]])
      const [whole] = await exchangeTcp(frame(QUERY), gateway.port)
      expect(read(whole!).answers).toHaveLength(60)
    }
  })

  it('sends 512 bytes at most without EDNS, and what the client says with it', async () => {
    const data = Buffer.concat([Buffer.from([250]), Buffer.alloc(250, 97)])
    const answers = [0, 1, 2].map(() => record('web.example', TXT, 60, data))
    const { gateway } = await setUp(table({ 'web.example 16': { answers: answers.slice(0, 2), additionals: [] } }))
    const long = await gateway.send(buildQuery('web.example', TXT))
    expect(flagsOf(long) & FLAGS.TC).toBe(FLAGS.TC)
    expect(read(await gateway.send(buildQuery('web.example', TXT, { edns: { size: 1000 } }))).answers).toHaveLength(2)
    expect(flagsOf(await gateway.send(buildQuery('web.example', TXT, { edns: { size: 100 } }))) & FLAGS.TC).toBe(
      FLAGS.TC,
    )
  })

  it('does not hand on the OPT record of the upstream', async () => {
    const additionals = [a('ns.example', '192.0.2.53'), opt({ options: Buffer.concat([u16(8), u16(0)]) })]
    const { gateway } = await setUp(
      table({ 'web.example 1': { answers: [a('web.example', '192.0.2.1')], additionals } }),
    )
    expect((await gateway.ask('web.example', A)).additionals.map(({ type }) => type)).toEqual([A])
  })
})

describe('queries that are none', () => {
  it.each([
    ['a packet shorter than a header', QUERY.subarray(0, 11)],
    ['an empty packet', Buffer.alloc(0)],
    ['an answer', Buffer.concat([u16(1234), u16(0x8180), QUERY.subarray(4)])],
  ])('says nothing to %s', async (_, packet) => {
    const { gateway } = await setUp(table(WEB))
    expect(await gateway.answersTo(packet)).toBeUndefined()
    expect(gateway.server.stats().dropped.malformed).toBe(1)
  })

  it.each([0, 2, 65535])('answers QDCOUNT %i with FORMERR', async (count) => {
    const { gateway } = await setUp(table(WEB))
    const packet = Buffer.concat([QUERY])
    packet.writeUInt16BE(count, 4)
    expect(rcode(await gateway.send(packet))).toBe(1)
  })

  it.each([1, 2, 4, 5, 15])('answers opcode %i with NOTIMP, the opcode kept', async (opcode) => {
    const { gateway } = await setUp(table(WEB))
    const packet = Buffer.concat([QUERY])
    packet.writeUInt16BE(opcode << 11, 2)
    const reply = await gateway.send(packet)
    expect([rcode(reply), (flagsOf(reply) >> 11) & 15]).toEqual([4, opcode])
  })

  it.each([
    ['a zone transfer', buildQuery('example', 252), 4],
    ['class CH', Buffer.concat([buildQuery('version.bind', TXT).subarray(0, -2), u16(3)]), 5],
    ['a name that is compressed', Buffer.concat([QUERY.subarray(0, 12), Buffer.from([0xc0, 12]), u16(A), u16(1)]), 1],
    [
      'a label of 64 bytes',
      Buffer.concat([QUERY.subarray(0, 12), Buffer.from([64]), Buffer.alloc(64, 97), Buffer.from([0]), u16(A), u16(1)]),
      1,
    ],
  ])('refuses %s', async (_, packet, code) => {
    const { gateway } = await setUp(table(WEB))
    expect(rcode(await gateway.send(packet))).toBe(code)
  })

  it('takes a name of 255 bytes and none of 256', async () => {
    const { gateway } = await setUp(() => ({}))
    const name = (last: number) => [63, 63, 63, last].map((length) => 'a'.repeat(length)).join('.')
    expect(rcode(await gateway.send(buildQuery(name(61), A)))).toBe(0)
    expect(rcode(await gateway.send(buildQuery(name(62), A)))).toBe(1)
  })

  it('keeps RD and CD as they came, and clears what is not its to say', async () => {
    const { gateway } = await setUp(table(WEB))
    const reply = await gateway.send(buildQuery('web.example', AAAA, { flags: 0x0750 }))
    expect(flagsOf(reply)).toBe(FLAGS.QR | FLAGS.RA | FLAGS.RD | FLAGS.CD)
  })
})

describe('clients', () => {
  it('refuses those outside the list, by either family', async () => {
    const { upstream, gateway } = await setUp(table(WEB), { clients: ['127.0.0.5/32', '2001:db8::/32'] })
    expect(rcode(await gateway.send(QUERY))).toBe(5)
    expect(rcode(await gateway.send(QUERY, '::1'))).toBe(5)
    expect(gateway.server.stats().refused).toBe(2)
    expect(upstream.asked).toEqual([])
  })

  it('limits a /24 to its rate, with a burst of a second, and counts what it drops', async () => {
    const clock = new ManualClock()
    const { gateway } = await setUp(table(WEB), { rateLimit: 5 }, clock)
    const ask = () => gateway.answersTo(buildQuery('ipv4only.arpa', A))
    for (let number = 0; number < 4; number++) expect(await gateway.send(buildQuery('ipv4only.arpa', A))).toBeDefined()
    const socket = createSocket('udp4')
    const replies: Buffer[] = []
    socket.on('message', (bytes) => replies.push(bytes))
    // Loopback keeps order: two of one network, of which one is too many, then one of another family.
    for (const id of [1, 2])
      await new Promise((resolve) =>
        socket.send(buildQuery('ipv4only.arpa', A, { id }), gateway.port, '127.0.0.1', resolve),
      )
    expect(read(await gateway.send(buildQuery('ipv4only.arpa', A), '::1')).answers).toHaveLength(2)
    socket.close()
    expect(gateway.server.stats().dropped.rateLimited).toBe(1)
    clock.advance(400)
    expect(await ask()).toBeDefined()
  })
})

describe('hostile packets', () => {
  const header = (questions: number, records: number) =>
    Buffer.concat([u16(666), u16(0x0100), u16(questions), u16(0), u16(0), u16(records)])
  const pointer = (at: number) => Buffer.from([0xc0 | (at >> 8), at & 255])

  it('answers FORMERR or nothing to a corpus of loops, pointer chains and counts that lie', async () => {
    const { gateway } = await setUp(table(WEB))
    const chain = Buffer.concat(Array.from({ length: 900 }, (_, index) => pointer(12 + 2 * index)))
    const corpus = [
      Buffer.concat([header(1, 0), pointer(12), u16(A), u16(1)]),
      Buffer.concat([header(1, 0), Buffer.from([1, 97]), pointer(12), u16(A), u16(1)]),
      Buffer.concat([header(1, 0), chain, u16(A), u16(1)]),
      Buffer.concat([header(65535, 65535), Buffer.alloc(1900)]),
      Buffer.concat([header(1, 65535), QUERY.subarray(12), Buffer.alloc(1800)]),
      Buffer.concat([
        header(1, 65535),
        QUERY.subarray(12),
        ...Array.from({ length: 150 }, () => Buffer.concat([pointer(12), u16(A), u16(1), u32(0), u16(0)])),
      ]),
      Buffer.concat([header(1, 1), QUERY.subarray(12), Buffer.from([0x40]), Buffer.alloc(20)]),
      Buffer.concat([header(1, 0), Buffer.alloc(1900, 63)]),
    ]
    for (const packet of corpus) expect(rcode((await gateway.answersTo(packet)) ?? Buffer.from([0, 0, 0, 1]))).toBe(1)
  })

  it('answers a query cut anywhere with FORMERR or nothing', async () => {
    const { gateway } = await setUp(table(WEB))
    const whole = buildQuery('web.example', AAAA, { edns: { options: Buffer.concat([u16(10), u16(2), u16(1)]) } })
    for (let length = 0; length < whole.length; length++) {
      const reply = await gateway.answersTo(whole.subarray(0, length))
      expect([length, reply === undefined ? 'nothing' : rcode(reply)]).toEqual([length, length < 12 ? 'nothing' : 1])
    }
  })

  it('closes a TCP connection that sends what deserves no answer', async () => {
    const { gateway } = await setUp(table(WEB))
    expect(await exchangeTcp(frame(Buffer.alloc(5)), gateway.port)).toEqual([])
  })

  it('loses nothing but a datagram larger than a slot', async () => {
    const { gateway } = await setUp(table(WEB))
    expect(await gateway.answersTo(Buffer.concat([QUERY, Buffer.alloc(4000)]))).toBeUndefined()
  })
})
