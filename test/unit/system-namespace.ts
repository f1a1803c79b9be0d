// SPDX-License-Identifier: Apache-2.0
/**
 * Runs the contract against the kernel and prints one JSON line per promise. It is started by `unshare --net`, so that
 * the namespace goes with the process, however that ends.
 */
import { execFileSync } from 'node:child_process'
import { LinuxSystem } from '../../src/system/linux.ts'
import { CONTRACT, KERNEL } from './system-contract.ts'

const ip = (...args: string[]) => execFileSync('ip', args)
ip('link', 'set', 'lo', 'up')
for (const name of ['lan0', 'wan0']) {
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`)
  ip('link', 'set', name, 'up')
  ip('link', 'set', `${name}p`, 'up')
}

ip('link', 'add', 'point0', 'type', 'veth', 'peer', 'name', 'point0p')
ip('link', 'set', 'point0', 'arp', 'off', 'up')

for (const { name, run } of [...CONTRACT, ...KERNEL]) {
  let error: string | undefined
  try {
    await run(new LinuxSystem())
  } catch (cause) {
    error = (cause as Error).stack
  }
  console.log(JSON.stringify({ name, error }))
}
