// SPDX-License-Identifier: Apache-2.0
/** A virtual machine with the static NAT module and an edge between two hosts, all in namespaces of the machine. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildModule } from './kernel-module.ts'
import { VirtualMachine } from './virtual-machine.ts'

export const TALK = '/root/talk.py'

/**
 *   inside ───────────── edge ───────────── outside
 *   192.0.2.8    192.0.2.1   203.0.113.1    203.0.113.80
 *                198.51.100.0/24: outside addresses of the inside
 */
const TOPOLOGY = `
  for name in inside edge outside; do
    ip netns add $name
    ip -n $name link set lo up
  done
  ip link add in0 netns inside type veth peer in1 netns edge
  ip link add out0 netns outside type veth peer out1 netns edge
  ip -n inside address add 192.0.2.8/24 dev in0
  ip -n inside address add 192.0.2.9/24 dev in0
  ip -n edge address add 192.0.2.1/24 dev in1
  ip -n edge address add 203.0.113.1/24 dev out1
  ip -n outside address add 203.0.113.80/24 dev out0
  for end in 'inside in0' 'edge in1' 'edge out1' 'outside out0'; do
    set -- $end
    ip -n $1 link set $2 up
  done
  ip -n inside route add default via 192.0.2.1
  ip -n outside route add 198.51.100.0/24 via 203.0.113.1
  ip netns exec edge sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
  ip netns exec inside sysctl -qw net.ipv4.icmp_ratelimit=0
  ip netns exec outside sysctl -qw net.ipv4.icmp_ratelimit=0`

export async function startEdge(): Promise<{ machine: VirtualMachine; buildLog: string }> {
  const machine = await VirtualMachine.start()
  try {
    const { module, log } = await buildModule(machine.image)
    await machine.put('/root/static_nat.ko', module)
    await machine.put(TALK, readFileSync(fileURLToPath(new URL('talk.py', import.meta.url))))
    await machine.script(`modprobe veth; insmod /root/static_nat.ko\n${TOPOLOGY}`)
    return { machine, buildLog: log }
  } catch (error) {
    await machine.close()
    throw error
  }
}
