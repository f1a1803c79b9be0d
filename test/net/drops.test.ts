// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   scapy on both sides         192.0.2.80
 */
import { expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { drops, story, useScene } from './story.ts'

/** Reason, the side that sends, and the packet as scapy writes it. */
const CASES: readonly [string, 'client' | 'server', string][] = [
  [
    'ROUTING_HEADER',
    'client',
    'IPv6(dst=P)/IPv6ExtHdrRouting(addresses=["2001:db8::1"],segleft=1)/UDP(sport=1,dport=2)',
  ],
  ['ICMP_UNTRANSLATABLE', 'client', 'IPv6(dst=P,hlim=64)/ICMPv6MLReport()'],
  ['UNKNOWN_PROTOCOL', 'client', 'IPv6(dst=P,nh=132)/Raw(b"\\0"*12)'],
  ['TCP_NOT_SYN', 'client', 'IPv6(dst=P)/TCP(sport=7777,dport=80,flags="A")'],
  ['ILLEGAL_DESTINATION', 'client', 'IPv6(dst="64:ff9b::127.0.0.1")/UDP(sport=1,dport=2)'],
  ['ILLEGAL_DESTINATION', 'client', 'IPv6(dst="64:ff9b::224.0.0.1")/UDP(sport=1,dport=2)'],
  ['TRUNCATED', 'client', 'IPv6(dst=P,nh=17)/Raw(b"\\0\\1\\0")'],
  [
    'ICMP_NO_SESSION',
    'client',
    'IPv6(dst=P)/ICMPv6DestUnreach()/IPv6(src=P,dst="2001:db8:1::10")/UDP(sport=9,dport=9)',
  ],
  ['NO_BINDING', 'server', 'IP(dst="198.51.100.77")/UDP(sport=5,dport=5555)'],
  ['ICMP_UNTRANSLATABLE', 'server', 'IP(dst="198.51.100.77")/ICMP(type=13)'],
  ['UNKNOWN_PROTOCOL', 'server', 'IP(dst="198.51.100.77",proto=132)/Raw(b"\\0"*12)'],
]

story('Illegal packets', ['/usr/bin/python3', 'nft'], () => {
  const scene = useScene('drops')

  it('are none while nobody sends: what the kernel says on its own device is no loss', async () => {
    expect((await scene.now.gateway.api('/api/v1/drops')).body.drops).not.toContainEqual(
      expect.objectContaining({ packets: expect.toSatisfy((count: number) => count > 0) }),
    )
  })

  it.each(CASES)('count as %s from the %s: %s', async (reason, side, packet) => {
    const { gateway } = scene.now
    const before = (await drops(gateway))[reason] ?? 0
    const script = `from scapy.all import *\nP="64:ff9b::192.0.2.80"\nsend(${packet},verbose=0)`
    await scene.now[side].run('/usr/bin/python3', ['-c', script])
    await until(`${reason} is counted`, async () => ((await drops(gateway))[reason] ?? 0) > before, 5).catch(
      async (error) => {
        throw new Error(`${error.message}; counted: ${JSON.stringify(await drops(gateway))}`)
      },
    )
    expect((await drops(gateway))[reason]).toBe(before + 1)
  })

  it.each([
    ['to', 'client', 'IPv6(dst="64:ff9b::192.0.2.255")/UDP(sport=1,dport=2)'],
    ['from', 'server', 'IP(src="192.0.2.255",dst="198.51.100.77")/UDP(sport=5,dport=5555)'],
  ] as const)('%s the broadcast address of a subnet are lost at the firewall', async (way, side, packet) => {
    await scene.now[side].run('/usr/bin/python3', ['-c', `from scapy.all import *\nsend(${packet},verbose=0)`])
    await until('the packet is counted', async () =>
      (await scene.now.router.run('nft', ['list', 'ruleset'])).includes(
        `packets 1 bytes 28 drop comment "${way} the broadcast address`,
      ),
    )
  })

  it('are remembered with who sent them, to whom, and how far they came', async () => {
    const { body } = await scene.now.gateway.api('/api/v1/drops')
    const last = (reason: string) => body.drops.find((drop: { reason: string }) => drop.reason === reason).last.at(-1)
    expect(last('TCP_NOT_SYN')).toMatchObject({
      direction: '6to4',
      source: '[2001:db8:1::10]:7777',
      destination: '[64:ff9b::c000:250]:80',
      protocol: 'tcp',
      length: 60,
      step: 'session',
    })
    expect(last('NO_BINDING')).toMatchObject({
      direction: '4to6',
      source: '192.0.2.80:5',
      destination: '198.51.100.77:5555',
      protocol: 'udp',
      step: 'session',
    })
    expect(last('ILLEGAL_DESTINATION')).toMatchObject({ step: 'policy' })
    expect(last('TRUNCATED')).toMatchObject({ source: '2001:db8:1::10', protocol: 'udp', step: 'parse' })
  })

  it('are shown by the CLI and the metrics with the same numbers', async () => {
    const counted = await drops(scene.now.gateway)
    const { text } = await scene.now.gateway.api('/metrics')
    expect(text).toMatch(new RegExp(`reason="TCP_NOT_SYN"[^\\n]* ${counted.TCP_NOT_SYN}\\n`))
  })
})
