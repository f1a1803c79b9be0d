// SPDX-License-Identifier: Apache-2.0
/** What an ICMP error becomes in the other family: the tables of RFC 7915 §4.2 and §5.2. */

import { Drop } from './read.ts'
import type { Params } from './translate.ts'

/** `rest` is bytes 4 to 7 of the message, without RFC 4884's length. */
export interface Message {
  readonly type: number
  readonly code: number
  readonly rest: number
}

/** RFC 7915 figure 3: fields of the IPv4 header, by first byte, to their IPv6 counterparts. */
const POINTER46: readonly (number | undefined)[] = [
  ...[0, 1, 4, 4, undefined, undefined, undefined, undefined, 7, 6, undefined, undefined],
  ...Array<number>(4).fill(8),
  ...Array<number>(4).fill(24),
]

/** RFC 7915 figure 6. */
const POINTER64: readonly (number | undefined)[] = [
  ...[0, 1, undefined, undefined, 2, 2, 9, 8],
  ...Array<number>(16).fill(12),
  ...Array<number>(16).fill(16),
]

/** RFC 1191 §7.1. */
const PLATEAUS = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68]

function pointer(table: readonly (number | undefined)[], from: number): number {
  const to = table[from]
  if (to === undefined) throw new Drop('ICMP_UNTRANSLATABLE')
  return to
}

/** A next hop whose MTU is not known (0) does not bound anything. */
const bound = (mtu: number, difference: number) => (mtu ? mtu + difference : Number.POSITIVE_INFINITY)

/** §4.2, type 3 code 4: max(1280, min(MTU + 20, MTU of the IPv6 next hop, MTU of the IPv4 next hop + 20)). */
function tooBig46(mtu: number, innerLength: number, params: Params): number {
  const told = mtu || PLATEAUS.find((plateau) => plateau < innerLength && plateau >= 1280) || 0
  return Math.max(1280, Math.min(told + 20, bound(params.mtu6, 0), bound(params.mtu4, 20)))
}

/**
 * §5.2, type 2: min(MTU − 20, MTU of the IPv4 next hop, MTU of the IPv6 next hop − 20), and 8 bytes less for a
 * Fragment header, which has no place in IPv4. The field has 16 bits, and RFC 791 §3.2 lets no link carry less than 68.
 */
function tooBig64(mtu: number, fragmentHeader: boolean, params: Params): number {
  const told = mtu - 20 - (fragmentHeader ? 8 : 0)
  return Math.max(68, Math.min(told, bound(params.mtu4, 0), bound(params.mtu6, -20), 65535))
}

/** §4.2: Destination Unreachable. */
function unreachable46(code: number): Message {
  if ([0, 1, 5, 6, 7, 8, 11, 12].includes(code)) return { type: 1, code: 0, rest: 0 }
  if (code === 2) return { type: 4, code: 1, rest: 6 }
  if (code === 3) return { type: 1, code: 4, rest: 0 }
  if ([9, 10, 13, 15].includes(code)) return { type: 1, code: 1, rest: 0 }
  throw new Drop('ICMP_UNTRANSLATABLE')
}

/** RFC 7915 §4.2. */
export function map46({ type, code, rest }: Message, innerLength: number, params: Params): Message {
  if (type === 3 && code === 4) return { type: 2, code: 0, rest: tooBig46(rest % 65536, innerLength, params) }
  if (type === 3) return unreachable46(code)
  if (type === 11) return { type: 3, code, rest: 0 }
  if (type === 12 && (code === 0 || code === 2))
    return { type: 4, code: 0, rest: pointer(POINTER46, Math.floor(rest / 2 ** 24)) }
  throw new Drop('ICMP_UNTRANSLATABLE')
}

/** RFC 7915 §5.2: Destination Unreachable. */
function unreachable64(code: number): Message {
  if ([0, 2, 3].includes(code)) return { type: 3, code: 1, rest: 0 }
  if (code === 1) return { type: 3, code: 10, rest: 0 }
  if (code === 4) return { type: 3, code: 3, rest: 0 }
  throw new Drop('ICMP_UNTRANSLATABLE')
}

/** RFC 7915 §5.2. */
export function map64({ type, code, rest }: Message, fragmentHeader: boolean, params: Params): Message {
  if (type === 1) return unreachable64(code)
  if (type === 2) return { type: 3, code: 4, rest: tooBig64(rest, fragmentHeader, params) }
  if (type === 3) return { type: 11, code, rest: 0 }
  if (type === 4 && code === 1) return { type: 3, code: 2, rest: 0 }
  if (type === 4 && code === 0) return { type: 12, code: 0, rest: pointer(POINTER64, rest) * 2 ** 24 }
  throw new Drop('ICMP_UNTRANSLATABLE')
}
