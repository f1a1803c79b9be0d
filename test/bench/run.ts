// SPDX-License-Identifier: Apache-2.0
/** `npm run bench -- NAME [--json]`: one measure, its ratios from one run. */
import { sweep } from '../lab/netns.ts'

interface Bench {
  run(args: string[]): Promise<unknown>
}

const BENCHES: Record<string, { readonly summary: string; readonly load: () => Promise<Bench> }> = {
  'tun-tcp': {
    summary: 'one TCP stream through the TUN path, against kernel forwarding and tayga',
    load: () => import('./tun-tcp.ts'),
  },
  'tun-udp': {
    summary: 'the highest rate of 64-byte datagrams without loss, against tayga',
    load: () => import('./tun-udp.ts'),
  },
  'siit-tcp': {
    summary: 'as tun-tcp, with stateless translation: tayga is stateless too',
    load: async () => ({ run: async (args) => (await import('./tun-tcp.ts')).measure(args, 'siit-tcp') }),
  },
  'tc-tcp': {
    summary: 'as tun-tcp, with established flows translated by TC, the daemon at work beside it',
    load: async () => ({ run: async (args) => (await import('./tun-tcp.ts')).measure(args, 'tc-tcp') }),
  },
  'siit-udp': {
    summary: 'as tun-udp, with stateless translation',
    load: async () => ({ run: async (args) => (await import('./tun-udp.ts')).measure(args, true) }),
  },
  fastpath: {
    summary: 'the kernel fast path: XDP frames a second, nanoseconds, one TCP stream through TC',
    load: () => import('./fastpath.ts'),
  },
  sessions: {
    summary: 'a million sessions: bytes each, and what a packet costs against a thousand',
    load: () => import('./sessions.ts'),
  },
  conformance: {
    summary: 'cases passed by RFC and section, of the core and the session machine (--all: the tests with packets too)',
    load: () => import('./conformance.ts'),
  },
  'static-nat': {
    summary: 'the static NAT module in the virtual machine, against nftables with and without conntrack',
    load: () => import('./static-nat.ts'),
  },
  dns64: {
    summary: 'server CPU per DNS64 query, against unbound with its dns64 module',
    load: () => import('./dns64.ts'),
  },
}

const [name = '', ...args] = process.argv.slice(2)
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined
if (!bench) {
  console.error('usage: npm run bench -- NAME [--json]')
  for (const [each, { summary }] of Object.entries(BENCHES)) console.error(`  ${each.padEnd(11)} ${summary}`)
  process.exit(2)
}
// Ctrl-C ends the run by its ordinary way out, which takes the namespaces away.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))
if (process.getuid?.() === 0) sweep()
const code = await (await bench.load()).run(args)
if (typeof code === 'number') process.exitCode = code
