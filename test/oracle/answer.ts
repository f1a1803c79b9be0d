// SPDX-License-Identifier: Apache-2.0
/** ICMP errors of the translator's own, and the probe of RFC 6146. */
import { isIllegal4, isIllegal6 } from './address.ts'
import { checksum, concat, keepError, longs, setWord, sum, word, words } from './bytes.ts'
import type { Message } from './icmp.ts'
import { Drop, ICMP, ICMP6, type Packet } from './read.ts'
import type { Flow } from './translate.ts'

const HOP_LIMIT = 64

function sealed(bytes: Uint8Array, field: number, covered: readonly Uint8Array[]): Uint8Array {
  setWord(bytes, field, checksum(...covered, bytes))
  return bytes
}

/** RFC 4443 §2.4 (e): what no ICMPv6 error may be sent about. */
function checkAnswer6({ kind, protocol, upper, source, destination }: Packet, { type, code }: Message): void {
  const redirect = protocol === ICMP6 && kind === 'other' && upper[0] === 137
  const unknown = protocol === ICMP6 && kind === 'later fragment'
  if (kind === 'icmp error' || redirect || unknown) throw new Drop('ICMP_ERROR_ABOUT_ERROR')
  if (isIllegal6(source)) throw new Drop('ILLEGAL_SOURCE')
  const excepted = type === 2 || (type === 4 && code === 2)
  if (destination[0] === 255 && !excepted) throw new Drop('ILLEGAL_DESTINATION')
}

/** RFC 4443 §2.4 (c), §3: as much of the packet as fits 1280 bytes. */
export function answer6(packet: Packet, bytes: Uint8Array, error: Message, source: Uint8Array): Uint8Array {
  checkAnswer6(packet, error)
  const quote = bytes.subarray(0, Math.min(packet.headerLength + packet.upper.length, 1280 - 48))
  const message = concat([error.type, error.code, 0, 0], longs(error.rest), quote)
  const pseudo = concat(source, packet.source, longs(message.length), words(ICMP6))
  sealed(message, 2, [pseudo])
  return concat([0x60, 0, 0, 0], words(message.length), [ICMP6, HOP_LIMIT], source, packet.source, message)
}

/** RFC 1122 §3.2.2, RFC 1812 §4.3.2.7: what no ICMPv4 error may be sent about. */
function checkAnswer4({ kind, fragment, source, destination }: Packet): void {
  if (kind === 'icmp error') throw new Drop('ICMP_ERROR_ABOUT_ERROR')
  if (fragment.offset > 0) throw new Drop('ICMP_FRAGMENT')
  if (isIllegal4(source)) throw new Drop('ILLEGAL_SOURCE')
  if (isIllegal4(destination)) throw new Drop('ILLEGAL_DESTINATION')
}

/** RFC 1812 §4.3.2.3, §4.3.2.5: at most 576 bytes, precedence internetwork control. */
export function answer4(
  packet: Packet,
  bytes: Uint8Array,
  error: Message,
  source: Uint8Array,
  identification: number,
): Uint8Array {
  checkAnswer4(packet)
  const quote = bytes.subarray(0, Math.min(packet.headerLength + packet.upper.length, 576 - 28))
  const message = sealed(concat([error.type, error.code, 0, 0], longs(error.rest), quote), 2, [])
  const tail = concat([HOP_LIMIT, ICMP, 0, 0], source, packet.source)
  const header = concat([0x45, 0xc0], words(20 + message.length, identification, 0), tail)
  return concat(sealed(header, 10, []), message)
}

/** RFC 5837 §4.1.1, §4.2, §4.3: class 2, role 0 (the interface that the packet came by), its address; family 2 is IPv6. */
const interfaceAddress = (address: Uint8Array) => concat(words(24), [2, 0b00000100], words(2, 0), address)

/** RFC 4884 §7: version 2, and a checksum that is never zero. */
function structure(objects: Uint8Array): Uint8Array {
  const whole = concat([0x20, 0, 0, 0], objects)
  setWord(whole, 2, checksum(whole) || 0xffff)
  return whole
}

/** RFC 4884 §4: the original datagram, by its length in words, and what follows. */
function extended(body: Uint8Array, length: number, object: Uint8Array): { body: Uint8Array; length: number } {
  const told = length * 4
  if (told === 0) {
    const kept = body.subarray(0, 576 - 28 - 28)
    const padded = Math.max(128, Math.ceil(kept.length / 4) * 4)
    return { body: concat(kept, new Uint8Array(padded - kept.length), structure(object)), length: padded / 4 }
  }
  const before = body.slice(told)
  const readable = before.length >= 4 && before.length % 4 === 0 && (before[0] ?? 0) >> 4 === 2
  if (!readable || body.length + object.length > 576 - 28) return { body, length }
  if (word(before, 2) !== 0) setWord(before, 2, keepError(word(before, 2), 0, sum(object)) || 0xffff)
  return { body: concat(body.subarray(0, told), before, object), length }
}

/** RFC 6791 §4: the IPv6 source of an error goes along in the ICMPv4 message. */
export function origin(bytes: Uint8Array, address: Uint8Array): Uint8Array {
  if (bytes.length < 28 || bytes.length > 576) return bytes
  const old = bytes.subarray(20)
  const { body, length } = extended(old.subarray(8), old[5] ?? 0, interfaceAddress(address))
  const message = concat(old.subarray(0, 8), body)
  message[5] = length
  setWord(message, 2, keepError(word(old, 2), sum(old), sum(message)))
  const header = bytes.slice(0, 20)
  setWord(header, 2, 20 + message.length)
  setWord(header, 10, keepError(word(header, 10), bytes.length, 20 + message.length))
  return concat(header, message)
}

/** RFC 6146 §3.5.2.2: a probe packet is a TCP segment without data, sequence number 0 and only ACK set. */
export function probe6({ source, destination, sourcePort, destinationPort }: Flow): Uint8Array {
  const tcp = concat(words(sourcePort, destinationPort, 0, 0, 0, 0), [0x50, 0x10], words(0, 0, 0))
  const pseudo = concat(source, destination, longs(tcp.length), words(6))
  sealed(tcp, 16, [pseudo])
  return concat([0x60, 0, 0, 0], words(tcp.length), [6, HOP_LIMIT], source, destination, tcp)
}
