// SPDX-License-Identifier: Apache-2.0
/** A packet from hex, or from words: `tcp [2001:db8:1::10]:4711 [64:ff9b::192.0.2.80]:80 S`. */
import { GatewayError } from '../errors.ts'
import { type Address, canonicalHost, parseEndpoint } from './address.ts'

const WORDS = 'PROTOCOL SOURCE DESTINATION [FLAGS], such as `tcp [2001:db8:1::10]:4711 [64:ff9b::192.0.2.80]:80 S`'
const NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1 }
const LONGEST = 65_535

const refuse = (detail: string) => new GatewayError('REQUEST_INVALID', { detail })

export function packetOf(text: string): Buffer {
  const hex = text.replace(/[\s:]/g, '')
  if (/^[46][0-9a-f]+$/i.test(hex)) {
    if (hex.length % 2 !== 0) throw refuse('the hexadecimal packet has half a byte at its end')
    if (hex.length > 2 * LONGEST) throw refuse(`a packet has at most ${LONGEST} bytes`)
    return Buffer.from(hex, 'hex')
  }
  return described(text.trim().split(/\s+/))
}

/** An end with its port; the identifier of an ICMP echo needs none. */
function endOf(text: string): { address: Address; port: number } {
  if (/^\[.*\]:\d+$|^[\d.]+:\d+$/.test(text)) return parseEndpoint(text)
  return { address: canonicalHost(text), port: 0 }
}

function described([protocol = '', from = '', to = '', flags = 'S', ...rest]: string[]): Buffer {
  const number = NUMBERS[protocol.toLowerCase()]
  if (number === undefined || to === '' || rest.length > 0) throw refuse(`a packet is hexadecimal, or ${WORDS}`)
  if (!/^[FSRPA]+$/i.test(flags)) throw refuse('the flags of TCP are letters of FSRPA')
  const [source, destination] = [endOf(from), endOf(to)]
  const { family } = source.address
  if (destination.address.family !== family) throw refuse('the source and the destination are of different families')
  const upper = upperLayer(number, family, source.port, destination.port, flags.toUpperCase())
  return family === 6
    ? header6(number === 1 ? 58 : number, source.address, destination.address, upper)
    : header4(number, source.address, destination.address, upper)
}

/** Checksums of the upper layer are carried along by the translation and judged by nobody. */
function upperLayer(protocol: number, family: number, from: number, to: number, flags: string): Buffer {
  const out = Buffer.alloc(protocol === 6 ? 20 : 8)
  if (protocol === 1) {
    out[0] = family === 6 ? 128 : 8
    out.writeUInt16BE(from || to, 4)
    return out
  }
  out.writeUInt16BE(from, 0)
  out.writeUInt16BE(to, 2)
  if (protocol === 6) {
    out[12] = 0x50
    out[13] = [...flags].reduce((bits, flag) => bits | (1 << 'FSRPA'.indexOf(flag)), 0)
  } else {
    out.writeUInt16BE(out.length, 4)
    out.writeUInt16BE(0xffff, 6)
  }
  return out
}

function header6(next: number, source: Address, destination: Address, upper: Buffer): Buffer {
  const out = Buffer.alloc(8)
  out[0] = 0x60
  out.writeUInt16BE(upper.length, 4)
  out[6] = next
  out[7] = 64
  return Buffer.concat([out, source.toBytes(), destination.toBytes(), upper])
}

function header4(protocol: number, source: Address, destination: Address, upper: Buffer): Buffer {
  const out = Buffer.alloc(12)
  out[0] = 0x45
  out.writeUInt16BE(20 + upper.length, 2)
  out.writeUInt16BE(0x4000, 6)
  out[8] = 64
  out[9] = protocol
  const header = Buffer.concat([out, source.toBytes(), destination.toBytes()])
  let sum = 0
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  header.writeUInt16BE(~sum & 0xffff, 10)
  return Buffer.concat([header, upper])
}
