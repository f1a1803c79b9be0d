// SPDX-License-Identifier: Apache-2.0
/** A packet in one phrase: `tcp [2001:db8::1]:4711 → [64:ff9b::c000:221]:80, 60 bytes`. */
import type { PacketInfo } from '../system/dataplane.ts'

export function packetText({ protocol, source, destination, length }: PacketInfo): string {
  if (source === '') return `${length} bytes without a readable header`
  return `${protocol} ${source} → ${destination}, ${length} bytes`
}
