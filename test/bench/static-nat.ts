// SPDX-License-Identifier: Apache-2.0
/**
 * Packets a second through an edge that translates destinations, in the virtual machine: the module against what
 * nftables does with and without connection tracking. pktgen hands packets to one dummy device as if they had
 * come by it, and forwarding ends in another, so that one processor does all of the path and little else. Every
 * side has an edge of its own; nftables' sides run while the module is not loaded. 10,000 flows on each side.
 */

import { buildModule } from '../vm/kernel-module.ts'
import { BOOT_MS } from '../vm/story.ts'
import { VirtualMachine } from '../vm/virtual-machine.ts'
import { interleave, median, publish, type Side, teller } from './measure.ts'

const FLOWS = 10_000
const PACKETS = 100_000
const ROUNDS = 5
const MAC = '02:00:00:00:00:08'

type Way = 'module' | 'tracked' | 'stateless' | 'forwarding'

/** The nth of RFC 2544's addresses for measures: outside in 198.18, inside in 198.19. */
const outside = (index: number) => `198.18.${index >> 8}.${index & 255}`
const inside = (index: number) => `198.19.${index >> 8}.${index & 255}`

function ruleset(way: 'tracked' | 'stateless', mappings: number): string {
  const pairs = Array.from({ length: mappings }, (_, index): [string, string] => [outside(index), inside(index)])
  const elements = (rows: [string, string][]) => rows.map((row) => row.join(' : ')).join(',')
  const maps = `
    map there { type ipv4_addr : ipv4_addr; elements = { ${elements(pairs)} }; }
    map back { type ipv4_addr : ipv4_addr; elements = { ${elements(pairs.map(([a, b]) => [b, a]))} }; }`
  const chains =
    way === 'tracked'
      ? `chain pre { type nat hook prerouting priority dstnat; dnat to ip daddr map @there; }
         chain post { type nat hook postrouting priority srcnat; snat to ip saddr map @back; }`
      : `chain pre { type filter hook prerouting priority raw; ip daddr set ip daddr map @there notrack; }
         chain post { type filter hook postrouting priority srcnat; ip saddr set ip saddr map @back; }`
  return `table ip edge { ${maps}\n${chains}\n}\n`
}

class Edges {
  readonly machine: VirtualMachine
  #loaded = false

  constructor(machine: VirtualMachine) {
    this.machine = machine
  }

  async prepare(): Promise<void> {
    const { module } = await buildModule(this.machine.image)
    await this.machine.put('/root/static_nat.ko', module)
    for (const name of ['dummy', 'pktgen']) await this.machine.run('modprobe', [name])
  }

  async add(name: string, way: Way, mappings: number): Promise<void> {
    await this.machine.script(`
      ip netns add ${name}
      ip netns exec ${name} sysctl -qw net.ipv6.conf.default.disable_ipv6=1
      for device in out1 in1; do
        ip -n ${name} link add $device type dummy
        ip -n ${name} link set $device up
      done
      ip -n ${name} address add 203.0.113.1/24 dev out1
      ip -n ${name} address add 192.0.2.1/24 dev in1
      ip -n ${name} neighbor add 192.0.2.8 lladdr ${MAC} dev in1
      ip -n ${name} route add 198.19.0.0/16 via 192.0.2.8
      ip netns exec ${name} sysctl -qw net.ipv4.ip_forward=1`)
    if (way === 'forwarding')
      await this.machine.run('ip', ['-n', name, 'route', 'add', '198.18.0.0/16', 'via', '192.0.2.8'])
    if (way === 'tracked' || way === 'stateless')
      await this.machine.run('ip', ['netns', 'exec', name, 'nft', '-f', '-'], { input: ruleset(way, mappings) })
  }

