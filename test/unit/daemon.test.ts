// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { startDaemon } from '../../src/daemon.ts'
import { GatewayError } from '../../src/errors.ts'
import { namesOf } from '../../src/feature.ts'
import { silentLog } from '../../src/log.ts'
import { EVENTS, record } from './binding-log-records.ts'
import { BASE, config, type FakePlane, World } from './daemon-fake.ts'

const DNS = 'dns64: { listen: ["[::]:53"], upstreams: ["[2001:db8::53]:53"] }\n'
const RADVD = 'advertise: [{ interface: lan0, prefixes: ["2001:db8:1::/64"], pref64: "64:ff9b::/96" }]\n'
const DHCP = BASE.replace(/addresses: \["192.*\]/, 'dhcp4: true')

describe('the daemon', () => {
  it('brings up the device, the routes and forwarding, and takes all of it back', async () => {
    const world = new World()
    const before = world.system.dump()
    const daemon = await world.start(config())
    expect(daemon.dataplane).toBe(world.planes[0])
    for (const parts of [
      ['neighbour', 'sixgate0', 'fe80::1'],
      ['route', '64:ff9b::/96', 'sixgate0', 'fe80::1'],
      ['route', '198.51.100.64/28', 'sixgate0'],
      ['route', '0.0.0.0/0', '192.0.2.1'],
      ['net.ipv4.ip_forward', '"1"'],
      ['net.ipv6.conf.all.forwarding', '"1"'],
      ['link', 'sixgate0', '"up"', '"up"'],
      ['address', '2001:db8:1::1/64'],
      ['proxy', 'wan0', '198.51.100.79'],
      ['nft', 'sixgate'],
    ])
      expect(world.has(...parts), parts.join(' ')).toBe(true)
    await daemon.close()
    expect(world.system.dump()).toBe(before)
    expect(world.planes[0]?.closed).toEqual({})
  })

  it('refuses to start with every fault the host has with the configuration', async () => {
    const world = new World()
    const before = world.system.dump()
    const text = BASE.replace('lan0', 'lan7').replace('wan0', 'wan7')
    await expect(world.start(config(text))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      faults: [
        { path: '/interfaces/0/name', message: 'no link is called lan7', remedy: 'Write one of lan0, wan0.' },
        { path: '/interfaces/1/name', message: 'no link is called wan7' },
      ],
    })
    expect(world.system.dump()).toBe(before)
    expect(world.planes).toEqual([])
  })

  it('refuses to translate beside another gateway, but not beside the device that a dead one left', async () => {
    const world = new World()
    world.system.addLink('sixgate0-other', { type: 'tun' })
    await expect(world.start(config())).rejects.toMatchObject({
      faults: [{ path: '/nat64', message: 'another gateway translates here, through sixgate0-other' }],
    })
    world.system.addLink('sixgate0-other', { type: 'tun', carrier: false })
    await expect(world.start(config())).resolves.toBeDefined()
  })

  it('takes everything back when its start fails, whichever step it is', async () => {
    let steps = 1
    for (let failing = 0; failing < steps; failing++) {
      const world = new World()
      const before = world.system.dump()
      let count = 0
      world.system.beforeChange = () => {
        if (count++ === failing) throw new Error(`step ${failing}`)
      }
      await expect(world.start(config(BASE + DNS))).rejects.toThrow(`step ${failing}`)
      expect(world.system.dump()).toBe(before)
      expect(world.dns.every(({ closed }) => closed)).toBe(true)
      world.system.beforeChange = () => {}
      world.system.changes.length = 0
      await world.start(config(BASE + DNS))
      steps = world.system.changes.length
    }
    expect(steps).toBeGreaterThan(20)
  })

  it('speaks of a start that failed, not of a change that was undone', async () => {
    const world = new World()
    const route = { kind: 'route', family: 6, prefix: '64:ff9b::/96', dev: 'lan0', table: '254', metric: 1024 } as const
    world.system.put({ ...route, foreign: 'several next hops' })
    await expect(world.start(config())).rejects.toMatchObject({
      code: 'START_FAILED',
      message: expect.stringMatching(/^The gateway cannot start: a route to 64:ff9b::\/96 with several next hops/),
    })
  })

  it('takes everything back when the name server cannot start', async () => {
    const world = new World()
    const before = world.system.dump()
    world.failDns = new GatewayError('PORT_IN_USE', { values: { endpoint: '[::]:53' } })
    await expect(world.start(config(BASE + DNS))).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    expect(world.system.dump()).toBe(before)
    expect(world.planes[0]?.closed).toEqual({ keep: false })
  })

  it('shares its run directory with no other daemon, and leaves the lock behind for the next', async () => {
    const world = new World()
    const first = await world.start(config())
    const second = startDaemon({
      config: config(),
      runDirectory: world.directory,
      system: world.system,
      openDataplane: () => expect.fail('opened'),
      log: silentLog,
    })
    await expect(second).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    await first.close()
    await expect(world.start(config())).resolves.toBeDefined()
  })
})

describe('a changed configuration', () => {
  it('changes only what differs, and keeps the translator with its sessions', async () => {
    const world = new World()
    const daemon = await world.start(config())
    world.system.changes.length = 0
    await daemon.apply(config(BASE.replace('allowNonGlobal', 'prefixes: ["2001:db8:64::/96"]\n  allowNonGlobal')))
    const words = world.system.changes.map(({ before, after }) => JSON.stringify(after ?? before))
    expect(words).toHaveLength(3)
    expect(words[0]).toContain('"nft"')
    expect(words[1]).toContain('2001:db8:64::/96')
    expect(words[2]).toContain('64:ff9b::/96')
    expect(world.planes).toHaveLength(1)
    expect(world.planes[0]?.configured.map(({ prefixes }) => prefixes)).toEqual([['2001:db8:64::/96']])
  })

  it('does nothing when it is the same', async () => {
    const world = new World()
    const daemon = await world.start(config())
    world.system.changes.length = 0
    await daemon.apply(config())
    expect(world.system.changes).toEqual([])
    expect(world.planes[0]?.configured).toEqual([])
  })

  it('is undone as a whole when a step fails, and ends no session', async () => {
    const next = config(
      BASE.replace('198.51.100.64/28', '198.51.100.96/28').replace('192.0.2.2/24', '192.0.2.3/24') + DNS,
    )
    let steps = 1
    for (let failing = 0; failing < steps; failing++) {
      const world = new World()
      const daemon = await world.start(config())
      const before = world.system.dump()
      let count = 0
      world.system.beforeChange = () => {
        if (count++ === failing) throw new Error(`step ${failing}`)
      }
      await expect(daemon.apply(next)).rejects.toMatchObject({ code: 'APPLY_FAILED', detail: `step ${failing}` })
      expect(world.system.dump()).toBe(before)
      expect(daemon.config).toEqual(config())
      expect(world.planes[0]?.configured).toEqual([])
      world.system.beforeChange = () => {}
      world.system.changes.length = 0
      await daemon.apply(next)
      steps = world.system.changes.length
    }
    expect(steps).toBeGreaterThan(10)
  })

  it('is undone when the name server refuses it', async () => {
    const world = new World()
    const daemon = await world.start(config(BASE + DNS))
    const before = world.system.dump()
    world.failDns = new GatewayError('PORT_IN_USE', { values: { endpoint: '[::]:5353' } })
    const next = config(BASE.replace('198.51.100.64/28', '198.51.100.96/28') + DNS.replace(':53"', ':5353"'))
    await expect(daemon.apply(next)).rejects.toThrow('[::]:5353 is in use')
    expect(world.system.dump()).toBe(before)
    expect(world.planes[0]?.configured).toEqual([])
  })

  it('opens the translator anew, keeping device and sessions, when the threads change', async () => {
    const world = new World()
    const daemon = await world.start(config())
    await daemon.apply(config(`${BASE}translation: { threads: 3 }\n`))
    expect(world.planes.map(({ closed }) => closed)).toEqual([{ keep: true }, undefined])
    expect(world.planes[1]?.options.threads).toBe(3)
  })

  it('may not resize the session table', async () => {
    const world = new World()
    const daemon = await world.start(config())
    const next = config(BASE.replace('allowNonGlobal', 'maxSessions: 2048\n  allowNonGlobal'))
    await expect(daemon.apply(next)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      faults: [{ path: '/nat64/maxSessions' }],
    })
  })

  it('closes the translator when NAT64 goes', async () => {
    const world = new World()
    const daemon = await world.start(config())
    await daemon.apply(config(BASE.replace(/nat64:[^]*$/, '')))
    expect(daemon.dataplane).toBeUndefined()
    expect(world.has('sixgate')).toBe(false)
    expect(world.has('2001:db8:1::1/64')).toBe(true)
  })

  it('starts, changes and stops DNS64', async () => {
    const world = new World()
    const daemon = await world.start(config())
    await daemon.apply(config(BASE + DNS))
    expect(world.dns[0]?.options).toMatchObject({ prefixes: ['64:ff9b::/96'], allowNonGlobal: true })
    await daemon.apply(config(BASE + DNS.replace(' }', ', queryLog: true }')))
    expect(world.dns[0]?.updates.map(({ config: { queryLog } }) => queryLog)).toEqual([true])
    expect(daemon.status()).toMatchObject({ dns64: { queries: 0 } })
    await daemon.apply(config())
    expect(world.dns[0]?.closed).toBe(true)
    expect(daemon.dns64).toBeUndefined()
  })
})

