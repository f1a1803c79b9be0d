// SPDX-License-Identifier: Apache-2.0
/** What every System keeps to, run against the fake and, in a namespace of its own, against the kernel. */
import assert from 'node:assert/strict'
import { GatewayError } from '../../src/errors.ts'
import { ChangeFailed, keyOf, type Resource, type System, satisfies } from '../../src/system/system.ts'

export interface Promised {
  readonly name: string
  /** `system` has the links lan0, wan0 and, without ARP, point0, up, without addresses of their own. */
  run(system: System): Promise<void>
}

const address4: Resource = { kind: 'address', dev: 'wan0', address: '192.0.2.2/24' }
const address6: Resource = { kind: 'address', dev: 'lan0', address: '2001:db8:1::1/64' }
const route4: Resource = {
  kind: 'route',
  family: 4,
  prefix: '198.51.100.64/28',
  dev: 'wan0',
  via: '192.0.2.1',
  table: '254',
  metric: 0,
}
const default4: Resource = { ...route4, prefix: '0.0.0.0/0' }
const host4: Resource = { kind: 'route', family: 4, prefix: '192.0.2.77/32', dev: 'lan0', table: '6464', metric: 0 }
const nextHop: Resource = { kind: 'neighbour', dev: 'point0', address: 'fe80::1' }
const route6: Resource = { kind: 'route', family: 6, prefix: '64:ff9b::/96', dev: 'lan0', table: '254', metric: 1024 }

/** One of each kind, in an order that works. */
const SAMPLES: readonly Resource[] = [
  { kind: 'link', dev: 'lan0', attribute: 'mtu', value: '1400' },
  { kind: 'link', dev: 'lan0', attribute: 'txqueuelen', value: '500' },
  { kind: 'link', dev: 'lan0', attribute: 'addrgenmode', value: 'none' },
  { kind: 'sysctl', name: 'net.ipv6.conf.lan0.accept_ra', value: '2' },
  { kind: 'sysctl', name: 'net.ipv4.ip_forward', value: '1' },
  address4,
  address6,
  route4,
  default4,
  host4,
  route6,
  nextHop,
  { kind: 'rule', family: 4, priority: 7, table: '6464', mark: '0x1000/0x1000' },
  { kind: 'proxy', dev: 'wan0', address: '198.51.100.65' },
  { kind: 'nft', family: 'inet', name: 'sixgate', rules: 'chain x {\n comment "one"\n}' },
]

async function one(system: System, resource: Resource): Promise<Resource | undefined> {
  return (await system.read([resource]))[0]
}

/** Makes the changes for the length of `action`. */
async function during(system: System, resources: readonly Resource[], action: () => Promise<void>): Promise<void> {
  const before = await system.read(resources)
  await system.change(resources.map((after) => ({ after })))
  try {
    await action()
  } finally {
    const back = resources.map((resource, index) => {
      const original = before[index]
      return original ? { before: resource, after: original } : { before: resource }
    })
    await system.change(back.reverse())
  }
}

export const CONTRACT: readonly Promised[] = [
  {
    name: 'reads back each kind of resource it was told to set, and finds it gone or restored afterwards',
    async run(system) {
      const original = await system.read(SAMPLES)
      await during(system, SAMPLES, async () => {
        const actual = await system.read(SAMPLES)
        for (const [index, wanted] of SAMPLES.entries()) {
          assert.ok(satisfies(actual[index], wanted), `${JSON.stringify(actual[index])} for ${JSON.stringify(wanted)}`)
        }
      })
      assert.deepEqual(await system.read(SAMPLES), original)
    },
  },
  {
    name: 'finds nothing to do in setting what is there and in removing what is not',
    async run(system) {
      const again = [
        address4,
        route4,
        nextHop,
        SAMPLES.at(-1) as Resource,
        SAMPLES.at(-2) as Resource,
        SAMPLES.at(-3) as Resource,
      ]
      await during(system, again, async () => {
        await system.change(again.map((after) => ({ after })))
      })
      await system.change(again.toReversed().map((before) => ({ before })))
    },
  },
  {
    name: 'says how far it came when a change fails',
    async run(system) {
      const nowhere: Resource = { kind: 'address', dev: 'nowhere0', address: '192.0.2.3/24' }
      try {
        await assert.rejects(
          system.change([{ after: address6 }, { after: address4 }, { after: nowhere }, { after: route6 }]),
          (error) => {
            assert.ok(error instanceof ChangeFailed)
            assert.equal(error.done, 2)
            assert.ok(error.cause instanceof GatewayError)
            assert.equal(error.cause.code, 'COMMAND_FAILED')
            assert.match(error.cause.message, /Cannot find device "nowhere0"/)
            return true
          },
        )
        assert.deepEqual(await one(system, address4), address4)
        assert.equal(await one(system, route6), undefined)
      } finally {
        await system.change([{ before: address4 }, { before: address6 }])
      }
    },
  },
  {
    name: 'replaces a route, a link value and a table in place',
    async run(system) {
      const other: Resource = { ...route4, via: '192.0.2.9' }
      const table = SAMPLES.at(-1) as Resource & { kind: 'nft' }
      const changed: Resource = { ...table, rules: 'chain y {\n comment "two"\n}' }
      await during(system, [address4, route4, table], async () => {
        await system.change([
          { before: route4, after: other },
          { before: table, after: changed },
        ])
        assert.ok(satisfies(await one(system, route4), other))
        assert.deepEqual(await one(system, table), changed)
      })
    },
  },
  {
    name: 'gives a route into a link a next hop, in place',
    async run(system) {
      const direct: Resource = { ...route6, dev: 'point0' }
      const byNextHop: Resource = { ...direct, via: 'fe80::1' }
      await during(system, [nextHop, direct], async () => {
        await system.change([{ before: direct, after: byNextHop }])
        assert.ok(satisfies(await one(system, direct), byNextHop))
        await system.change([{ before: byNextHop }])
        assert.equal(await one(system, direct), undefined)
      })
    },
  },
  {
    name: 'lists links with their addresses',
    async run(system) {
      await during(system, [address4], async () => {
        const links = await system.links()
        assert.ok(links.some(({ name }) => name === 'lan0'))
        const wan = links.find(({ name }) => name === 'wan0')
        const { up, carrier, mtu } = wan ?? {}
        assert.deepEqual({ up, carrier, mtu }, { up: true, carrier: true, mtu: 1500 })
        assert.deepEqual(
          wan?.addresses.filter(({ address }) => !address.startsWith('fe80')),
          [{ address: '192.0.2.2', length: 24, tentative: false }],
        )
      })
    },
  },
  {
    name: 'finds by their mark the routes, rules and tables that are its own, and no others',
    async run(system) {
      const theirs: Resource = { ...route6, prefix: '2001:db8:f::/48', protocol: '3' }
      const ours = [route6, nextHop, SAMPLES.at(-3) as Resource, SAMPLES.at(-1) as Resource]
      await during(system, [...ours, theirs], async () => {
        const marked = (await system.marked('sixgate', 'sixgate0')).map(keyOf)
        assert.deepEqual(marked.sort(), ours.map(keyOf).sort())
      })
    },
  },
  {
    name: 'names the command and the Debian package when one is missing',
    async run(system) {
      await assert.rejects(system.run('no-such-command', [], 'no-such-package'), (error) => {
        assert.ok(error instanceof GatewayError)
        assert.equal(error.code, 'COMMAND_MISSING')
        assert.equal(error.remedy, 'apt-get install no-such-package')
        return true
      })
    },
  },
  {
    name: 'tells the same identity twice',
    async run(system) {
      assert.equal(await system.identity(), await system.identity())
    },
  },
]

