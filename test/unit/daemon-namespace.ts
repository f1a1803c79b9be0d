// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon against the kernel, in a namespace that goes with this process. Prints one JSON line per outcome. The
 * translator is a bare TUN device: here it is about what is left behind.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { loadConfig } from '../../src/config/load.ts'
import { startDaemon } from '../../src/daemon.ts'
import { silentLog } from '../../src/log.ts'
import type { Dataplane, OpenDataplane } from '../../src/system/dataplane.ts'
import { LinuxSystem } from '../../src/system/linux.ts'
import { type Change, ChangeFailed } from '../../src/system/system.ts'

const [runDirectory = ''] = process.argv.slice(2)

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

const TEXT = `
version: 1
interfaces:
  - { name: lan0, role: inside, addresses: ["2001:db8:1::1/64"], mtu: 1400, acceptRa: true }
  - { name: wan0, role: outside, addresses: ["192.0.2.2/24"], routes: ["0.0.0.0/0 via 192.0.2.1"] }
nat64:
  allowNonGlobal: true
  pools:
    - { addresses: ["198.51.100.64/30"], announce: true }
    - { addresses: ["192.0.2.2/32"], ports: "10000-59999", clients: ["2001:db8:9::/64"] }
`
const CONFIG = loadConfig(TEXT)

/** All that the gateway could have touched, and more. */
function dump(): string {
  return [
    run('ip', '-json', '-details', 'link'),
    run('ip', '-json', 'address'),
    run('ip', '-json', '-4', 'route', 'show', 'table', 'all'),
    run('ip', '-json', '-6', 'route', 'show', 'table', 'all'),
    run('ip', '-json', '-4', 'rule'),
    run('ip', '-json', '-6', 'rule'),
    run('ip', '-json', 'neigh', 'show', 'proxy'),
    run('nft', 'list', 'ruleset'),
    // counters, not settings
    run('sysctl', '-a', '--pattern', '^net\\.ip').replace(/^.*(?:fib_.*tables|inodes|stable_secret).*$/gm, ''),
  ].join('\n')
}

class FailingSystem extends LinuxSystem {
  failAt = -1
  made = 0

  override async change(changes: readonly Change[]): Promise<void> {
    for (const [index, change] of changes.entries()) {
      if (this.made++ === this.failAt) throw new ChangeFailed(index, new Error('injected'))
      await super.change([change]).catch((error: ChangeFailed) => {
        throw new ChangeFailed(index, error.cause)
      })
    }
  }
}

const openDataplane: OpenDataplane = ({ device }) => {
  if (!readFileSync('/proc/self/net/dev', 'utf8').includes(device))
    run('ip', 'tuntap', 'add', 'dev', device, 'mode', 'tun')
  return {
    configure: () => 0,
    status: () => ({ adopted: 0, adoption: '' }) as ReturnType<Dataplane['status']>,
    sessions: () => [],
    bindings: () => [],
    drops: () => [],
    clients: () => [],
    attach: () => '',
    fastpath: () => ({ loaded: false, why: '', verifier: '' }),
    policy: () => [],
    openTrace: () => 1,
    readTrace: () => undefined,
    closeTrace: () => {},
    readLog: () => 0,
    logCounters: () => ({ events: 0, lost: 0 }),
    foresee: () => ({}) as ReturnType<Dataplane['foresee']>,
    close: (options) => {
      if (!options?.keep) run('ip', 'link', 'del', device)
    },
  }
}

const start = (system: LinuxSystem) =>
  startDaemon({ config: CONFIG, runDirectory, system, openDataplane, log: silentLog })

run('ip', 'link', 'set', 'lo', 'up')
for (const name of ['lan0', 'wan0']) {
  run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`)
  // an address is tentative for a moment of the kernel's choosing, or not at all
  run('sysctl', '-qw', `net.ipv6.conf.${name}.accept_dad=0`)
  // the kernel's own link-local routes come and go with a link's carrier, in an order of their own
  run('ip', 'link', 'set', name, 'addrgenmode', 'none')
  run('ip', 'link', 'set', `${name}p`, 'addrgenmode', 'none')
  run('ip', 'link', 'set', name, 'up')
  run('ip', 'link', 'set', `${name}p`, 'up')
}
// one that is not like the others, to be found so again
run('sysctl', '-qw', 'net.ipv6.conf.wan0p.forwarding=1', 'net.ipv4.ip_local_reserved_ports=8080,9000-9010')

const before = dump()
const system = new FailingSystem()
const daemon = await start(system)
const steps = system.made
const during = dump()
await daemon.close()
console.log(JSON.stringify({ steps, changed: during !== before, back: dump() === before }))

for (let step = 0; step < steps; step++) {
  const failing = new FailingSystem()
  failing.failAt = step
  const outcome = await start(failing).then(
    () => 'started',
    (error: Error) => error.message,
  )
  console.log(JSON.stringify({ step, outcome, back: dump() === before }))
}

await (await start(new LinuxSystem())).close({ keep: true })
const left = dump()
const successor = await start(new LinuxSystem())
const adopted = dump() === left

/** What is put back stands last in the kernel's lists, so their order does not count here. */
const state = () =>
  dump()
    .split('\n')
    .map((line) =>
      line.startsWith('[')
        ? JSON.parse(line)
            .map((one: unknown) => JSON.stringify(one))
            .sort()
            .join()
        : line,
    )
    .join('\n')
const whole = state()
for (const [command = '', ...args] of [
  ['ip', 'route', 'del', '64:ff9b::/96'],
  ['ip', 'address', 'del', '2001:db8:1::1/64', 'dev', 'lan0'],
  ['ip', 'rule', 'del', 'pref', '1'],
  ['nft', 'flush', 'ruleset'],
]) {
  run(command, ...args)
  const damaged = state() !== whole
  const deadline = Date.now() + 10_000
  while (state() !== whole && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
  console.log(JSON.stringify({ lost: [command, ...args].join(' '), damaged, healed: state() === whole }))
}

// the first address of a network goes: what stands on the network must stay, also what others made
const ROUTE = ['ip', 'route', 'show', '203.0.113.0/24'] as const
run('ip', 'route', 'add', '203.0.113.0/24', 'via', '192.0.2.7', 'dev', 'wan0')
await successor.apply(loadConfig(TEXT.replaceAll('192.0.2.2/', '192.0.2.9/')))
const [address, route] = [run('ip', '-4', '-brief', 'address', 'show', 'dev', 'wan0'), run(...ROUTE)]
console.log(JSON.stringify({ moved: address.trim().split(/\s+/).slice(2), kept: route.trim() }))
await successor.apply(CONFIG)
run('ip', 'route', 'del', '203.0.113.0/24')
await successor.close()
console.log(JSON.stringify({ adopted, back: dump() === before }))
