// SPDX-License-Identifier: Apache-2.0
/*
 *   left ── tap0 ── machine ── tap1 ── right
 *   192.0.2.1   192.0.2.2  198.51.100.2   198.51.100.1
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Namespace, Topology } from '../lab/netns.ts'
import { BOOT_MS, machineStory } from './story.ts'
import { VirtualMachine } from './virtual-machine.ts'

machineStory('The virtual machine', () => {
  let topology: Topology
  let left: Namespace
  let right: Namespace
  let machine: VirtualMachine

  beforeAll(async () => {
    topology = new Topology('machine')
    left = await topology.namespace('left')
    right = await topology.namespace('right')
    const nics = [
      { namespace: left, name: 'tap0', mac: '02:00:00:00:00:01' },
      { namespace: right, name: 'tap1', mac: '02:00:00:00:00:02' },
    ]
    machine = await VirtualMachine.start({ nics })
  }, BOOT_MS)

  afterAll(async () => {
    await machine?.close()
    await topology?.close()
  })

  it('runs the kernel of its image', async () => {
    expect((await machine.run('uname', ['-r'])).trim()).toBe(machine.image.release)
  })

  it('hands over input, output, errors and the exit code of a command', async () => {
    const answer = await machine.attempt('sh', ['-c', 'cat; echo no >&2; exit 3'], { input: 'yes' })
    expect(answer).toEqual({ code: 3, stdout: 'yes', stderr: 'no\n' })
  })

  it('ends a command that takes too long, and goes on', async () => {
    expect((await machine.attempt('sleep', ['1000'], { timeout: 1 })).code).toBe(124)
    expect(await machine.run('echo', ['still', 'here'])).toBe('still here\n')
  })

  it('takes files, bytes unchanged', async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) & 255))
    await machine.put('/tmp/deep/file', bytes, 0o700)
    expect(await machine.run('stat', ['-c', '%a %s', '/tmp/deep/file'])).toBe('700 100000\n')
    expect(await machine.run('base64', ['-w0', '/tmp/deep/file'])).toBe(bytes.toString('base64'))
  })

  it('forwards between its links, which are taps in namespaces of the test', async () => {
    await machine.script(`
      modprobe virtio_net
      ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0
      ip link set eth1 up; ip address add 198.51.100.2/24 dev eth1
      echo 1 > /proc/sys/net/ipv4/ip_forward`)
    await left.ip('address', 'add', '192.0.2.1/24', 'dev', 'tap0')
    await left.ip('route', 'add', 'default', 'via', '192.0.2.2')
    await right.ip('address', 'add', '198.51.100.1/24', 'dev', 'tap1')
    await right.ip('route', 'add', 'default', 'via', '198.51.100.2')
    expect(await left.run('ping', ['-c', '2', '-i', '0.2', '-W', '5', '198.51.100.1'])).toMatch(/ttl=63/)
  })

  it('says so when it stops by itself', async () => {
    await expect(machine.run('sh', ['-c', 'echo b > /proc/sysrq-trigger; sleep 60'])).rejects.toThrow(/stopped/)
    await expect(machine.run('true')).rejects.toThrow(/stopped/)
  })
})
