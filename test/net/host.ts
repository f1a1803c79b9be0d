// SPDX-License-Identifier: Apache-2.0
/** The test's side of actor.ts: `await host.do('udpEcho', { … })`. */
import { createCipheriv, createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Namespace } from '../lab/netns.ts'
import type { Background } from '../lab/process.ts'
import type { Operations } from './actor.ts'

const actor = fileURLToPath(new URL('actor.ts', import.meta.url))

type Name = keyof Operations
type Argument<N extends Name> = Parameters<Operations[N]>[0]
type Value<N extends Name> = Awaited<ReturnType<Operations[N]>>

export class Host {
  readonly namespace: Namespace
  readonly #process: Background
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #next = 1

  static async start(namespace: Namespace): Promise<Host> {
    return new Host(namespace, await namespace.program(actor))
  }

  constructor(namespace: Namespace, process: Background) {
    this.namespace = namespace
    this.#process = process
    process.child.on('message', ({ id, value, error }: { id: number; value: unknown; error?: string }) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(value)
      else waiting?.reject(new Error(error))
    })
    process.exited.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the actor ended\n${process.output}`))
    })
  }

  do<N extends Name>(operation: N, argument: Argument<N>): Promise<Value<N>> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#process.child.send({ id, operation, argument })
    })
  }
}

/** SHA-256 of the first `bytes` of the seed's stream. */
export function streamHash(seed: string, bytes: number): string {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const hash = createHash('sha256')
  const zeros = Buffer.alloc(1 << 20)
  for (let left = bytes; left > 0; left -= zeros.length)
    hash.update(cipher.update(zeros.subarray(0, Math.min(left, zeros.length))))
  return hash.digest('hex')
}
