// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { FakeSystem } from '../../src/system/fake.ts'
import { FileLedger, MemoryLedger } from '../../src/system/ledger.ts'
import { type Desired, NOTHING, reconcile } from '../../src/system/reconcile.ts'
import { keyOf, type Resource, type Route } from '../../src/system/system.ts'

const route = (prefix: string, dev = 'lan0', via?: string): Route => ({
  kind: 'route',
  family: 6,
  prefix,
  dev,
  table: '254',
  metric: 1024,
  ...(via !== undefined && { via }),
})

const forwarding: Resource = { kind: 'sysctl', name: 'net.ipv6.conf.all.forwarding', value: '1' }
const address: Resource = { kind: 'address', dev: 'lan0', address: '2001:db8:1::1/64' }
const vlan: Resource = { kind: 'vlan', dev: 'vlan10', parent: 'lan0', id: 10 }
const onVlan: Resource = { kind: 'address', dev: 'vlan10', address: '2001:db8:10::1/64' }

const all = (...present: Resource[]): Desired => ({ present, absent: [] })

describe('reconcile', () => {
  it('sets what is missing, changes nothing the second time, and takes all of it back', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    const before = system.dump()
    const desired = all(address, forwarding, route('64:ff9b::/96'))
    await reconcile(system, ledger, desired)
    for (const resource of desired.present) expect(system.resources.get(keyOf(resource))).toMatchObject(resource)
    expect((await reconcile(system, ledger, desired)).changes).toEqual([])
    await reconcile(system, ledger, NOTHING)
    expect(system.dump()).toBe(before)
    expect(ledger.entries.size).toBe(0)
  })

  it('leaves alone what was there before it, also at the end', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    system.put(address)
    system.put({ ...forwarding, value: '1' } as Resource)
    expect((await reconcile(system, ledger, all(address, forwarding))).changes).toEqual([])
    await reconcile(system, ledger, NOTHING)
    expect(system.resources.get(keyOf(address))).toEqual(address)
    expect(system.resources.get(keyOf(forwarding))).toMatchObject({ value: '1' })
  })

  it('puts a route it displaced back as it was', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    const theirs = { ...route('::/0', 'wan0', '2001:db8:2::1'), protocol: '3' }
    system.put(theirs)
    await reconcile(system, ledger, all(route('::/0', 'wan0', '2001:db8:2::2')))
    expect(system.resources.get(keyOf(theirs))).toMatchObject({ via: '2001:db8:2::2' })
    await reconcile(system, ledger, NOTHING)
    expect(system.resources.get(keyOf(theirs))).toEqual(theirs)
  })

  it('refuses to displace a route that it could not put back', async () => {
    const system = new FakeSystem()
    system.put({ ...route('64:ff9b::/96', 'wan0'), foreign: 'several next hops' })
    await expect(reconcile(system, new MemoryLedger(), all(route('64:ff9b::/96')))).rejects.toThrow(
      'a route to 64:ff9b::/96 with several next hops stands in the way',
    )
  })

  it('leaves to others at the end what they changed meanwhile', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    await reconcile(system, ledger, all(forwarding, route('64:ff9b::/96')))
    system.put({ kind: 'sysctl', name: 'net.ipv6.conf.all.forwarding', value: '2' })
    system.put(route('64:ff9b::/96', 'wan0', '2001:db8:2::1'))
    await reconcile(system, ledger, NOTHING)
    expect(system.resources.get(keyOf(forwarding))).toMatchObject({ value: '2' })
    expect(system.resources.get(keyOf(route('64:ff9b::/96')))).toMatchObject({ dev: 'wan0' })
  })

  it('keeps the value from before the gateway over several changes', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    const mtu = (value: string): Resource => ({ kind: 'link', dev: 'lan0', attribute: 'mtu', value })
    await reconcile(system, ledger, all(mtu('1400')))
    await reconcile(system, ledger, all(mtu('1300')))
    await reconcile(system, ledger, NOTHING)
    expect(system.resources.get(keyOf(mtu('')))).toMatchObject({ value: '1500' })
  })

  it('puts back what vanished', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    const desired = all(address, route('64:ff9b::/96'))
    await reconcile(system, ledger, desired)
    system.resources.delete(keyOf(route('64:ff9b::/96')))
    const { changes } = await reconcile(system, ledger, desired)
    expect(changes.map(({ after }) => after)).toEqual([route('64:ff9b::/96')])
  })

  it('removes a thing first where the same place is wanted, and last where it is not', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    await reconcile(system, ledger, all(vlan, onVlan, route('2001:db8:a::/48')))
    const moved = { ...vlan, dev: 'vlan11' }
    const { changes } = await reconcile(system, ledger, all(moved, route('2001:db8:b::/48')))
    const words = changes.map(({ before, after }) => `${after ? '+' : '-'} ${keyOf((after ?? before) as Resource)}`)
    expect(words).toEqual([
      '- address vlan10 2001:db8:10::1/64',
      '- vlan vlan10',
      '+ vlan vlan11',
      '+ route 6 254 2001:db8:b::/48 1024',
      '- route 6 254 2001:db8:a::/48 1024',
    ])
  })

  it('takes away what must be absent only after the rest stands, and puts it back first', async () => {
    const system = new FakeSystem()
    const ledger = new MemoryLedger()
    const before = system.dump()
    const local = (priority: number): Resource => ({ kind: 'rule', family: 4, priority, table: '255' })
    await reconcile(system, ledger, { present: [local(2)], absent: [local(0)] })
    expect([...system.resources.keys()].filter((key) => key.startsWith('rule'))).toEqual(['rule 4 2 '])
    const { changes } = await reconcile(system, ledger, NOTHING)
    expect(changes.map(({ after }) => after !== undefined)).toEqual([true, false])
    expect(system.dump()).toBe(before)
  })

  it('refuses two values for one thing, and takes the same value twice', async () => {
    const system = new FakeSystem()
    await expect(
      reconcile(system, new MemoryLedger(), all(route('::/0', 'lan0'), route('::/0', 'wan0'))),
    ).rejects.toThrow('is wanted twice')
    await expect(reconcile(system, new MemoryLedger(), all(forwarding, forwarding))).resolves.toBeDefined()
  })
})

