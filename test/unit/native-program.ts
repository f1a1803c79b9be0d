// SPDX-License-Identifier: Apache-2.0
/** Test programs made of the native sources, under the sanitizers; built once, named by the hash of all that went in. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

export const execute = promisify(execFile)
export const native = join(import.meta.dirname, '../../native')
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
const FLAGS = ['-std=c++20', '-O1', '-g1', '-fno-exceptions', '-Wall', '-Wextra', '-Werror', '-pthread', ...SANITIZERS]

export interface Program {
  readonly name: string
  readonly sources: readonly string[]
  readonly headers: readonly string[]
  /** For the linker. */
  readonly link?: readonly string[]
}

export function files(directory: string, pattern: RegExp): string[] {
  const names = readdirSync(directory).filter((name) => pattern.test(name))
  return names.sort().map((name) => join(directory, name))
}

/** Makes `target` unless it is there; two runs at once cannot hand each other half a file. */
async function make(target: string, flags: readonly string[]): Promise<string> {
  if (existsSync(target)) return target
  const scratch = `${target}.${process.pid}`
  await execute('g++', [...flags, '-o', scratch], { maxBuffer: 1 << 24 })
  renameSync(scratch, target)
  return target
}

/** Objects are named by the hash of their source, all headers and the flags. */
export async function buildProgram({ name, sources, headers, link = [] }: Program): Promise<string> {
  const out = join(native, `build/${name}-test`)
  const common = createHash('sha256').update([...FLAGS, ...link].join(' '))
  for (const header of headers) common.update(readFileSync(header))
  const jobs = sources.map((source) => {
    const hash = common.copy().update(readFileSync(source)).digest('hex').slice(0, 16)
    return { source, object: join(out, `${basename(source, '.cc')}-${hash}.o`) }
  })
  mkdirSync(out, { recursive: true })
  const queue = [...jobs]
  const compile = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) await make(job.object, [...FLAGS, '-c', job.source])
  }
  await Promise.all([compile(), compile()])
  const objects = jobs.map((job) => job.object)
  const program = join(out, `${name}-${createHash('sha256').update(objects.join()).digest('hex').slice(0, 16)}`)
  await make(program, [...FLAGS, ...objects, ...link])
  for (const file of readdirSync(out)) {
    const path = join(out, file)
    if (path !== program && !objects.includes(path) && !/\.\d+$/.test(file)) rmSync(path, { force: true })
  }
  return program
}
