// SPDX-License-Identifier: Apache-2.0
/** Numbers of the DNS wire format (RFC 1035 section 4, RFC 6891, RFC 8914) and big-endian access. */

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  RRSIG: 46,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const

export const CLASS_IN = 1

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const

/** Names for metrics and logs, by number. */
export const RCODE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(RCODE).map(([name, code]) => [code, name]),
)

/** Header flags as bits of the 16-bit word at offset 2. */
export const FLAG = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
  RCODE: 0x000f,
} as const

export const HEADER_SIZE = 12

/** Largest UDP answer, and what we tell upstreams and clients to send us: no fragment on any IPv6 path. */
export const UDP_PAYLOAD = 1232
/** Largest UDP answer to a client without EDNS (RFC 1035 section 4.2.1). */
export const PLAIN_PAYLOAD = 512
export const MAX_MESSAGE = 65535

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

export function get32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** A TTL as RFC 2181 section 8 reads it: the top bit set means zero. */
export function getTtl(bytes: Uint8Array, at: number): number {
  const ttl = get32(bytes, at)
  return ttl > 0x7fffffff ? 0 : ttl
}
