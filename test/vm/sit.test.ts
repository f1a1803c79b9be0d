// SPDX-License-Identifier: Apache-2.0
/*
 *   gateway's own tunnels             the kernel's, as the reconciler makes them
 *   peer ─────────────── tap0 ─────── machine
 *   192.0.2.1                         192.0.2.2
 *   6in4 2001:db8:f::1/64 … ::2/64    6to4 2002:c000:201::1, 2002:c000:202::1    6rd    isatap
 */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { validateConfig } from '../../src/config/load.ts'
import type { Host } from '../../src/feature.ts'
import { namesOf } from '../../src/feature.ts'
import { type IpLink, ipLines, toSit } from '../../src/system/ip.ts'
import { keyOf, type Resource, satisfies } from '../../src/system/system.ts'
import { tunnels as feature } from '../../src/tunnels.ts'
import { Gateway } from '../lab/gateway.ts'
import { type Namespace, Topology } from '../lab/netns.ts'
import { settled } from '../net/story.ts'
import { BOOT_MS, machineStory } from './story.ts'
import { VirtualMachine } from './virtual-machine.ts'

const PEER = '192.0.2.1'
const MACHINE = '192.0.2.2'
const HOST: Host = { links: [], sysctls: {}, sit: true }

machineStory("The kernel's tunnels and the gateway's own", () => {
  let topology: Topology
  let peer: Namespace
  let machine: VirtualMachine
  let gateway: Gateway

  const modes = [
    {
      mode: '6in4',
      own: { remote: MACHINE, addresses: ['2001:db8:f::1/64'] },
      sit: { remote: PEER, addresses: ['2001:db8:f::2/64'] },
      to: '2001:db8:f::2',
    },
    { mode: '6to4', own: {}, sit: {}, to: '2002:c000:202::1' },
    { mode: '6rd', own: { prefix: '3fff:100::/24' }, sit: { prefix: '3fff:100::/24' }, to: '3fff:1c0:2:200::1' },
    {
      mode: 'isatap',
      own: { prefix: '2001:db8:5::/64' },
      sit: { prefix: '2001:db8:5::/64', routers: [PEER] },
      to: '2001:db8:5::5efe:c000:202',
    },
  ] as const

  beforeAll(async () => {
    topology = new Topology('sit')
    peer = await topology.namespace('peer')
    machine = await VirtualMachine.start({ nics: [{ namespace: peer, name: 'tap0', mac: '02:00:00:00:00:01' }] })
    await machine.script(`
      modprobe virtio_net
      modprobe sit
      ip link set eth0 up; ip address add ${MACHINE}/24 dev eth0
      ip -6 address flush dev eth0`)
    const tunnels = modes.map(({ mode, own }) => ({
      name: `own${mode}`,
      mode,
      local: PEER,
      backend: 'sixgate',
      ...own,
    }))
    const file = topology.ownPath(`/run/sixgate-lab/sit-${topology.id}.yaml`)
    const interfaces = [{ name: 'tap0', role: 'outside', addresses: [`${PEER}/24`] }]
    writeFileSync(file, JSON.stringify({ version: 1, interfaces, tunnels }))
    gateway = new Gateway(peer, file)
    await gateway.start()
    await settled(peer)
  }, BOOT_MS)

  afterAll(async () => {
    await machine?.close()
    await topology?.close()
  })

  const planned = (tunnel: object): readonly Resource[] =>
    feature.plan(validateConfig({ version: 1, tunnels: [tunnel] }), HOST, namesOf()).present
  const ip = async (lines: readonly string[]) => {
    await machine.run('ip', ['-batch', '-'], { input: lines.map((line) => `${line}\n`).join('') })
  }

  it.each(modes)('speak $mode with each other', async ({ mode, sit, to }) => {
    const name = `sit${mode}`
    const resources = planned({ name, mode, local: MACHINE, backend: 'kernel', ...sit }).filter(
      ({ kind }) => kind !== 'sysctl',
    )
    const wanted = resources.find(({ kind }) => kind === 'sit')
    expect(wanted && keyOf(wanted)).toBe(`sit ${name}`)
    await ip(resources.flatMap((after) => ipLines({ after })))
    try {
      const text = await machine.run('ip', ['-json', '-N', '-details', 'link', 'show', 'dev', name])
      const [link] = JSON.parse(text) as [IpLink]
      expect(wanted && satisfies(toSit(link), wanted), `${JSON.stringify(toSit(link))} of ${text}`).toBe(true)
      expect(await peer.run('ping', ['-6', '-c', '3', '-i', '0.2', '-W', '5', to])).toMatch(/[1-3] received/)
    } finally {
      await ip(wanted ? ipLines({ before: wanted }) : [])
    }
  })
})
