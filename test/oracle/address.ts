// SPDX-License-Identifier: Apache-2.0
/** Addresses: RFC 6052's embedding, and those that are not for a translator. */

const PREFIXES4 = {
  /** RFC 6890 §2.2.2, RFC 1112 §4: never the address of one host somewhere. */
  illegal: ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'],
  /** RFC 6890 §2.2.2 with "Global: false"; RFC 6052 §3.1 keeps them from the well-known prefix. */
  nonGlobal: [
    ...['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24'],
    ...['192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ],
  /** RFC 7723 §4, RFC 8155 §8.2: anycast addresses that are global inside 192.0.0.0/24. */
  global: ['192.0.0.9/32', '192.0.0.10/32'],
}

export function parse4(text: string): Uint8Array {
  return Uint8Array.from(text.split('.').map(Number))
}

export function parse6(text: string): Uint8Array {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  const tail = dotted ? [...parse4(dotted[2] ?? '')] : []
  const groups = (part: string) => part.split(':').flatMap((group) => (group ? [Number.parseInt(group, 16)] : []))
  const bytes = (part: string) => groups(part).flatMap((group) => [group >> 8, group & 255])
  const [left = '', right] = (dotted ? (dotted[1] ?? '') : text).split('::')
  const [head, end] = [bytes(left), [...(right === undefined ? [] : bytes(right)), ...tail]]
  return Uint8Array.from([...head, ...Array<number>(16 - head.length - end.length).fill(0), ...end])
}

/** Whether the first `length` bits are the same. */
export function under(address: Uint8Array, prefix: Uint8Array, length: number): boolean {
  for (let bit = 0; bit < length; bit++) {
    const mask = 128 >> (bit % 8)
    if (((address[bit >> 3] ?? 0) & mask) !== ((prefix[bit >> 3] ?? 0) & mask)) return false
  }
  return true
}

const isIn = (address: Uint8Array, list: readonly string[]) =>
  list.some((text) => {
    const [prefix = '', length] = text.split('/')
    return under(address, parse4(prefix), Number(length))
  })

export const isIllegal4 = (address: Uint8Array): boolean => isIn(address, PREFIXES4.illegal)

export const isNonGlobal4 = (address: Uint8Array): boolean =>
  isIllegal4(address) || (isIn(address, PREFIXES4.nonGlobal) && !isIn(address, PREFIXES4.global))

/** RFC 919 §7 and RFC 3021 §2.2: all host bits set, and at least two of them. */
export function isBroadcast(address: Uint8Array, subnet: Uint8Array, length: number): boolean {
  if (length > 30 || !under(address, subnet, length)) return false
  return [...address].every((byte, i) => (byte | ((0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 255)) === 255)
}

/** RFC 4291 §2.4, §2.5.5.2: unspecified, loopback, IPv4-mapped, link-local, multicast. */
export function isIllegal6(address: Uint8Array): boolean {
  const within = (prefix: string, length: number) => under(address, parse6(prefix), length)
  return (
    within('::', 128) || within('::1', 128) || within('::ffff:0:0', 96) || within('fe80::', 10) || within('ff00::', 8)
  )
}

/** RFC 6052 §2.1. */
export const isWellKnown = (address: Uint8Array): boolean => under(address, parse6('64:ff9b::'), 96)

/** RFC 6052 §2.2: prefix, IPv4 address around bits 64 to 71, zero suffix. */
export function embed(prefix: Uint8Array, length: number, address: Uint8Array): Uint8Array {
  const bytes = [...prefix.subarray(0, length / 8), ...address]
  if (length === 96) bytes[8] = 0
  else bytes.splice(8, 0, 0)
  return Uint8Array.from([...bytes, ...Array<number>(16).fill(0)].slice(0, 16))
}

/** RFC 6052 §2.3; nothing when bits 64 to 71, which §2.2 wants to be zero, are not. */
export function extract(address: Uint8Array, length: number): Uint8Array | undefined {
  if (address[8] !== 0) return undefined
  if (length === 96) return address.slice(12)
  const bytes = [...address]
  bytes.splice(8, 1)
  return Uint8Array.from(bytes.slice(length / 8, length / 8 + 4))
}

export const format4 = (address: Uint8Array): string => [...address].join('.')

/** RFC 5952 §4. */
export function format6(address: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0)).toString(16),
  )
  let best = { at: 0, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (groups[at + length] === '0') length++
    if (length > best.length) best = { at, length }
  }
  if (best.length < 2) return groups.join(':')
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`
}