/** What only the kernel can show. */
export const KERNEL: readonly Promised[] = [
  {
    name: 'restores the values that a forwarding switch spreads to other links',
    async run(system) {
      const name = 'net.ipv6.conf.all.forwarding'
      const lan: Resource = { kind: 'sysctl', name: 'net.ipv6.conf.lan0.forwarding', value: '1' }
      const wan: Resource = { ...lan, name: 'net.ipv6.conf.wan0.forwarding', value: '0' }
      const before = await one(system, { kind: 'sysctl', name, value: '' })
      await during(system, [lan], async () => {
        const mixed = await one(system, { kind: 'sysctl', name, value: '' })
        await system.change([{ after: { kind: 'sysctl', name, value: '1' } }])
        assert.ok(satisfies(await one(system, wan), { ...wan, value: '1' }))
        await system.change([{ ...(mixed && { after: mixed }) }])
        assert.ok(satisfies(await one(system, wan), wan))
        assert.ok(satisfies(await one(system, lan), lan))
      })
      assert.deepEqual(await one(system, { kind: 'sysctl', name, value: '' }), before)
    },
  },
  {
    name: 'names the sysctl that cannot be written, and the flag that sets it',
    async run(system) {
      // the kernel takes no value but 0 and 1 here
      const after: Resource = { kind: 'sysctl', name: 'net.ipv4.tcp_syncookies', value: 'seven' }
      await assert.rejects(system.change([{ after }]), ({ cause }: { cause: GatewayError }) => {
        assert.equal(cause.code, 'SYSCTL_READONLY')
        assert.match(cause.remedy, /--sysctl net\.ipv4\.tcp_syncookies=seven/)
        return true
      })
    },
  },
  {
    name: 'says what the kernel lacks when a VLAN cannot be made',
    async run(system) {
      const after: Resource = { kind: 'vlan', dev: 'vlan10', parent: 'lan0', id: 10 }
      try {
        await system.change([{ after }])
        assert.ok(satisfies(await one(system, after), after))
        await system.change([{ before: after }])
      } catch (error) {
        assert.match(String(((error as ChangeFailed).cause as Error).message), /8021q/)
      }
    },
  },
  {
    name: 'calls back when a route goes or a ruleset is flushed',
    async run(system) {
      await system.change([{ after: route6 }, { after: SAMPLES.at(-1) as Resource }])
      let heard: (() => void) | undefined
      const watch = system.watch(
        () => heard?.(),
        (error) => assert.fail(String(error)),
      )
      try {
        for (const before of [route6, SAMPLES.at(-1) as Resource]) {
          // the watchers start on their own time, so it is done again until one has heard
          const done = new Promise<void>((resolve) => {
            heard = resolve
          })
          const again = setInterval(() => void system.change([{ after: before }, { before }]), 100)
          await done
          clearInterval(again)
        }
      } finally {
        watch.close()
        await system.change([{ before: route6 }, { before: SAMPLES.at(-1) as Resource }])
      }
    },
  },
  {
    name: 'hears the lines of a child and its end',
    async run(system) {
      const lines: string[] = []
      const child = system.spawn('echo', ['one\ntwo'], { package: 'coreutils', onLine: (line) => lines.push(line) })
      assert.deepEqual(await child.exited, { code: 0, signal: null })
      assert.deepEqual(lines, ['one', 'two'])
      const sleeper = system.spawn('sleep', ['60'], { package: 'coreutils' })
      sleeper.kill('SIGTERM')
      assert.deepEqual(await sleeper.exited, { code: null, signal: 'SIGTERM' })
    },
  },
]
