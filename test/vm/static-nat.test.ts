// SPDX-License-Identifier: Apache-2.0
/*
 *   inside ───────────── edge ───────────── outside
 *   192.0.2.8    192.0.2.1   203.0.113.1    203.0.113.80
 *                198.51.100.8 ↔ 192.0.2.8
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { startEdge, TALK } from './edge.ts'
import { BOOT_MS, machineStory } from './story.ts'
import type { VirtualMachine } from './virtual-machine.ts'

const TABLE = '/proc/net/static_nat'
const MAPPING = '198.51.100.8 192.0.2.8 dst'

machineStory('The static NAT module', () => {
  let machine: VirtualMachine
  let buildLog: string

  const within = (namespace: string, command: string, ...args: string[]) =>
    machine.run('ip', ['netns', 'exec', namespace, command, ...args])
  const talk = async (namespace: string, ...args: (string | number)[]) =>
    JSON.parse(await within(namespace, 'python3', TALK, ...args.map(String)))
  const table = (namespace = 'edge') => within(namespace, 'cat', TABLE)
  const write = async (...texts: (string | Buffer)[]): Promise<string[]> => {
    const input = JSON.stringify(texts.map((text) => Buffer.from(text).toString('base64')))
    return JSON.parse(await machine.run('ip', ['netns', 'exec', 'edge', 'python3', TALK, 'writes', TABLE], { input }))
  }
  const add = async (text: string) => expect(await write(text)).toEqual(['ok'])

  /** Whether the checksums of what is sent are left to a device. */
  const offload = (state: string) =>
    machine.script(`
      for end in 'inside in0' 'edge in1' 'edge out1' 'outside out0'; do
        set -- $end
        ip netns exec $1 ethtool -K $2 tx ${state} > /dev/null
      done`)

  /** Numbers go to and fro over one connection; `more` waits for further ones to arrive. */
  function conversation(namespace: string, local: string, remote: string) {
    const progress = `/tmp/progress-${namespace}-${Math.random().toString(36).slice(2)}`
    const ended = talk(namespace, 'talk', local, remote, 7000, progress)
    ended.catch(() => {})
    const count = async () => Number((await machine.attempt('cat', [progress])).stdout)
    return {
      async more() {
        const before = await count()
        await Promise.race([until('the conversation goes on', async () => (await count()) > before + 5, 60), ended])
      },
      async stop() {
        await machine.run('touch', [`${progress}.stop`])
        return ended
      },
    }
  }

  beforeAll(async () => {
    const edge = await startEdge()
    machine = edge.machine
    buildLog = edge.buildLog
    // the rules make connection tracking work, and lose whatever it takes for wrong
    await machine.run('ip', ['netns', 'exec', 'edge', 'nft', '-f', '-'], {
      input: `table ip watch {
        chain forward { type filter hook forward priority 0
          ct state invalid counter drop
        }
        chain output { type filter hook output priority 0
          ct state invalid counter drop
        }
      }`,
    })
    for (const namespace of ['inside', 'outside']) {
      await machine.script(
        `ip netns exec ${namespace} setsid python3 ${TALK} serve 7000 < /dev/null > /dev/null 2>&1 &`,
      )
      await until('the server listens', async () => /:7000/.test(await within(namespace, 'ss', '-ltn')))
    }
  }, BOOT_MS)

  afterAll(async () => {
    await machine?.close()
  })

  beforeEach(async () => {
    if (!machine) return
    const lines = (await table()).split('\n').filter((line) => line.includes(' static '))
    const removals = lines.map((line) => `-${line.split(' ').slice(0, 3).join(' ')}\n`).join('')
    if (removals) await add(removals)
  })

  it('compiles without a word from the compiler or sparse', () => {
    expect(buildLog).toMatch(/CHECK .*rewrite\.c/)
    expect(buildLog).not.toMatch(/warning|error/i)
  })

  it('lists both directions, the one that was asked for and its reverse', async () => {
    await add('+198.51.100.8 192.0.2.8 dst\n+192.0.2.9 198.51.100.9 src\n+198.51.100.32/28 192.0.2.32/28 dst\n')
    expect(await table()).toBe(
      [
        '198.51.100.8 192.0.2.8 dst static packets 0 bytes 0',
        '192.0.2.8 198.51.100.8 src automatic packets 0 bytes 0',
        '192.0.2.9 198.51.100.9 src static packets 0 bytes 0',
        '198.51.100.9 192.0.2.9 dst automatic packets 0 bytes 0',
        '198.51.100.32/28 192.0.2.32/28 dst static packets 0 bytes 0',
        '192.0.2.32/28 198.51.100.32/28 src automatic packets 0 bytes 0',
        '',
      ].join('\n'),
    )
    await add('-192.0.2.9 198.51.100.9 src\n-198.51.100.8 192.0.2.8 dst\n-198.51.100.32/28 192.0.2.32/28 dst')
    expect(await table()).toBe('')
  })

  it('refuses what is wrong and leaves the table as it was', async () => {
    await add(`+${MAPPING}\n`)
    const before = await table()
    const good = '+198.51.100.10 192.0.2.10 dst\n'
    const cases: [string | Buffer, string][] = [
      ...[
        ...['\n', 'x', '+', '-', '+198.51.100.1', '+198.51.100.1 192.0.2.1', '+198.51.100.1 192.0.2.1 dest\n'],
        ...['198.51.100.1 192.0.2.1 dst\n', '+ 198.51.100.1 192.0.2.1 dst\n', '+198.51.100.1 192.0.2.1 dst x\n'],
        ...['+198.51.100.256 192.0.2.1 dst\n', '+198.51.100 192.0.2.1 dst\n', '+198.51.100.1. 192.0.2.1 dst\n'],
        ...['+2001:db8::1 192.0.2.1 dst\n', '+198.51.100.1 198.51.100.1 dst\n', '+0.0.0.0 192.0.2.1 dst\n'],
        ...['+127.0.0.1 192.0.2.1 dst\n', '+224.0.0.1 192.0.2.1 dst\n', '+198.51.100.1 255.255.255.255 src\n'],
        ...['+198.51.100.0/24 192.0.2.0/25 dst\n', '+198.51.100.0/24 192.0.2.0 dst\n', '+0.0.0.0/0 0.0.0.0/0 dst\n'],
        ...[
          '+198.51.100.1/24 192.0.2.1/24 dst\n',
          '+198.51.100.0/33 192.0.2.0/33 dst\n',
          '+198.51.100.0/ 192.0.2.0/ dst',
        ],
        ...['+198.51.100.0/-8 192.0.2.0/-8 dst\n', '+192.0.0.0/2 64.0.0.0/2 dst\n', '+198.51.100.1 192.0.2.1 dst\r\n'],
        // one bad line, the last one cut, an empty one
        ...[`${good}nonsense\n`, `${good}+198.51.100.11 192.0.2.11 ds`, `${good}\n${good}`],
        `+198.51.100.1${' '.repeat(100)}192.0.2.1 dst\n`,
        `${good}${'9'.repeat(1 << 20)}\n`,
        Buffer.from([...Array(5000).keys()].map((index) => (index * 151) & 255)),
        Buffer.from(`+198.51.100.1 192.0.2.1 dst\0\n`),
        good.repeat((4 << 20) / good.length + 1),
      ].map((text): [string | Buffer, string] => [text, 'EINVAL']),
      [`+${MAPPING}\n`, 'EEXIST'],
      ['+192.0.2.8 198.51.100.8 src\n', 'EEXIST'],
      ['+198.51.100.77 192.0.2.8 dst\n', 'EEXIST'],
      [`${good}+${MAPPING}\n`, 'EEXIST'],
      [`${good}${good}`, 'EEXIST'],
      ['-198.51.100.9 192.0.2.9 dst\n', 'ENOENT'],
      // a removal names the entry as it was made
      ['-192.0.2.8 198.51.100.8 src\n', 'ENOENT'],
      ['-198.51.100.8 192.0.2.9 dst\n', 'ENOENT'],
      ['-198.51.100.8/31 192.0.2.8/31 dst\n', 'ENOENT'],
      [`-${MAPPING}\n-${MAPPING}\n`, 'ENOENT'],
      [`-${MAPPING}\n${good}-198.51.100.9 192.0.2.9 dst\n`, 'ENOENT'],
    ]
    const said = await write(...cases.map(([text]) => text))
    expect(said.map((word, index) => [String(cases[index]?.[0]).slice(0, 60), word])).toEqual(
      cases.map(([text, wanted]) => [String(text).slice(0, 60), wanted]),
    )
    expect(await table()).toBe(before)
  })

  it('replaces a mapping in one write', async () => {
    await add(`+${MAPPING}\n`)
    await add(`-${MAPPING}\n+198.51.100.8 192.0.2.9 dst`)
    expect(await table()).toMatch(/^198\.51\.100\.8 192\.0\.2\.9 dst static.*\n.*\n$/)
  })

  it('reads tens of thousands of mappings whole', async () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => {
      const low = `${index >> 8}.${index & 255}`
      return `100.64.${low} 100.65.${low} dst`
    })
    await add(lines.map((line) => `+${line}\n`).join(''))
    const text = await table()
    const listed = text.split('\n').filter((line) => line.includes(' static '))
    expect(listed.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual(lines)
    expect(text.split('\n').length).toBe(60_001)
  })

  it('is one table in each network namespace', async () => {
    await add(`+${MAPPING}\n`)
    expect(await table('inside')).toBe('')
    await machine.script(
      `ip netns add brief; echo '+${MAPPING}' | ip netns exec brief tee ${TABLE}; ip netns del brief`,
    )
    expect((await table()).split('\n').length).toBe(3)
  })

  it('carries connections from either side, untracked, and counts them', async () => {
    await add(`+${MAPPING}\n`)
    expect(await talk('inside', 'bulk', '192.0.2.8', '203.0.113.80', 7000, 4 << 20)).toEqual({
      ...{ seen: '198.51.100.8', same: true },
    })
    expect(await talk('outside', 'bulk', '203.0.113.80', '198.51.100.8', 7000, 4 << 20)).toEqual({
      ...{ seen: '203.0.113.80', same: true },
    })
    expect(await within('edge', 'conntrack', '-L')).not.toMatch(/7000/)
    const counters = [...(await table()).matchAll(/packets (\d+) bytes (\d+)/g)].map(([, , bytes]) => Number(bytes))
    expect(counters.length).toBe(2)
    for (const bytes of counters) expect(bytes).toBeGreaterThan(8 << 20)
  })

  it('carries them where no offload leaves the checksums to others', async () => {
    await offload('off')
    await add(`+${MAPPING}\n`)
    const got = await talk('outside', 'bulk', '203.0.113.80', '198.51.100.8', 7000, 1 << 20)
    expect(got).toEqual({ seen: '203.0.113.80', same: true })
    await offload('on')
  })

  it('takes a prefix as a whole, and a host in it for itself', async () => {
    await add('+198.51.100.0/24 192.0.2.0/24 dst\n')
    expect((await talk('inside', 'bulk', '192.0.2.9', '203.0.113.80', 7000, 1000)).seen).toBe('198.51.100.9')
    await add('+198.51.100.77 192.0.2.9 dst\n')
    expect((await talk('inside', 'bulk', '192.0.2.9', '203.0.113.80', 7000, 1000)).seen).toBe('198.51.100.77')
    expect((await talk('inside', 'bulk', '192.0.2.8', '203.0.113.80', 7000, 1000)).seen).toBe('198.51.100.8')
  })

  it('takes over a live connection from connection tracking', async () => {
    await machine.run('ip', ['netns', 'exec', 'edge', 'nft', '-f', '-'], {
      input: `table ip tracked {
        chain source { type nat hook postrouting priority srcnat; oifname out1 ip saddr 192.0.2.8 snat to 198.51.100.8; }
      }`,
    })
    const connection = conversation('inside', '192.0.2.8', '203.0.113.80')
    await connection.more()
    expect(await within('edge', 'conntrack', '-L')).toMatch(/7000/)
    await add(`+${MAPPING}\n`)
    await connection.more()
    await machine.script('ip netns exec edge nft delete table ip tracked; ip netns exec edge conntrack -F 2>&1')
    await connection.more()
    expect(await connection.stop()).toMatchObject({ seen: '198.51.100.8' })
    expect(await within('edge', 'conntrack', '-L')).not.toMatch(/7000/)
  })

  it('goes on with a connection from outside whose mapping went and came back', async () => {
    await add(`+${MAPPING}\n`)
    const connection = conversation('outside', '203.0.113.80', '198.51.100.8')
    await connection.more()
    await add(`-${MAPPING}\n`)
    await add('+192.0.2.8 198.51.100.8 src\n')
    await connection.more()
    expect(await connection.stop()).toMatchObject({ seen: '203.0.113.80' })
  })

  it('carries UDP, UDP-Lite, datagrams without a checksum, and fragments', async () => {
    await add(`+${MAPPING}\n`)
    for (const kind of ['udp', 'udplite', 'unchecked'])
      for (const size of [10, 5000]) {
        const there = await talk('inside', 'datagram', '192.0.2.8', '203.0.113.80', 7000, size, kind)
        const back = await talk('outside', 'datagram', '203.0.113.80', '198.51.100.8', 7000, size, kind)
        expect([kind, size, there, back]).toEqual([kind, size, { same: true }, { same: true }])
      }
    expect(await within('outside', 'ping', '-c', '1', '-W', '5', '-s', '4000', '198.51.100.8')).toMatch(
      / 0% packet loss/,
    )
    // fragments pass one by one
    expect(await within('edge', 'nstat', '-az', 'IpReasmReqds')).toMatch(/IpReasmReqds +0 /)
  })

  it('leaves a UDP checksum of 0 alone', async () => {
    await add(`+${MAPPING}\n`)
    const seen = within('outside', 'tcpdump', '-c1', '-nv', '-i', 'out0', 'udp dst port 7000 and udp[6:2] = 0')
    const sockets = async () => (await within('outside', 'cat', '/proc/net/packet')).trim().split('\n').length
    await until('tcpdump listens', async () => (await sockets()) > 1)
    await talk('inside', 'datagram', '192.0.2.8', '203.0.113.80', 7000, 10, 'unchecked')
    expect(await seen).toMatch(/198\.51\.100\.8\.\d+ > 203\.0\.113\.80\.7000/)
  })

  it.each([
    ['the outside host', 'inside', '192.0.2.8', '203.0.113.80', 64, '203.0.113.80', 3, 'ECONNREFUSED'],
    ['the inside host', 'outside', '203.0.113.80', '198.51.100.8', 64, '198.51.100.8', 3, 'ECONNREFUSED'],
    ['the edge, to the outside', 'outside', '203.0.113.80', '198.51.100.8', 1, '203.0.113.1', 11, 'EHOSTUNREACH'],
    ['the edge, to the inside', 'inside', '192.0.2.8', '203.0.113.80', 1, '192.0.2.1', 11, 'EHOSTUNREACH'],
  ])('brings the ICMP error of %s to a sender who knows its own packet in it', async (...row) => {
    const [, namespace, local, remote, ttl, sender, type, heard] = row
    await add(`+${MAPPING}\n`)
    // a device that is no device leaves the checksum of what is quoted unfinished
    await offload('off')
    expect(await talk(namespace, 'quote', local, remote, 9, ttl)).toEqual({
      ...{ type, sender, source: local, destination: remote, sums: [0, 0, 0], heard },
    })
  })

  it('loses nothing to rules against what connection tracking takes for wrong', async () => {
    const counts = [...(await within('edge', 'nft', 'list', 'table', 'ip', 'watch')).matchAll(/packets (\d+)/g)]
    expect(counts.map(([, packets]) => packets)).toEqual(['0', '0'])
  })

  it('survives many changes, readers and packets at once, and goes without a trace', async () => {
    await add(`+${MAPPING}\n`)
    const seconds = 8
    const churn = (first: string) => talk('edge', 'churn', TABLE, first, seconds)
    const ping = (namespace: string, target: string) =>
      within(namespace, 'ping', '-q', '-f', '-w', String(seconds), target)
    const results = await Promise.all([
      churn('100.64.0.0'),
      churn('101.64.0.0'),
      within('edge', 'timeout', String(seconds), 'sh', '-c', `while cat ${TABLE} > /dev/null; do :; done; true`).catch(
        (error) => error.message,
      ),
      ping('outside', '198.51.100.8'),
      machine.attempt('ip', ['netns', 'exec', 'inside', 'ping', '-q', '-f', '-w', String(seconds), '203.0.113.80']),
    ])
    for (const index of [0, 1]) expect(results[index]).toMatchObject({ same: true })
    expect(results[3]).toMatch(/ 0% packet loss/)
    const flood = machine.attempt('ip', ['netns', 'exec', 'outside', 'ping', '-q', '-f', '-w', '3', '198.51.100.8'])
    await machine.run('rmmod', ['static_nat'])
    expect(await machine.run('cat', ['/proc/modules'])).not.toMatch(/static_nat/)
    await flood
    await machine.run('insmod', ['/root/static_nat.ko'])
    await machine.run('rmmod', ['static_nat'])
    expect(await machine.run('dmesg')).not.toMatch(/WARNING|BUG|Call Trace|rcu.*stall|leak|refcount/)
  })
})
