// SPDX-License-Identifier: Apache-2.0
/** A collector's side of IPFIX (RFC 7011 section 3), as plain as can be. */

/** Values by information element, as numbers or hexadecimal digits. */
export type Flow = Readonly<Record<number, number | string>>

export interface ReadMessage {
  readonly sequence: number
  readonly domain: number
  readonly length: number
  readonly templates: readonly number[]
  readonly flows: readonly Flow[]
}

type Fields = readonly (readonly [number, number])[]

export class IpfixReader {
  readonly #templates = new Map<number, Fields>()
  #rest = Buffer.alloc(0)

  /** The messages of a stream, as far as they are whole. */
  stream(bytes: Buffer): ReadMessage[] {
    const out: ReadMessage[] = []
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= 16 && this.#rest.length >= this.#rest.readUInt16BE(2)) {
      const length = this.#rest.readUInt16BE(2)
      out.push(this.message(this.#rest.subarray(0, length)))
      this.#rest = this.#rest.subarray(length)
    }
    return out
  }

  message(bytes: Buffer): ReadMessage {
    if (bytes.readUInt16BE(0) !== 10) throw new Error(`version ${bytes.readUInt16BE(0)}`)
    if (bytes.readUInt16BE(2) !== bytes.length) throw new Error(`${bytes.length} bytes, not ${bytes.readUInt16BE(2)}`)
    const templates: number[] = []
    const flows: Flow[] = []
    for (let at = 16; at < bytes.length; ) {
      const [id, length] = [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)]
      const body = bytes.subarray(at + 4, at + length)
      if (body.length !== length - 4 || length < 5) throw new Error(`set ${id} of ${length} bytes`)
      if (id === 2 || id === 3) templates.push(...this.#learn(body, id === 3))
      else flows.push(...this.#flows(id, body))
      at += length
    }
    return {
      ...{ sequence: bytes.readUInt32BE(8), domain: bytes.readUInt32BE(12), length: bytes.length },
      ...{ templates, flows },
    }
  }

  #learn(body: Buffer, isOptions: boolean): number[] {
    const ids: number[] = []
    for (let at = 0; at < body.length; ) {
      const [id, count] = [body.readUInt16BE(at), body.readUInt16BE(at + 2)]
      at += isOptions ? 6 : 4
      const fields = Array.from({ length: count }, (_, index): [number, number] => [
        body.readUInt16BE(at + 4 * index),
        body.readUInt16BE(at + 4 * index + 2),
      ])
      at += 4 * count
      this.#templates.set(id, fields)
      ids.push(id)
    }
    return ids
  }

  #flows(id: number, body: Buffer): Flow[] {
    const fields = this.#templates.get(id)
    if (!fields) throw new Error(`no template ${id}`)
    const size = fields.reduce((sum, [, length]) => sum + length, 0)
    if (body.length % size !== 0) throw new Error(`set ${id}: ${body.length} bytes of records of ${size}`)
    return Array.from({ length: body.length / size }, (_, index) => {
      const flow: Record<number, number | string> = {}
      let at = index * size
      for (const [element, length] of fields) {
        const value = body.subarray(at, at + length)
        flow[element] =
          length <= 6
            ? value.readUIntBE(0, length)
            : length === 8
              ? Number(value.readBigUInt64BE())
              : value.toString('hex')
        at += length
      }
      return flow
    })
  }
}
