// SPDX-License-Identifier: Apache-2.0
/** Plays session vectors on a packet thread of the translator, run.cc, whose clock stands still between the steps. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { checksum, packetOf } from '../../unit/dataplane-packets.ts'
import { buildProgram, files, native } from '../../unit/native-program.ts'
import { address, type Bound, bind, encode, type Family, type Packet } from './packet.ts'
import type { SessionVector, Step } from './read.ts'

/** The packet thread alone: no device, no Node, none of what makes and ends the threads. */
const ELSEWHERE = /\/(addon|dataplane\w*|datagram\w*|fastpath\w*|flow_table|next_hop_watch|tun\w*|translator)\.cc$/

export function build(): Promise<string> {
  return buildProgram({
    name: 'session-vectors',
    sources: [...files(native, /\.cc$/).filter((file) => !ELSEWHERE.test(file)), join(import.meta.dirname, 'run.cc')],
    headers: [...files(native, /\.h$/), ...files(join(native, 'xlat'), /\.h$/)],
    link: ['-Wl,--wrap=clock_gettime'],
  })
}

/** A tick of the session table is 128 ms, and a time-out never comes early. */
const TICK = 256

const DEFAULTS = ['prefix=64:ff9b::/96', 'pool=P1:40000-40000', 'icmp-source=G4', 'icmp-source=G6']

/** Names of hosts become addresses wherever one stands. */
const expand = (setting: string) =>
  setting.replace(/\b[A-Z]\d\b/g, (name) => (address(name) === name ? name : address(name)))

export class Player {
  readonly #child: ChildProcess
  #buffer = ''
  #report = ''
  #waiting: { resolve(lines: string[]): void; reject(error: Error): void } | undefined

  constructor(program: string) {
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text))
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#report += text
    })
    this.#child.on('close', () => this.#waiting?.reject(new Error(`the translator ended: ${this.#report}`)))
  }

  #take(text: string): void {
    this.#buffer += text
    if (!this.#buffer.endsWith('.\n')) return
    const lines = this.#buffer.split('\n').slice(0, -2)
    this.#buffer = ''
    this.#waiting?.resolve(lines)
    this.#waiting = undefined
  }

  ask(order: string): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.stdin?.write(`${order}\n`)
    })
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.on('close', resolve))
    this.#child.stdin?.end()
    await closed
  }

  /** What is not as the vector says; nothing when all is. */
  async play(vector: SessionVector): Promise<string[]> {
    const own = new Set(vector.config.map((setting) => setting.split('=')[0]))
    const defaults = DEFAULTS.filter((setting) => !own.has(setting.split('=')[0]))
    await this.ask(`open ${[...defaults, ...vector.config].map(expand).join(' ')}`)
    const game = new Game(this)
    for (const step of vector.steps) await game.step(step)
    return game.end()
  }
}

/** The kernel forwards to the TUN device, and from it: each takes one off the hop limit. */
function forwarded(bytes: Buffer): Buffer {
  const out = Buffer.from(bytes)
  const four = (out[0] ?? 0) >> 4 === 4
  out[four ? 8 : 7] = (out[four ? 8 : 7] ?? 0) - 1
  if (!four) return out
  out.writeUInt16BE(0, 10)
  out.writeUInt16BE(checksum(out.subarray(0, ((out[0] ?? 0) & 15) * 4)), 10)
  return out
}

/** One vector at play: what left and was dropped, and nobody expected yet. */
class Game {
  readonly #player: Player
  readonly #faults: string[] = []
  readonly #bound: Bound = new Map()
  #out: Buffer[] = []
  #drops: string[] = []

  constructor(player: Player) {
    this.#player = player
  }

