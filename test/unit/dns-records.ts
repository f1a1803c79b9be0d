// SPDX-License-Identifier: Apache-2.0
/** Queries and records byte by byte, without compression and without the code under test. */

export const A = 1
export const NS = 2
export const CNAME = 5
export const SOA = 6
export const PTR = 12
export const TXT = 16
export const AAAA = 28
export const DNAME = 39
export const OPT = 41
export const RRSIG = 46
export const HTTPS = 65

export const FLAGS = { QR: 0x8000, AA: 0x400, TC: 0x200, RD: 0x100, RA: 0x80, AD: 0x20, CD: 0x10 } as const

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255])
}

export function u32(value: number): Buffer {
  return Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])
}

export function wireName(text: string): Buffer {
  const labels = text.split('.').filter((label) => label !== '')
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')])),
    Buffer.from([0]),
  ])
}

export function record(name: string, type: number, ttl: number, data: Buffer): Buffer {
  return Buffer.concat([wireName(name), u16(type), u16(1), u32(ttl), u16(data.length), data])
}

export function a(name: string, ipv4: string, ttl = 300): Buffer {
  return record(name, A, ttl, Buffer.from(ipv4.split('.').map(Number)))
}

/** The address as 32 hexadecimal digits, colons ignored. */
export function aaaa(name: string, digits: string, ttl = 300): Buffer {
  return record(name, AAAA, ttl, Buffer.from(digits.replaceAll(':', ''), 'hex'))
}

export function cname(name: string, target: string, ttl = 300): Buffer {
  return record(name, CNAME, ttl, wireName(target))
}

export function ptr(name: string, target: string, ttl = 300): Buffer {
  return record(name, PTR, ttl, wireName(target))
}

export function soa(zone: string, ttl: number, minimum = ttl): Buffer {
  const numbers = [1, 3600, 600, 86400, minimum].map(u32)
  return record(zone, SOA, ttl, Buffer.concat([wireName(`ns.${zone}`), wireName(`host.${zone}`), ...numbers]))
}

/** A signature that signs nothing: type covered, then what a validator would read. */
export function rrsig(name: string, covered: number, signer: string): Buffer {
  const fixed = [u16(covered), Buffer.from([13, 2]), u32(300), u32(2 ** 31), u32(1), u16(4711)]
  return record(name, RRSIG, 300, Buffer.concat([...fixed, wireName(signer), Buffer.alloc(64, 7)]))
}

export interface QueryOptions {
  readonly id?: number
  readonly flags?: number
  readonly edns?: {
    readonly size?: number
    readonly dnssecOk?: boolean
    readonly version?: number
    readonly options?: Buffer
  }
}

export function buildQuery(
  name: string,
  type: number,
  { id = 4711, flags = FLAGS.RD, edns }: QueryOptions = {},
): Buffer {
  const question = Buffer.concat([wireName(name), u16(type), u16(1)])
  return Buffer.concat([
    u16(id),
    u16(flags),
    u16(1),
    u16(0),
    u16(0),
    u16(edns ? 1 : 0),
    question,
    edns ? opt(edns) : Buffer.alloc(0),
  ])
}

export function opt({
  size = 1232,
  dnssecOk = false,
  version = 0,
  options = Buffer.alloc(0),
}: NonNullable<QueryOptions['edns']>) {
  const flags = [0, version, dnssecOk ? 0x80 : 0, 0]
  return Buffer.concat([Buffer.from([0]), u16(OPT), u16(size), Buffer.from(flags), u16(options.length), options])
}

export const DNSSEC: QueryOptions = { edns: { dnssecOk: true } }
export const EDNS: QueryOptions = { edns: {} }
