// SPDX-License-Identifier: Apache-2.0
/** Compiles the programs of test/vectors that run the translation core, and reads the vectors. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
export const core = join(root, 'native/xlat')
export const vectors = join(root, 'test/vectors')
export const headers = readdirSync(core).filter((name) => name.endsWith('.h'))

export const WARNINGS = (
  '-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wcast-align -Wundef -Wvla ' +
  '-Wswitch-default -Wwrite-strings -Wpointer-arith -Wformat=2 -Wdouble-promotion -Wnull-dereference -Werror'
).split(' ')

/** Memory and arithmetic faults end the program with a report on stderr. */
export const SANITIZERS = ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all']

/** The program built from test/vectors/SOURCE, named by the hash of all that went into it. */
export async function build(compiler: string, source: string, flags: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update([compiler, ...flags].join(' '))
  const beside = readdirSync(vectors).filter((name) => name.endsWith('.h'))
  for (const file of [source, ...beside].map((name) => join(vectors, name))) hash.update(readFileSync(file))
  for (const name of headers) hash.update(readFileSync(join(core, name)))
  const out = join(root, 'native/build', `xlat-${source.replace('.c', '')}-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(out)) return out
  mkdirSync(join(root, 'native/build'), { recursive: true })
  const scratch = `${out}.${process.pid}`
  await run(compiler, [...flags, '-D_GNU_SOURCE', '-I', core, join(vectors, source), '-o', scratch])
  renameSync(scratch, out)
  return out
}

export interface Vector {
  readonly topic: string
  readonly name: string
  /** One line for test/vectors/run.c, and the line it must answer. */
  readonly command: string
  readonly expected: string
}

interface Fields {
  name?: string
  do?: string
  in?: string
  drop?: string
  is?: string
  also?: string
  out: string[]
}

/** `deadbeef +3` is deadbeef000000. */
function bytes(text: string): string {
  const [hex = '', zeros = '0'] = text.split(' +')
  return hex + '00'.repeat(Number(zeros))
}

function vector(topic: string, lines: readonly string[]): Vector {
  const fields: Fields = { out: [] }
  for (const line of lines) {
    const [, key, value] = /^(name|do|in|out|drop|is|also): ?(.*)$/.exec(line) ?? []
    if (!key || value === undefined) throw new Error(`${topic}: not a line of a vector: ${line}`)
    if (key === 'out') fields.out.push(bytes(value))
    else fields[key as Exclude<keyof Fields, 'out'>] = value
  }
  if (!fields.name || !fields.do) throw new Error(`${topic}: a vector without a name or a command: ${lines[0]}`)
  const packet = fields.in === undefined ? '' : ` in=${fields.in.replace(' +', '+')}`
  let expected = ['out', ...fields.out].join(' ')
  if (fields.drop !== undefined) expected = `drop ${fields.drop}`
  if (fields.is !== undefined) expected = `is ${fields.is}`
  if (fields.also) expected += ` ${fields.also}`
  return { topic, name: fields.name, command: `${fields.do}${packet}`, expected }
}

/** Blocks of `key: value` lines, an empty line between them; an indented line continues the one before. */
export function readVectors(): Vector[] {
  const topics = readdirSync(vectors).filter((name) => name.endsWith('.txt'))
  return topics.flatMap((file) => {
    const text = readFileSync(join(vectors, file), 'utf8').replaceAll('\n  ', '')
    const blocks = text.split(/\n\n+/).map((block) => block.split('\n').filter((line) => line && !line.startsWith('#')))
    return blocks.filter((lines) => lines.length).map((lines) => vector(file.replace('.txt', ''), lines))
  })
}
