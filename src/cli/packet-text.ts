// SPDX-License-Identifier: Apache-2.0
/** Packets and what became of them, in words. */
import type { PacketInfo, TracedPacket } from '../system/dataplane.ts'

/** `tcp [2001:db8::1]:4711 → [64:ff9b::c000:221]:80, 60 bytes`. */
export function packetText({ protocol, source, destination, length }: PacketInfo): string {
  if (source === '') return `${length} bytes without a readable header`
  return `${protocol} ${source} → ${destination}, ${length} bytes`
}

/** A packet, and a line for each step that says something of it; `dry` is one that only might come. */
export function wayLines(packet: TracedPacket, dry = false): string[] {
  const head = dry ? packetText(packet) : `${packet.time}  ${packetText(packet)}`
  return [head, ...stepLines(packet, dry).map(([step, text]) => `  ${step}: ${text}`)]
}

function stepLines(
  { session, stateless, lost, answered, sent, binding, out }: TracedPacket,
  dry: boolean,
): [string, string][] {
  const lines: [string, string][] = []
  if (session) lines.push(['session', session.fresh ? `new, ${session.state}` : session.state])
  if (binding) lines.push(['session', 'a new binding would be made; its port, 0 below, is not known before'])
  if (stateless) lines.push(['session', 'needs none: both addresses translate statelessly'])
  if (out) lines.push(['translate', packetText(out)])
  if (lost) {
    const told = answered ? `; its sender ${dry ? 'would be' : 'was'} told by ICMP` : ''
    lines.push([lost.step, `lost, ${lost.sentence} (${lost.reason}, ${lost.rfc})${told}`])
  } else if (sent === 0) lines.push(['session', 'kept, until more of its datagram or the client’s own SYN comes'])
  else lines.push(['route', dry ? 'it would be sent' : sent === 1 ? 'sent' : `sent as ${sent} packets`])
  return lines
}
