// SPDX-License-Identifier: Apache-2.0
/** Records of the log of bindings, written by their description and not by the code under test. */
import { parseAddress, parseEndpoint } from '../../src/net/address.ts'

export interface Event {
  readonly time?: string
  readonly event: number
  readonly protocol?: number
  /** An endpoint, or an address. */
  readonly inside?: string
  readonly outside?: string
  readonly lastPort?: number
  readonly remote?: string
  readonly quota?: number
  readonly value?: number
  readonly since?: string
  readonly length?: number
}

export const TIME = '2026-02-03T04:05:06.007Z'

function transport(text: string | undefined, size: 4 | 16): Buffer {
  const out = Buffer.alloc(size + 2)
  if (text === undefined) return out
  const isEndpoint = text.startsWith('[') || /^[0-9]+[.][0-9.]+:/.test(text)
  const { address, port } = isEndpoint ? parseEndpoint(text) : { address: parseAddress(text), port: 0 }
  out.set(address.toBytes())
  out.writeUInt16BE(port, size)
  return out
}

const number = (value: number, size: number) => {
  const out = Buffer.alloc(size)
  out.writeUIntBE(value, size > 6 ? size - 6 : 0, Math.min(size, 6))
  return out
}

export function record(event: Event): Buffer {
  return Buffer.concat([
    number(Date.parse(event.time ?? TIME), 8),
    number(event.event, 1),
    number(event.protocol ?? 0, 1),
    transport(event.inside, 16),
    transport(event.outside, 4),
    number(event.lastPort ?? 0, 2),
    transport(event.remote, 4),
    number(event.quota ?? 0, 4),
    number(event.value ?? 0, 4),
    number(event.since ? Date.parse(event.since) : 0, 8),
    number(event.length ?? 128, 1),
  ])
}

/** One event of each kind. */
export const EVENTS: readonly Event[] = [
  { event: 10, protocol: 6, inside: '[2001:db8:1::10]:40000', outside: '198.51.100.64:50000' },
  { event: 11, protocol: 17, inside: '[2001:db8:1::11]:53', outside: '198.51.100.65:1053', since: TIME },
  {
    event: 6,
    protocol: 1,
    inside: '[2001:db8:1::10]:7',
    outside: '198.51.100.64:8',
    remote: '192.0.2.80',
  },
  {
    event: 7,
    protocol: 6,
    inside: '[2001:db8:1::10]:40000',
    outside: '198.51.100.64:50000',
    remote: '192.0.2.80:443',
    since: '2026-02-03T03:05:06.007Z',
  },
  { event: 16, inside: '2001:db8:1::', length: 64, outside: '198.51.100.64:1024', lastPort: 1151 },
  { event: 17, inside: '2001:db8:1::10', outside: '198.51.100.64:1024', lastPort: 1151 },
  { event: 3, protocol: 17, value: 1 },
  { event: 12, protocol: 6, outside: '198.51.100.64' },
  { event: 13, quota: 1, value: 1_048_576 },
  { event: 13, quota: 3, value: 40, inside: '2001:db8:1::10' },
]
