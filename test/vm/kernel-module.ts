// SPDX-License-Identifier: Apache-2.0
/** Builds kmod/ in the root of the virtual machine, with every warning and with sparse, once for each source. */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Image, inRoot } from './image.ts'

const source = fileURLToPath(new URL('../../kmod/', import.meta.url))

export interface Built {
  readonly module: Buffer
  /** What the compiler and sparse said. */
  readonly log: string
}

const files = () => readdirSync(source).sort()

export async function buildModule(image: Image): Promise<Built> {
  const hash = createHash('sha256')
  for (const file of files()) hash.update(file).update(readFileSync(join(source, file)))
  const name = `usr/src/static-nat-${hash.digest('hex').slice(0, 16)}`
  const directory = join(image.root, name)
  const read = () => ({
    module: readFileSync(join(directory, 'static_nat.ko')),
    log: readFileSync(join(directory, 'log'), 'utf8'),
  })
  if (existsSync(directory)) return read()
  const staging = `${directory}.${process.pid}`
  try {
    for (const file of files()) cpSync(join(source, file), join(staging, file))
    const script = `make -C /lib/modules/${image.release}/build M=/${name}.${process.pid} W=1 C=1 modules 2>&1`
    writeFileSync(join(staging, 'log'), await inRoot(image, script))
    renameSync(staging, directory)
  } catch (error) {
    rmSync(staging, { recursive: true, force: true })
    if (!existsSync(directory)) throw error
  }
  return read()
}