describe('a successor', () => {
  it('finds kernel state and device in place, and touches neither', async () => {
    const world = new World()
    await world.start(config())
    await world.kill()
    expect(world.planes[0]?.closed).toEqual({ keep: true })
    const left = world.system.dump()
    world.system.changes.length = 0
    await world.start(config())
    expect(world.system.changes).toEqual([])
    expect(world.system.dump()).toBe(left)
  })

  it('takes back at its end what its predecessor set', async () => {
    const world = new World()
    const before = world.system.dump()
    await world.start(config())
    await world.kill()
    await (await world.start(config())).close()
    expect(world.system.dump()).toBe(before)
  })

  it('without NAT64 removes the device that a killed daemon left', async () => {
    const world = new World()
    await world.start(config())
    await world.kill()
    await world.start(config(BASE.replace(/nat64:[^]*$/, '')))
    expect(world.has('sixgate0')).toBe(false)
  })
})

describe('what others take away', () => {
  it('is put back after the kernel told of it', async () => {
    const world = new World()
    const daemon = await world.start(config())
    for (const [key, { kind }] of world.system.resources) if (kind === 'route') world.system.resources.delete(key)
    world.system.moved()
    world.clock.advance(1000)
    await daemon.review()
    expect(world.has('route', '64:ff9b::/96')).toBe(true)
  })

  it('is waited for when it is a link, and set up when the link is back', async () => {
    const world = new World()
    const daemon = await world.start(config())
    world.system.removeLink('wan0')
    await daemon.review()
    expect(daemon.status().warnings).toEqual(['wan0 is missing'])
    expect(daemon.status().interfaces[1]).toMatchObject({ name: 'wan0', state: 'missing' })
    world.system.addLink('wan0')
    await daemon.review()
    expect(world.has('address', 'wan0', '192.0.2.2/24')).toBe(true)
    expect(world.has('route', 'wan0', '0.0.0.0/0')).toBe(true)
    expect(daemon.status().warnings).toEqual([])
  })

  it('hinders no other change when it is a link, but one that never was does', async () => {
    const world = new World()
    const daemon = await world.start(config())
    world.system.removeLink('wan0')
    await daemon.apply(config(BASE.replace('198.51.100.64/28', '198.51.100.64/29')))
    expect(world.has('route', '198.51.100.64/29', 'sixgate0')).toBe(true)
    await expect(daemon.apply(config(BASE.replace('wan0', 'wan7')))).rejects.toMatchObject({
      faults: [{ path: '/interfaces/1/name', message: 'no link is called wan7', remedy: 'Write one of lan0, wan0.' }],
    })
    world.system.addLink('wan0')
    await daemon.review()
    expect(world.has('proxy', 'wan0', '198.51.100.71')).toBe(true)
  })

  it('is made again when it is the device, with the sessions of the file', async () => {
    const world = new World()
    const daemon = await world.start(config())
    world.system.removeLink('sixgate0')
    await daemon.review()
    expect(world.planes.map(({ closed }) => closed)).toEqual([{ keep: true }, undefined])
    expect(world.has('route', '64:ff9b::/96', 'sixgate0')).toBe(true)
    expect(world.has('"sixgate0"', 'addrgenmode', 'none')).toBe(true)
  })

  it('is told in the status when it cannot be put back', async () => {
    const world = new World()
    const daemon = await world.start(config())
    for (const [key, { kind }] of world.system.resources) if (kind === 'route') world.system.resources.delete(key)
    world.system.beforeChange = () => {
      throw new Error('no more routes')
    }
    await daemon.review()
    expect(daemon.status().warnings).toEqual(['no more routes'])
    world.system.beforeChange = () => {}
    await daemon.review()
    expect(daemon.status().warnings).toEqual([])
  })
})