  /** The module's tables go with it. */
  async #load(name: string, mappings: number): Promise<void> {
    await this.#unload()
    const lines = Array.from({ length: mappings }, (_, index) => `+${outside(index)} ${inside(index)} dst\n`)
    await this.machine.put('/tmp/mappings', lines.join(''))
    await this.machine.script(`
      insmod /root/static_nat.ko
      ip netns exec ${name} dd status=none bs=4M if=/tmp/mappings of=/proc/net/static_nat`)
    this.#loaded = true
  }

  async #unload(): Promise<void> {
    if (this.#loaded) await this.machine.run('rmmod', ['static_nat'])
    this.#loaded = false
  }

  /** Thousand packets a second of processor time, all of which arrived where they should. */
  async rate(name: string, way: Way, mappings: number): Promise<number> {
    if (way === 'module') await this.#load(name, mappings)
    else await this.#unload()
    const ports = FLOWS / mappings
    const settings = [
      ...['xmit_mode netif_receive', 'clone_skb 0', `count ${PACKETS}`, 'delay 0', 'pkt_size 78'],
      ...['src_min 203.0.113.80', 'src_max 203.0.113.80', `dst_min ${outside(0)}`, `dst_max ${outside(mappings - 1)}`],
      ...['udp_src_min 10000', `udp_src_max ${10_000 + ports}`, 'udp_dst_min 9', 'udp_dst_max 9'],
    ]
    const within = (script: string) => this.machine.run('ip', ['netns', 'exec', name, 'sh', '-ec', script])
    const sent = async () => Number(await within('cat /sys/class/net/in1/statistics/tx_packets'))
    await within(`cd /proc/net/pktgen
      echo rem_device_all > kpktgend_0
      echo add_device out1 > kpktgend_0
      ${settings.map((line) => `echo '${line}' > out1`).join('\n')}
      echo "dst_mac $(cat /sys/class/net/out1/address)" > out1`)
    const before = await sent()
    const started = this.machine.processorSeconds()
    await within('echo start > /proc/net/pktgen/pgctrl')
    const seconds = this.machine.processorSeconds() - started
    const arrived = (await sent()) - before
    if (arrived !== PACKETS) throw new Error(`${name}: ${arrived} of ${PACKETS} packets arrived`)
    return PACKETS / seconds / 1000
  }

  async close(): Promise<void> {
    await this.machine.close()
  }
}

const SIDES: readonly { readonly way: Way; readonly mappings: number }[] = [
  ...(['module', 'tracked', 'stateless'] as const).flatMap((way) => [1, FLOWS].map((mappings) => ({ way, mappings }))),
  { way: 'forwarding', mappings: 1 },
]

const title = (way: Way, mappings: number) => (way === 'forwarding' ? way : `${way}, ${mappings}`)

export async function run(args: string[]): Promise<void> {
  const edges = new Edges(await VirtualMachine.start({ timeout: BOOT_MS / 1000 }))
  try {
    await edges.prepare()
    const sides: Side[] = []
    for (const [index, { way, mappings }] of SIDES.entries()) {
      await edges.add(`edge${index}`, way, mappings)
      sides.push({ name: title(way, mappings), measure: () => edges.rate(`edge${index}`, way, mappings) })
    }
    const values = await interleave(sides, ROUNDS, teller())
    const ratio = (one: string, other: string) => median(values[one] ?? []) / median(values[other] ?? [])
    const ratios = [1, FLOWS].flatMap((mappings) => [
      {
        name: `module to nftables with conntrack, ${mappings} mapping(s)`,
        value: ratio(title('module', mappings), title('tracked', mappings)),
        wanted: 1.5,
      },
      {
        name: `module to stateless nftables, ${mappings} mapping(s)`,
        value: ratio(title('module', mappings), title('stateless', mappings)),
        wanted: 1,
      },
    ])
    const size = { name: `module, ${FLOWS} mappings to 1`, wanted: 0.9 }
    publish(
      {
        ...{ bench: 'static-nat', unit: 'thousand packets a second of processor time, emulated', values },
        ratios: [...ratios, { ...size, value: ratio(title('module', FLOWS), title('module', 1)) }],
      },
      args.includes('--json'),
    )
  } finally {
    await edges.close()
  }
}
