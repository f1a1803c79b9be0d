// SPDX-License-Identifier: Apache-2.0
/** Answers the command lines of test/vectors/run.c in its own words, so that the two can be compared line by line. */
import {
  embed,
  extract,
  format4,
  format6,
  isBroadcast,
  isIllegal4,
  isIllegal6,
  isNonGlobal4,
  isWellKnown,
  parse4,
  parse6,
} from './address.ts'
import { answer4, answer6, origin, probe6 } from './answer.ts'
import { concat } from './bytes.ts'
import { Drop, KINDS, read } from './read.ts'
import { type Flow, type Params, translate46, translate64 } from './translate.ts'

type Words = ReadonlyMap<string, string>

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function packetOf(words: Words): Uint8Array {
  const [bytes = '', zeros = '0'] = (words.get('in') ?? '').split('+')
  return concat(Buffer.from(bytes, 'hex'), new Uint8Array(Number(zeros)))
}

const number = (words: Words, key: string, otherwise = 0) => Number(words.get(key) ?? otherwise)

function params(words: Words): Params {
  return {
    hopAdjust: number(words, 'hop', -1),
    copyTrafficClass: number(words, 'tc', 1) === 1,
    tos: number(words, 'tos'),
    amendUdpZero: number(words, 'amend') === 1,
    partialChecksum: number(words, 'partial') === 1,
    gsoSize: number(words, 'gso'),
    mss: number(words, 'mss'),
    identification: number(words, 'id'),
    lowestIpv6Mtu: number(words, 'lowest', 1280),
    mtu6: number(words, 'mtu6'),
    mtu4: number(words, 'mtu4'),
  }
}

function flow(text: string, parse: (address: string) => Uint8Array): Flow {
  const [source = '', destination = '', sourcePort, destinationPort] = text.split(',')
  return {
    source: parse(source),
    destination: parse(destination),
    sourcePort: Number(sourcePort),
    destinationPort: Number(destinationPort),
  }
}

function translate(words: Words, way: string): string {
  const nowhere = way === '64' ? '0.0.0.0,0.0.0.0,0,0' : '::,::,0,0'
  const [parse, run] = way === '64' ? [parse4, translate64] : [parse6, translate46]
  const flows = ['to', 'inner'].map((key) => flow(words.get(key) ?? nowhere, parse)) as [Flow, Flow]
  const { packets, completed } = run(packetOf(words), ...flows, params(words))
  return `out ${packets.map(hex).join(' ')}${completed ? ' complete=1' : ''}`
}

function parsed(words: Words): string {
  try {
    const { refusal, pointer, kind } = read(packetOf(words))
    return `${refusal ? `drop ${refusal}` : 'out OK'} pointer=${pointer} kind=${KINDS.indexOf(kind)}`
  } catch (fault) {
    if (fault instanceof Drop) return `drop ${fault.reason} pointer=0 kind=${KINDS.indexOf(fault.kind)}`
    throw fault
  }
}

function answered(words: Words, six: boolean): string {
  const bytes = packetOf(words)
  const error = { type: number(words, 'type'), code: number(words, 'code'), rest: number(words, 'data') }
  const source = (six ? parse6 : parse4)(words.get('source') ?? '')
  const packet = read(bytes)
  if (packet.family !== (six ? 6 : 4)) throw new Drop('BAD_VERSION')
  return `out ${hex(six ? answer6(packet, bytes, error, source) : answer4(packet, bytes, error, source, number(words, 'id')))}`
}

function address(command: string, words: Words): string {
  const [four, six] = [parse4(words.get('ip4') ?? '0.0.0.0'), parse6(words.get('ip6') ?? '::')]
  const length = number(words, 'length', 96)
  const found = extract(six, length)
  if (command === 'embed') return format6(embed(parse6(words.get('prefix') ?? ''), length, four))
  if (command === 'extract') return found ? format4(found) : 'none'
  if (command === 'check4') return `illegal=${Number(isIllegal4(four))} nonglobal=${Number(isNonGlobal4(four))}`
  if (command === 'check6') return `illegal=${Number(isIllegal6(six))} wellknown=${Number(isWellKnown(six))}`
  if (command === 'broadcast') return String(Number(isBroadcast(four, parse4(words.get('subnet') ?? ''), length)))
  throw new Error(`no such command: ${command}`)
}

function probed(words: Words): string {
  const text = ['src', 'dst', 'sport', 'dport'].map((key) => words.get(key)).join()
  return `out ${hex(probe6(flow(text, parse6)))}`
}

export function answer(line: string): string {
  const [command = '', ...rest] = line.split(' ')
  const words = new Map(rest.map((text) => text.split('=', 2) as [string, string]))
  try {
    if (command === '64' || command === '46') return translate(words, command)
    if (command === 'answer6' || command === 'answer4') return answered(words, command === 'answer6')
  } catch (fault) {
    if (fault instanceof Drop) return `drop ${fault.reason}`
    throw fault
  }
  if (command === 'parse') return parsed(words)
  if (command === 'origin') return `out ${hex(origin(packetOf(words), parse6(words.get('ip6') ?? '')))}`
  return command === 'probe' ? probed(words) : `is ${address(command, words)}`
}