  async step(step: Step): Promise<void> {
    if (step.do === 'clock') await this.#act(`clock ${step.ms}`)
    else if (step.do === 'in') {
      const bytes = forwarded(encode(step.packet, step.family, this.#bound, { hop: 64 }))
      await this.#act(`packet ${bytes.toString('hex')}`)
    } else if (step.do === 'out') this.#left(step.family, step.packet)
    else if (step.do === 'drop') this.#dropped(`${step.reason} ${step.packets}`)
    else if (step.do === 'where') this.#where(step)
    else if (step.do === 'count' || step.do === 'session') await this.#state(step)
  }

  end(): string[] {
    this.#settle()
    return this.#faults
  }

  #settle(): void {
    for (const bytes of this.#out) this.#faults.push(`unexpected: ${describe(bytes)}`)
    for (const drop of this.#drops) this.#faults.push(`unexpected: drop ${drop}`)
    this.#out = []
    this.#drops = []
  }

  async #act(order: string): Promise<void> {
    this.#settle()
    for (const line of await this.#player.ask(order)) {
      const [what, value = '', packets] = line.split(' ')
      if (what === 'out') this.#out.push(forwarded(Buffer.from(value, 'hex')))
      else this.#drops.push(`${value} ${packets}`)
    }
  }

  #left(family: Family, packet: Packet): void {
    const bytes = this.#out.shift()
    if (!bytes) {
      this.#faults.push(`nothing left, but expected: ${packet.kind} to the IPv${family} side`)
      return
    }
    const actual = packetOf(bytes)
    bind(packet, actual, this.#bound)
    // the identification of a whole IPv4 packet is any
    const id = packet.words.has('frag') ? 0 : actual.id
    const expected = encode(packet, family, this.#bound, { hop: 63, id: family === 4 ? id : 0 })
    if (!bytes.equals(expected)) this.#faults.push(`left: ${describe(bytes)}\nexpected: ${describe(expected)}`)
  }

  #dropped(drop: string): void {
    const at = this.#drops.indexOf(drop)
    if (at < 0) this.#faults.push(`expected: drop ${drop}; there were ${this.#drops.join(', ') || 'none'}`)
    else this.#drops.splice(at, 1)
  }

  async #state(step: Extract<Step, { do: 'session' | 'count' }>): Promise<void> {
    const lines = await this.#player.ask('state')
    if (step.do === 'count') {
      const held = Number(lines.find((line) => line.startsWith('held '))?.slice(5))
      const prefix = `${step.what.slice(0, -1)} `
      const number = step.what === 'held' ? held : lines.filter((line) => line.startsWith(prefix)).length
      if (number !== step.number) this.#faults.push(`${number} ${step.what}, expected ${step.number}`)
      return
    }
    const wanted = this.#sessionWords(step.words)
    const line = lines.find((each) => each.startsWith(wanted))
    const [state, left] = line?.slice(wanted.length).split(' ') ?? []
    if (state !== step.state) this.#faults.push(`${wanted}is ${state ?? 'not there'}, expected ${step.state}`)
    else if (Number(left) < step.ms || Number(left) > step.ms + TICK)
      this.#faults.push(`${wanted}has ${left} ms left, expected ${step.ms}`)
  }

  /** `udp C1:5000 P1:40000 > S1:80` as run.cc writes it, up to the state. */
  #sessionWords([protocol = '', ...ends]: readonly string[]): string {
    const [client = [], pool = [], server = []] = ends.map((end) => {
      const at = end.lastIndexOf(':')
      const [host, port] = at < 0 ? [end, '0'] : [end.slice(0, at), end.slice(at + 1)]
      return [address(host, this.#bound), this.#bound.get(port) ?? port]
    })
    const six = `64:ff9b::${(server[0] ?? '')
      .split('.')
      .map((byte) => Number(byte).toString(16).padStart(2, '0'))
      .join('')}`
    const written = six.replace(/(....)(....)$/, (_, a: string, b: string) => `${short(a)}:${short(b)}`)
    return `session ${[protocol, ...client, written, server[1], ...pool, ...server].join(' ')} `
  }

  #where({ left, operator, right }: Extract<Step, { do: 'where' }>): void {
    const value = this.#bound.get(left) ?? left
    const other = this.#bound.get(right) ?? right
    const [low = 0, high = 0] = other.split('-').map(Number)
    const holds: Record<string, boolean> = {
      '=': value === other,
      '!=': value !== other,
      in: Number(value) >= low && Number(value) <= high,
      even: Number(value) % 2 === 0,
      odd: Number(value) % 2 === 1,
    }
    if (!holds[operator]) this.#faults.push(`not so: ${left} ${operator} ${right}; ${left} is ${value}`)
  }
}

const short = (word: string) => word.replace(/^0+(?=.)/, '')

const describe = (bytes: Buffer) => {
  const { family, source, destination, protocol, hop, from, to } = packetOf(bytes)
  return `IPv${family} ${source} > ${destination} protocol ${protocol} ports ${from} ${to} hop ${hop}\n  ${bytes.toString('hex')}`
}
