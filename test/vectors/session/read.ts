// SPDX-License-Identifier: Apache-2.0
/**
 * Session vectors: a sentence of an RFC, the settings of a gateway, and what happens when. Packets are written as
 * packet.ts says; `6>` and `4>` arrive from the IPv6 and the IPv4 side, `6<` and `4<` leave to it.
 *
 *     # RFC 6146 §3.5.2.2: V6 INIT becomes ESTABLISHED with the V4 SYN
 *     config udp=120
 *     at 0s  6> tcp C1:5000 > S1:80 S
 *            4< tcp P1:40000 > S1:80 S
 *     at 1s  4> tcp S1:80 > P1:40000 SA
 *            6< tcp S1:80 > C1:5000 SA
 *            session tcp C1:5000 P1:40000 > S1:80 ESTABLISHED 2h4m
 *
 * is the same as
 *
 *     flow tcp C1:5000 P1:40000 > S1:80
 *     at 0s  forth S
 *     at 1s  back SA
 *            is ESTABLISHED 2h4m
 *
 * What leaves, and every drop, must be expected: before the next packet and at the same second. `session` names one
 * that is there with its state and the time that it has left; `sessions`, `bindings` and `held` count them.
 * `where $p even`, `where $p in 1024-65535`, `where $a = $b` and `where $a != $b` judge what the gateway chose.
 * Without other settings the prefix is 64:ff9b::/96, the pool P1 with port 40000 only, filtering endpoint-independent,
 * and ICMP errors come from G4 and G6.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Family, type Packet, parsePacket } from './packet.ts'

export type Step =
  | { readonly do: 'clock'; readonly ms: number }
  | { readonly do: 'in' | 'out'; readonly family: Family; readonly packet: Packet }
  | { readonly do: 'drop'; readonly reason: string; readonly packets: number }
  | { readonly do: 'session'; readonly words: readonly string[]; readonly state: string; readonly ms: number }
  | { readonly do: 'count'; readonly what: string; readonly number: number }
  | { readonly do: 'where'; readonly left: string; readonly operator: string; readonly right: string }

export interface SessionVector {
  readonly topic: string
  readonly name: string
  readonly config: readonly string[]
  readonly steps: readonly Step[]
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

export function milliseconds(text: string): number {
  if (!/^(?:[\d.]+(?:h|ms|m|s))+$/.test(text)) throw new Error(`not a time: ${text}`)
  const parts = [...text.matchAll(/([\d.]+)(h|ms|m|s)/g)]
  return Math.round(parts.reduce((sum, [, value, unit = 's']) => sum + Number(value) * (UNITS[unit] ?? 0), 0))
}

interface Flow {
  readonly kind: string
  readonly client: string
  readonly pool: string
  readonly server: string
}

function parseFlow(line: string): Flow {
  const [, kind, client, pool, server] = /^flow (\w+) (\S+) (\S+) > (\S+)$/.exec(line) ?? []
  if (!kind || !client || !pool || !server) throw new Error(`not a flow: ${line}`)
  return { kind, client, pool, server }
}

/** `forth` and `back`: a packet of the flow, and what it must become. */
function cross({ kind, client, pool, server }: Flow, word: string, rest: string): Step[] {
  const step = (what: 'in' | 'out', family: Family, from: string, to: string): Step => {
    return { do: what, family, packet: parsePacket(`${kind} ${from} > ${to} ${rest}`) }
  }
  return word === 'forth'
    ? [step('in', 6, client, server), step('out', 4, pool, server)]
    : [step('in', 4, server, pool), step('out', 6, server, client)]
}

function parseStep(line: string, flow: Flow | undefined): Step[] {
  const [word = '', ...rest] = line.split(/\s+/)
  const [, family, arrow] = /^([46])([<>])$/.exec(word) ?? []
  if (family) {
    const packet = parsePacket(rest.join(' '))
    return [{ do: arrow === '>' ? 'in' : 'out', family: Number(family) as Family, packet }]
  }
  const [first = '', second = '', third = ''] = rest
  if (word === 'drop') return [{ do: 'drop', reason: first, packets: Number(second || 1) }]
  if (flow && (word === 'forth' || word === 'back')) return cross(flow, word, rest.join(' '))
  if (flow && word === 'is') {
    const { kind, client, pool, server } = flow
    return [{ do: 'session', words: [kind, client, pool, server], state: first, ms: milliseconds(second) }]
  }
  if (word === 'session') {
    const [state = '', left = ''] = rest.slice(-2)
    return [{ do: 'session', words: rest.slice(0, -2).filter((each) => each !== '>'), state, ms: milliseconds(left) }]
  }
  if (['sessions', 'bindings', 'held'].includes(word)) return [{ do: 'count', what: word, number: Number(first) }]
  if (word === 'where') return [{ do: 'where', left: first, operator: second, right: third }]
  throw new Error(`not a step: ${line}`)
}

function parseSteps(lines: readonly string[]): Step[] {
  let flow: Flow | undefined
  return lines.flatMap((line) => {
    if (line.startsWith('flow ')) flow = parseFlow(line)
    if (line.startsWith('flow ')) return []
    const [, time, rest = line] = /^at (\S+)\s*(.*)$/.exec(line) ?? []
    const steps: Step[] = time === undefined ? [] : [{ do: 'clock', ms: milliseconds(time) }]
    return rest ? [...steps, ...parseStep(rest, flow)] : steps
  })
}

function parseVector(topic: string, name: string, lines: readonly string[]): SessionVector {
  const config = lines.filter((line) => line.startsWith('config ')).flatMap((line) => line.split(/\s+/).slice(1))
  try {
    return { topic, name, config, steps: parseSteps(lines.filter((line) => !line.startsWith('config '))) }
  } catch (error) {
    throw new Error(`session/${topic}.txt: ${name}: ${(error as Error).message}`, { cause: error })
  }
}

/** A block of lines is a vector when its first line is its name; a `#` below it is a remark. */
export function parseVectors(topic: string, text: string): SessionVector[] {
  return text.split(/\n\n+/).flatMap((block) => {
    const lines = block.split('\n').map((line) => line.trim())
    const rest = lines.filter((line) => line && !line.startsWith('#'))
    const name = lines.find((line) => line.startsWith('# '))?.slice(2)
    return name && rest.length > 0 ? [parseVector(topic, name, rest)] : []
  })
}

export function readSessionVectors(): SessionVector[] {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt'))
  return files.flatMap((file) =>
    parseVectors(file.replace('.txt', ''), readFileSync(join(import.meta.dirname, file), 'utf8')),
  )
}
