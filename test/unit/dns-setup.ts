// SPDX-License-Identifier: Apache-2.0
/** What most tests of DNS64 begin with; closed after the test, however it ends. */
import { afterEach } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { AAAA, a, FakeUpstream, Gateway, type read, type Script, type Section, soa } from './dns-fake.ts'

let open: { close(): Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(open.map((each) => each.close()))
  open = []
})

/** Is closed after the test. */
export function closing<T extends { close(): Promise<void> }>(one: T): T {
  open.push(one)
  return one
}

export const NODATA = { authorities: [soa('example', 900)] }
/** A name that has an A record alone. */
export const WEB = { 'web.example 28': NODATA, 'web.example 1': { answers: [a('web.example', '192.0.2.33')] } }

/** A name server that answers by the script. */
export async function upstreamOf(script: Script): Promise<FakeUpstream> {
  return closing(await FakeUpstream.start(script))
}

/** The same, and a gateway that asks it. */
export async function setUp(script: Script, section: Section = {}, clock?: Clock) {
  const upstream = await upstreamOf(script)
  return { upstream, gateway: closing(await Gateway.start([upstream], section, clock)) }
}

/** Of the AAAA records. */
export function addresses(reply: ReturnType<typeof read>): string[] {
  return reply.answers.filter(({ type }) => type === AAAA).map(({ address }) => address!)
}

export function rcode(bytes: Buffer): number {
  return bytes.readUInt16BE(2) & 15
}
