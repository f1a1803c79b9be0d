// SPDX-License-Identifier: Apache-2.0
/** A process that owns a data plane and does what its parent says; killed, it leaves things as a crash does. */
import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { RECORD_SIZE } from '../../src/binding-log/record.ts'
import { GatewayError } from '../../src/errors.ts'
import { openDataplane } from '../../src/system/addon.ts'
import type { Dataplane, DataplaneOptions } from '../../src/system/dataplane.ts'

export interface Order {
  readonly id: number
  readonly method: string
  readonly args: readonly unknown[]
}

export interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: { readonly code?: string; readonly message: string }
}

const planes: Dataplane[] = []

/** Opens a plane in a worker thread that ends without closing it. */
function leak(options: DataplaneOptions): Promise<void> {
  const source = `
    import { workerData } from 'node:worker_threads'
    const { openDataplane } = await import(workerData.addon)
    openDataplane(workerData.options).status()`
  const addon = new URL('../../src/system/addon.ts', import.meta.url).href
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: { addon, options },
  })
  return new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', () => resolve())
  })
}

const methods: Record<string, (...args: never[]) => unknown> = {
  open: (options: DataplaneOptions) => planes.push(openDataplane(options)) - 1,
  call: (plane: number, method: keyof Dataplane, ...args: never[]) =>
    (planes[plane]?.[method] as (...args: never[]) => unknown)(...args),
  foresee: (plane: number, hex: string) => planes[plane]?.foresee(Buffer.from(hex, 'hex')),
  /** What the log of bindings has, as hexadecimal. */
  log: (plane: number) => {
    const buffer = Buffer.alloc(1 << 16)
    let text = ''
    for (let count = 0; ; ) {
      count = planes[plane]?.readLog(buffer) ?? 0
      if (count === 0) return text
      text += buffer.toString('hex', 0, count * RECORD_SIZE)
    }
  },
  tasks: () => readdirSync('/proc/self/task').length,
  leak,
}

process.on('message', async ({ id, method, args }: Order) => {
  try {
    const value = await methods[method]?.(...(args as never[]))
    process.send?.({ id, value } satisfies Answer)
  } catch (error) {
    const { message } = error as Error
    const code = error instanceof GatewayError ? { code: error.code } : {}
    process.send?.({ id, error: { message, ...code } } satisfies Answer)
  }
})
process.on('disconnect', () => process.exit(0))
