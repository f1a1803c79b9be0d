// SPDX-License-Identifier: Apache-2.0
/** Which way an interface's packets go, and what is said of it. */
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { Datapath, fastpathOptions, summary } from '../../src/datapath.ts'
import { namesOf } from '../../src/feature.ts'
import { silentLog } from '../../src/log.ts'
import type { Dataplane, FastpathStatus } from '../../src/system/dataplane.ts'
import type { LinkInfo } from '../../src/system/system.ts'

const config = (ways = '', link = '') =>
  loadConfig(`
version: 1
${ways}
interfaces:
  - { name: lan0, role: inside, addresses: ["2001:db8:1::1/64"]${link} }
  - { name: wan0, role: outside, addresses: ["192.0.2.2/24"] }
nat64: { allowNonGlobal: true, pools: [{ addresses: ["198.51.100.64/28"] }] }
`)

const linkOf = (name: string, type: string, index: number): LinkInfo => ({
  name,
  index,
  up: true,
  carrier: true,
  mtu: 1500,
  type,
  addresses: [],
})

/** A plane whose kernel refuses what it is told to. */
class Plane {
  readonly calls: string[] = []
  status: FastpathStatus = { loaded: true, why: '', verifier: '', attached: {} }
  refuses: Readonly<Record<string, string>> = {}

  attach(name: string, hook: string): string {
    this.calls.push(`${name} ${hook}`)
    return this.refuses[hook] ?? ''
  }

  fastpath(): FastpathStatus {
    return this.status
  }
}

function world(lan: string, wan: string, plane = new Plane()) {
  const datapath = new Datapath(silentLog)
  const host = { links: [linkOf('lan0', lan, 2), linkOf('wan0', wan, 3)], sysctls: {} }
  const update = (to = config()) => datapath.update(plane as unknown as Dataplane, to, host)
  const ways = () => datapath.status()?.interfaces.map(({ name, datapath: way, why }) => `${name} ${way} ${why}`.trim())
  return { plane, datapath, host, update, ways }
}

describe('the way of packets', () => {
  it('is XDP on hardware and TC on virtual links', () => {
    const { update, ways, datapath } = world('', 'veth')
    update()
    expect(ways()).toEqual(['lan0 xdp', 'wan0 tc'])
    expect(summary(datapath.status())).toBe('xdp+tc')
  })

  it('is the next best one where the kernel refuses, which is said', () => {
    const { plane, update, ways } = world('', '')
    plane.refuses = { xdp: 'native XDP: Operation not supported' }
    update()
    expect(ways()).toEqual([
      'lan0 tc xdp: native XDP: Operation not supported',
      'wan0 tc xdp: native XDP: Operation not supported',
    ])
  })

  it('is the device where the programs cannot be loaded, with the reason', () => {
    const { plane, update, ways } = world('', 'veth')
    plane.status = { loaded: false, why: 'the kernel refuses the programs', verifier: 'R1 unbounded' }
    update()
    expect(ways()?.[0]).toBe('lan0 tun the kernel refuses the programs')
  })

  it('is the device for links without an Ethernet header', () => {
    const { update, ways } = world('wireguard', 'veth')
    update(config('datapath: tc'))
    expect(ways()?.[0]).toBe('lan0 tun a wireguard link has no Ethernet header')
  })

  it('is chosen for one link apart from the others', () => {
    const { update, ways } = world('veth', 'veth')
    update(config('', ', datapath: tun'))
    expect(ways()).toEqual(['lan0 tun the configuration says so', 'wan0 tc'])
  })

  it('is looked at again only when the link or the wish is another', () => {
    const { plane, update, host } = world('veth', 'veth')
    update()
    update()
    expect(plane.calls).toHaveLength(2)
    host.links[0] = linkOf('lan0', 'veth', 9)
    update()
    expect(plane.calls).toHaveLength(3)
    update(config('datapath: xdp'))
    expect(plane.calls.slice(3)).toEqual(['lan0 xdp', 'wan0 xdp'])
  })

  it('is given up on interfaces that are no longer configured, a predecessor’s too', () => {
    const { plane, update } = world('veth', 'veth')
    plane.status = { ...plane.status, attached: { old0: 'tc' } }
    update()
    expect(plane.calls).toContain('old0 tun')
  })

  it('needs nothing loaded where all links keep to the device', () => {
    expect(fastpathOptions(config('datapath: tun'), namesOf())).toBeUndefined()
    expect(fastpathOptions(config(), namesOf('x'))?.pins).toMatch(/sixgate-x/)
  })
})
