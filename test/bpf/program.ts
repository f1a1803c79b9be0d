// SPDX-License-Identifier: Apache-2.0
/** Compiles the programs of test/bpf and test/bench that hold the fast path, and the fast path itself. */
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const FLAGS = ['-std=c++20', '-O2', '-g', '-Wall', '-Wextra', '-I.', '-Itest', '-Inative']

const headers = ['bpf', 'native', 'native/xlat', 'test/bpf'].flatMap((directory) =>
  readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.h'))
    .sort()
    .map((name) => join(directory, name)),
)

/** The program built from the sources, named by the hash of all that went into it. */
export async function compile(name: string, ...sources: string[]): Promise<string> {
  const hash = createHash('sha256').update(FLAGS.join(' '))
  for (const file of [...sources, ...headers]) hash.update(readFileSync(join(root, file)))
  const out = join(root, 'native/build', `${name}-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(out)) return out
  mkdirSync(join(root, 'native/build'), { recursive: true })
  const scratch = `${out}.${process.pid}`
  await run('g++', [...FLAGS, ...sources, '-o', scratch, '-lbpf'], { cwd: root })
  renameSync(scratch, out)
  return out
}

/** Why no BPF program can be loaded here; empty when one can. */
export function refusal(program: string, object: string): string {
  if (process.getuid?.() !== 0) return 'needs root'
  const done = spawnSync(program, [object], { input: '', encoding: 'utf8' })
  return done.status === 77 ? `needs BPF: ${done.stderr.trim().split('\n').at(-1)}` : ''
}

/** What the program answers, a line for each of the input's. */
export function answers(program: string, args: readonly string[], lines: readonly string[]): string[] {
  const input = lines.map((line) => `${line}\n`).join('')
  const done = spawnSync(program, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (done.status !== 0 || done.stderr) throw new Error(`${program}: ${done.stderr || done.signal || done.status}`)
  return done.stdout.split('\n').slice(0, -1)
}
