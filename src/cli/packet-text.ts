// SPDX-License-Identifier: Apache-2.0
/** Packets and what became of them, in words. */
import type { PacketInfo, TracedPacket } from '../system/dataplane.ts'

/** `tcp [2001:db8::1]:4711 → [64:ff9b::c000:221]:80, 60 bytes`. */
export function packetText({ protocol, source, destination, length }: PacketInfo): string {
  if (source === '') return `${length} bytes without a readable header`
  return `${protocol} ${source} → ${destination}, ${length} bytes`
}

/** A packet, and a line for each step that says something of it. */
export function wayLines(packet: TracedPacket): string[] {
  return [`${packet.time}  ${packetText(packet)}`, ...stepLines(packet).map(([step, text]) => `  ${step}: ${text}`)]
}

function stepLines({ session, lost, answered, sent, out }: TracedPacket): [string, string][] {
  const lines: [string, string][] = []
  if (session) lines.push(['session', session.fresh ? `new, ${session.state}` : session.state])
  if (out) lines.push(['translate', packetText(out)])
  if (lost) {
    const told = answered ? '; its sender was told by ICMP' : ''
    lines.push([lost.step, `lost, ${lost.sentence} (${lost.reason}, ${lost.rfc})${told}`])
  } else if (sent === 0) lines.push(['session', 'kept, until more of its datagram or the client’s own SYN comes'])
  else lines.push(['route', sent === 1 ? 'sent' : `sent as ${sent} packets`])
  return lines
}