describe('router advertisements', () => {
  it('are sent by radvd, told of changes by SIGHUP, and stopped', async () => {
    const world = new World()
    const daemon = await world.start(config(BASE + RADVD))
    const [radvd] = world.system.children
    expect(radvd?.command).toBe('radvd')
    expect(daemon.status().advertise).toMatchObject({ version: '2.20', state: 'running', restarts: 0, links: ['lan0'] })
    await daemon.apply(config(BASE + RADVD.replace('pref64', 'rdnss: ["2001:db8:1::1"], pref64')))
    expect(radvd?.signals).toEqual(['SIGHUP'])
    await daemon.apply(config())
    expect(radvd?.signals).toEqual(['SIGHUP', 'SIGTERM'])
    expect(daemon.status().advertise).toBeNull()
  })

  it('come back with growing pauses when radvd ends', async () => {
    const world = new World()
    const daemon = await world.start(config(BASE + RADVD))
    for (const pause of [1000, 2000, 4000]) {
      world.system.children.at(-1)?.ends(1)
      await Promise.resolve()
      await Promise.resolve()
      const count = world.system.children.length
      world.clock.advance(pause - 1)
      expect(world.system.children).toHaveLength(count)
      world.clock.advance(1)
      expect(world.system.children).toHaveLength(count + 1)
    }
    expect(daemon.status().advertise).toMatchObject({ state: 'running', restarts: 3, lastExit: 'exit status 1' })
  })

  it('are refused when radvd is too old for PREF64, with the way to a newer one', async () => {
    const world = new World()
    world.system.commands.set('radvd', () => 'Version: 2.19\n')
    await expect(world.start(config(BASE + RADVD))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      faults: [{ path: '/advertise/0/pref64', remedy: expect.stringContaining('bookworm-backports') }],
    })
  })

  it('need radvd, by the name of its package', async () => {
    const world = new World()
    world.system.commands.delete('radvd')
    await expect(world.start(config(BASE + RADVD))).rejects.toMatchObject({
      code: 'COMMAND_MISSING',
      remedy: 'apt-get install radvd',
    })
  })

  it('go silently when a successor takes over', async () => {
    const world = new World()
    await world.start(config(BASE + RADVD))
    await world.kill()
    expect(world.system.children[0]?.signals).toEqual(['SIGKILL'])
  })
})