describe('a failure while changes are made', () => {
  const first = all(vlan, onVlan, address, forwarding, route('2001:db8:a::/48'))
  const second: Desired = {
    present: [forwarding, { kind: 'link', dev: 'lan0', attribute: 'mtu', value: '1400' }, route('2001:db8:b::/48')],
    absent: [{ kind: 'rule', family: 4, priority: 0, table: '255' }],
  }

  it('leaves everything as it was, whichever step it is', async () => {
    let steps = 1
    for (let failing = 0; failing < steps; failing++) {
      const system = new FakeSystem()
      const ledger = new MemoryLedger()
      await reconcile(system, ledger, first)
      const before = system.dump()
      const remembered = JSON.stringify([...ledger.entries])
      let count = 0
      system.beforeChange = () => {
        if (count++ === failing) throw new Error(`step ${failing}`)
      }
      await expect(reconcile(system, ledger, second)).rejects.toThrow(`step ${failing}`)
      expect(system.dump()).toBe(before)
      expect(JSON.stringify([...ledger.entries])).toBe(remembered)
      system.beforeChange = () => {}
      steps = (await reconcile(system, ledger, second)).changes.length
    }
    expect(steps).toBe(7)
  })

  it('is undone as far as possible when undoing fails too', async () => {
    const system = new FakeSystem()
    let undoing = false
    system.beforeChange = ({ after }) => {
      if (after?.kind === 'route') {
        undoing = true
        throw new Error('no route')
      }
      if (undoing && !after) throw new Error('the address stays')
    }
    await expect(reconcile(system, new MemoryLedger(), all(forwarding, address, route('::/0')))).rejects.toThrow(
      'not all changes could be undone',
    )
    expect(system.resources.get(keyOf(forwarding))).toMatchObject({ value: '0' })
  })
})

describe('the ledger on disk', () => {
  async function directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'sixgate-ledger-'))
    onTestFinished(() => rm(path, { recursive: true }))
    return path
  }

  it('lets a successor take back what a killed daemon left', async () => {
    const file = join(await directory(), 'ledger.json')
    const system = new FakeSystem()
    const before = system.dump()
    await reconcile(system, await FileLedger.open(file, 'this boot'), all(address, forwarding, route('::/0')))
    const successor = await FileLedger.open(file, 'this boot')
    await reconcile(system, successor, all(address))
    expect(system.resources.get(keyOf(forwarding))).toMatchObject({ value: '0' })
    await reconcile(system, successor, NOTHING)
    expect(system.dump()).toBe(before)
    await expect(readFile(file)).rejects.toThrow('ENOENT')
  })

  it('knows a change before it is made', async () => {
    const file = join(await directory(), 'ledger.json')
    const system = new FakeSystem()
    let seen = ''
    system.change = async () => {
      seen = await readFile(file, 'utf8')
    }
    await reconcile(system, await FileLedger.open(file, 'this boot'), all(address))
    expect(seen).toContain('2001:db8:1::1/64')
  })

  it('is worth nothing after a reboot or in another namespace', async () => {
    const file = join(await directory(), 'ledger.json')
    await reconcile(new FakeSystem(), await FileLedger.open(file, 'this boot'), all(forwarding))
    expect((await FileLedger.open(file, 'another boot')).entries.size).toBe(0)
    expect((await FileLedger.open(file, 'this boot')).entries.size).toBe(1)
  })

  it('finds what bears the mark although the ledger is lost', async () => {
    const system = new FakeSystem()
    const before = system.dump()
    await reconcile(system, new MemoryLedger(), all(route('64:ff9b::/96')))
    await reconcile(system, new MemoryLedger(), NOTHING, await system.marked('sixgate', 'sixgate0'))
    expect(system.dump()).toBe(before)
  })
})
