// SPDX-License-Identifier: Apache-2.0
/** Notes queries while they are answered and writes them when nothing waits. Bounded: what is too much is counted. */
import type { Logger } from 'pino'
import { addressFromBytes } from '../net/address.ts'
import { SLOT } from './datagram.ts'
import { formatName } from './name.ts'
import type { Query } from './query.ts'
import { HEADER_SIZE, TYPE } from './wire.ts'

const MAX_NOTES = 8192
const TYPE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(TYPE).map(([name, number]) => [number, name]),
)

interface Note {
  readonly client: Uint8Array
  readonly name: Uint8Array
  readonly type: number
}

export class QueryLog {
  enabled = false
  readonly #log: Pick<Logger, 'info'>
  #notes: Note[] = []
  #missed = 0

  constructor(log: Pick<Logger, 'info'>) {
    this.#log = log
  }

  note(bytes: Uint8Array, header: number, query: Query): void {
    if (this.#notes.length >= MAX_NOTES) {
      this.#missed++
      return
    }
    const client = header + SLOT.peer
    const name = query.start + HEADER_SIZE
    if (this.#notes.length === 0) setImmediate(() => this.#write())
    this.#notes.push({
      client: bytes.slice(client, client + (bytes[header + SLOT.family] === 4 ? 4 : 16)),
      name: bytes.slice(name, name + (query.questionLength === 0 ? 0 : query.key.nameLength)),
      type: query.type,
    })
  }

  #write(): void {
    const notes = this.#notes
    const missed = this.#missed
    this.#notes = []
    this.#missed = 0
    for (const { client, name, type } of notes) {
      const question = name.length > 0 ? { name: formatName(name), type: TYPE_NAMES[type] ?? `TYPE${type}` } : {}
      this.#log.info({ client: String(addressFromBytes(client)), ...question }, 'query')
    }
    if (missed > 0) this.#log.info({ missed }, 'queries not logged')
  }
}
