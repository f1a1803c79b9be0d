// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { JsonLines } from '../../src/binding-log/json-lines.ts'
import { RECORD_SIZE } from '../../src/binding-log/record.ts'
import type { DropCounter, SessionInfo } from '../../src/system/dataplane.ts'
import { Bench, CONFIG, type Owner, obstacle } from './dataplane-bench.ts'
import { udp } from './dataplane-packets.ts'

const reason = obstacle()

/** A datagram to each port of a host: a session each. */
const FLOOD = `
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for port in range(1, 65536):
    s.sendto(b"x", (sys.argv[1], port))
`

describe.skipIf(reason)(`The life of a data plane${reason ? ` SKIP: ${reason}` : ''}`, () => {
  let bench: Bench
  const owners: Owner[] = []
  const owner = (wrapper?: readonly string[]) => {
    const one = bench.owner(wrapper)
    owners.push(one)
    return one
  }
  const device = () => bench.inside('-o', 'link').includes('sixgate0')

  beforeAll(async () => {
    bench = await Bench.start()
    await bench.plug()
  })
  afterEach(async () => {
    for (const one of owners.splice(0)) await one.end()
    if (device()) bench.inside('link', 'del', 'sixgate0')
    execFileSync('rm', ['-f', `${bench.directory}/sessions`])
  })
  afterAll(() => bench?.close())

  it('opens and closes twice in one process and leaves no thread and no device', async () => {
    const one = owner()
    const before = await one.order('tasks')
    for (const round of [0, 1]) {
      const plane = await one.order('open', bench.options())
      // two for packets, one that watches the routes
      expect(await one.order('tasks')).toBe(before + 3)
      expect(await one.order('call', plane, 'status')).toMatchObject({ device: 'sixgate0', threads: 2, sessions: 0 })
      await one.order('call', plane, 'close')
      await one.order('call', plane, 'close')
      expect(await one.order('tasks'), `round ${round}`).toBe(before)
      expect(device()).toBe(false)
    }
  })

  it('keeps the device when told to', async () => {
    const one = owner()
    const plane = await one.order('open', bench.options())
    await one.order('call', plane, 'close', { keep: true })
    expect(device()).toBe(true)
  })

  it('ends its threads with a worker thread that forgot it', async () => {
    const one = owner()
    const before = await one.order('tasks')
    await one.order('leak', bench.options())
    await one.order('leak', bench.options())
    expect(await one.order('tasks')).toBe(before)
  })

  it('refuses a second owner of the session table', async () => {
    await owner().order('open', bench.options())
    await expect(owner().order('open', bench.options({ device: 'other0' }))).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
    })
  })

  it('names the capability that is missing', async () => {
    const weak = owner(['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'])
    await expect(weak.order('open', bench.options())).rejects.toMatchObject({
      code: 'NEED_ROOT',
      message: expect.stringContaining('CAP_NET_ADMIN'),
    })
  })

  it('says that /dev/net/tun is missing', async () => {
    const shell = 'mount -t tmpfs none /dev/net && exec "$0" "$@"'
    const blind = owner(['unshare', '--mount', 'sh', '-c', shell])
    await expect(blind.order('open', bench.options())).rejects.toMatchObject({ code: 'NO_TUN' })
  })

  it('says that /dev/net/tun is something else', async () => {
    const shell = 'mount --bind /dev/null /dev/net/tun && exec "$0" "$@"'
    const wrong = owner(['unshare', '--mount', 'sh', '-c', shell])
    await expect(wrong.order('open', bench.options())).rejects.toMatchObject({
      code: 'NO_TUN',
      message: expect.stringContaining('it is not a TUN device'),
    })
  })

  it('refuses a session file that cannot be made', async () => {
    const options = bench.options({ sessionFile: '/nonexistent/sessions' })
    await expect(owner().order('open', options)).rejects.toMatchObject({
      message: expect.stringContaining('/nonexistent/sessions'),
    })
    expect(device()).toBe(false)
  })

  it('adopts the sessions and the device of an owner that was killed', async () => {
    const first = owner()
    await first.order('open', bench.options())
    bench.route()
    const address = { source: '2001:db8:1::10', destination: '64:ff9b::192.0.2.80' }
    const packet = udp(address, { from: 5000, to: 7 }, Buffer.from('before'))
    const before = await bench.exchange(packet)
    await first.end('SIGKILL')
    expect(device()).toBe(true)

    const second = owner()
    const plane = await second.order('open', bench.options())
    expect(await second.order('call', plane, 'status')).toMatchObject({ adopted: 1, adoption: '' })
    const after = await bench.exchange(packet)
    expect([after.source, after.from]).toEqual([before.source, before.from])
  })

  it('ends the sessions that a new configuration forbids and keeps the others', async () => {
    const one = owner()
    const pools = ['198.51.100.66/32', '198.51.100.67/32'].map((pool, index) => ({
      ...{ addresses: [pool], firstPort: 1024, lastPort: 65535, clients: [`2001:db8:${index + 1}::/48`] },
    }))
    const plane = await one.order('open', bench.options({}, { pools, static: [] }))
    bench.route()
    for (const net of [1, 2]) {
      const address = { source: `2001:db8:${net}::10`, destination: '64:ff9b::192.0.2.80' }
      await bench.exchange(udp(address, { from: 5000, to: 7 }, Buffer.from('hello')))
    }
    const next = { ...CONFIG, pools: pools.slice(0, 1), static: [] }
    expect(await one.order('call', plane, 'configure', next)).toBe(1)
    const left: SessionInfo[] = await one.order('call', plane, 'sessions')
    expect(left.map(({ client6 }) => client6)).toEqual(['[2001:db8:1::10]:5000'])
  })

  it('keeps the old configuration when the new one cannot be', async () => {
    const one = owner()
    const plane = await one.order('open', bench.options())
    const wrong = { ...CONFIG, static: [{ protocol: 'tcp', inside: '[2001:db8:1::5]:1', outside: '203.0.113.1:1' }] }
    await expect(one.order('call', plane, 'configure', wrong)).rejects.toThrow(/static/)
    bench.route()
    const address = { source: '2001:db8:1::10', destination: '64:ff9b::192.0.2.80' }
    expect((await bench.exchange(udp(address, { from: 5000, to: 7 }, Buffer.from('on')))).family).toBe(4)
  })

  it('lists sessions, bindings and clients by protocol, address and number', async () => {
    const one = owner()
    const plane = await one.order('open', bench.options())
    bench.route()
    const ask = (...args: unknown[]) => one.order('call', plane, ...args)
    for (const [host, size] of [
      ['10', 10],
      ['11', 1000],
    ] as const) {
      const address = { source: `2001:db8:1::${host}`, destination: '64:ff9b::192.0.2.80' }
      await bench.exchange(udp(address, { from: 5000, to: 7 }, Buffer.alloc(size)))
    }
    expect(await ask('sessions')).toHaveLength(2)
    expect(await ask('sessions', { limit: 1 })).toHaveLength(1)
    expect(await ask('sessions', { protocol: 'tcp' })).toEqual([])
    expect(await ask('sessions', { address: '192.0.2.80' })).toHaveLength(2)
    const [session] = await ask('sessions', { address: '2001:db8:1::10' })
    expect(session).toMatchObject({
      ...{ protocol: 'udp', client6: '[2001:db8:1::10]:5000', server6: '[64:ff9b::c000:250]:7' },
      ...{ server4: '192.0.2.80:7', packetsOut: 1, bytesOut: 58, packetsIn: 0, bytesIn: 0 },
    })
    expect(await ask('bindings', { protocol: 'udp' })).toHaveLength(3)
    const [fixed] = await ask('bindings', { protocol: 'tcp' })
    expect(fixed).toMatchObject({ static: true, inside: '[2001:db8:1::5]:2000', outside: '198.51.100.65:2000' })
    expect(await ask('clients', 10)).toEqual([
      { client: '2001:db8:1::11', packetsOut: 1, bytesOut: 1048, packetsIn: 0, bytesIn: 0 },
      { client: '2001:db8:1::10', packetsOut: 1, bytesOut: 58, packetsIn: 0, bytesIn: 0 },
    ])
    expect(await ask('clients', 1)).toHaveLength(1)
  })

  it('notes bindings for its log, and has what is left of them when it is closed', async () => {
    const one = owner()
    const plane = await one.order('open', bench.options({}, { logged: 'bindings', static: [] }))
    bench.route()
    const address = { source: '2001:db8:1::10', destination: '64:ff9b::192.0.2.80' }
    for (const port of [5000, 5001]) {
      const { source, from } = await bench.exchange(udp(address, { from: port, to: 7 }, Buffer.from('hello')))
      if (port === 5001) await one.order('call', plane, 'close')
      const lines = Buffer.from(await one.order('log', plane), 'hex')
      expect(JSON.parse(String(new JsonLines().lines(lines, lines.length / RECORD_SIZE)))).toEqual({
        ...{ time: expect.any(String), event: 'binding-created', protocol: 'udp' },
        ...{ inside: `[2001:db8:1::10]:${port}`, outside: `${source}:${from}` },
      })
    }
    expect(await one.order('call', plane, 'logCounters')).toEqual({ events: 2, lost: 0 })
  })

  it('counts no more clients than it was told to, and those that send most', async () => {
    const one = owner()
    const plane = await one.order('open', bench.options({}, { accounting: { prefixLength: 64, clients: 16 } }))
    bench.route()
    const ask = async (net: number, size: number) => {
      const address = { source: `2001:db8:${net.toString(16)}::10`, destination: '64:ff9b::192.0.2.80' }
      await bench.exchange(udp(address, { from: 5000, to: 7 }, Buffer.alloc(size)))
    }
    for (let round = 0; round < 8; round++) await ask(0xffff, 1000)
    for (let net = 1; net <= 200; net++) await ask(net, 10)
    const clients = await one.order('call', plane, 'clients', 1000)
    expect(clients).toHaveLength(16)
    expect(clients[0]).toMatchObject({ client: '2001:db8:ffff::/64', packetsOut: 8, bytesOut: 8 * 1048 })
  })

  it('loses and counts events that nobody fetches, and no packet', async () => {
    const one = owner()
    const options = bench.options({ maxSessions: 1 << 18 }, { logged: 'sessions', static: [] })
    const plane = await one.order('open', options)
    bench.route()
    const ask = (...args: unknown[]) => one.order('call', plane, ...args)
    for (let host = 80; (await ask('logCounters')).lost < 1000; host++) bench.python(FLOOD, `64:ff9b::192.0.2.${host}`)
    const address = { source: '2001:db8:1::10', destination: '64:ff9b::192.0.2.79' }
    bench.send(udp(address, { from: 5000, to: 7 }, Buffer.from('still here')))
    await bench.receive(({ destination }) => destination === '192.0.2.79', 20_000)
    const { sessions } = await ask('status')
    const { events, lost } = await ask('logCounters')
    const drops: DropCounter[] = await ask('drops')
    // but for the kernel's own multicast
    const dropped = drops.flatMap(({ last }) => last).filter(({ destination }) => !destination.startsWith('ff'))
    expect(dropped).toEqual([])
    expect(events).toBe(1 << 16)
    expect(events + lost).toBe(sessions)
    expect((await one.order('log', plane)).length).toBe(events * RECORD_SIZE * 2)
  }, 60_000)
})