describe('a DHCPv4 lease', () => {
  it('becomes an address and routes, follows changes and goes when it is lost', async () => {
    const world = new World()
    const daemon = await world.start(config(DHCP))
    const [client] = world.system.children
    expect(client?.command).toBe('udhcpc')
    client?.says('lease\tdeconfig\t\t\t\t')
    client?.says('lease\tbound\t192.0.2.7\t24\t192.0.2.1\t')
    await daemon.review()
    expect(world.has('address', 'wan0', '192.0.2.7/24')).toBe(true)
    expect(world.has('route', '0.0.0.0/0', '"via":"192.0.2.1"', '"metric":100')).toBe(true)
    client?.says('lease\tbound\t192.0.2.8\t24\t192.0.2.1\t')
    await daemon.review()
    expect(world.has('192.0.2.7/24')).toBe(false)
    expect(world.has('192.0.2.8/24')).toBe(true)
    expect(daemon.status().dhcp4).toMatchObject([{ interface: 'wan0', state: 'running', address: '192.0.2.8/24' }])
    client?.says('lease\tdeconfig\t\t\t\t')
    await daemon.review()
    expect(world.has('"kind":"address"', 'wan0')).toBe(false)
  })

  it('is kept over a restart, and asked for again', async () => {
    const world = new World()
    const daemon = await world.start(config(DHCP))
    world.system.children[0]?.says('lease\tbound\t192.0.2.7\t24\t192.0.2.1\t')
    await daemon.review()
    await world.kill()
    world.system.changes.length = 0
    await world.start(config(DHCP))
    expect(world.system.children[1]?.args).toContain('192.0.2.7')
    world.system.children[1]?.says('lease\tdeconfig\t\t\t\t')
    await world.daemon?.review()
    expect(world.system.changes).toEqual([])
    expect(world.has('192.0.2.7/24')).toBe(true)
  })

  it('that makes no sense is ignored', async () => {
    const world = new World()
    const daemon = await world.start(config(DHCP))
    world.system.children[0]?.says('lease\tbound\t192.0.2.999\t24\t192.0.2.1\t')
    world.system.children[0]?.says('lease\tbound\t192.0.2.9\t; reboot\t192.0.2.1\t')
    await daemon.review()
    expect(world.has('"kind":"address"', 'wan0')).toBe(false)
  })
})

describe('the log of bindings', () => {
  const logging = (directory: string, events = 'bindings') =>
    config(`${BASE}log: { bindings: { files: ["${directory}/bindings.jsonl"], events: ${events} } }\n`)
  const lines = (directory: string) =>
    readFileSync(`${directory}/bindings.jsonl`, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const created = record(EVENTS[0] as (typeof EVENTS)[number])

  it('is told to the translator, and has what the translator noted last', async () => {
    const world = new World()
    const daemon = await world.start(logging(world.directory))
    const plane = world.planes[0] as FakePlane
    expect(plane.options.config.logged).toBe('bindings')
    expect(daemon.status().bindingLog).toMatchObject({ targets: [{ format: 'json', error: '' }] })
    await daemon.apply(logging(world.directory, 'sessions'))
    expect(plane.configured.at(-1)?.logged).toBe('sessions')
    plane.logged.push(created)
    await daemon.close()
    expect(plane.closed).toEqual({})
    expect(lines(world.directory).map(({ event }) => event)).toEqual(['start', 'binding-created', 'stop'])
  })

  it('goes on where the translator is opened anew', async () => {
    const world = new World()
    const daemon = await world.start(logging(world.directory))
    world.planes[0]?.logged.push(created)
    const more = { ...daemon.config, translation: { ...daemon.config.translation, threads: 3 } }
    await daemon.apply(more)
    expect(world.planes).toHaveLength(2)
    world.planes[1]?.logged.push(created)
    world.clock.advance(1000)
    await daemon.close()
    expect(lines(world.directory).map(({ event }) => event)).toEqual([
      ...['start', 'binding-created', 'binding-created', 'stop'],
    ])
  })

  it('that cannot be opened hinders a change, which is undone', async () => {
    const world = new World()
    const daemon = await world.start(config())
    await expect(daemon.apply(logging(`${world.directory}/lock`))).rejects.toThrow(/lock\/bindings\.jsonl/)
    expect(daemon.status().bindingLog).toBeNull()
    expect(daemon.config.log.bindings).toBeUndefined()
  })
})

describe('the names of an instance', () => {
  it('carry its name, shortened where the kernel has no room', () => {
    expect(namesOf()).toEqual({
      device: 'sixgate0',
      table: 'sixgate',
      runDirectory: '/run/sixgate',
      stateDirectory: '/var/lib/sixgate',
    })
    expect(namesOf('lab')).toMatchObject({
      device: 'sixgate0-lab',
      table: 'sixgate_lab',
      runDirectory: '/run/sixgate-lab',
    })
    expect(namesOf('a-long-name').device).toMatch(/^sixgate0-[0-9a-f]{6}$/)
    expect(namesOf('a-long-name').device).not.toBe(namesOf('another-long-name').device)
    expect(() => namesOf('../x')).toThrow('cannot be the name of an instance')
  })
})
