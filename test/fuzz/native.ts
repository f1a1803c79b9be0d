// SPDX-License-Identifier: Apache-2.0
/** The fuzzers of native code: libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, built by clang. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readVectors } from '../unit/xlat.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const native = join(root, 'native')
const core = join(native, 'xlat')
const vectors = join(root, 'test/vectors')
const out = join(native, 'build/fuzz')
const SANITIZERS = ['-g1', '-O1', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all']
const WARNINGS = ['-Wall', '-Wextra', '-Werror']

export interface NativeFuzzer {
  readonly name: string
  readonly source: string
  readonly flags: readonly string[]
  /** Of native/, compiled with it. */
  readonly with: RegExp
  /** Longest input worth trying. */
  readonly length: number
  /** What in test/vectors makes an input, and what stands before its packet. */
  readonly seeds?: { readonly command: RegExp; readonly head: readonly number[] }
  /** In `npm test`. */
  readonly runs: number
}

const NONE = /^$/
const C = ['-std=c11', '-I', core, '-I', vectors]
/** Hop limit less one, traffic class copied, ports 20560 and 23130: see translate.c. */
const HEAD = [255, 1, 7, 160, 0, 80, 90, 0]

export const NATIVE: readonly NativeFuzzer[] = [
  {
    name: 'parser',
    source: 'parser.c',
    flags: C,
    with: NONE,
    length: 4096,
    runs: 100_000,
    seeds: { command: /./, head: [] },
  },
  ...['64', '46'].map((way) => ({
    name: `translate${way}`,
    source: 'translate.c',
    flags: [...C, `-DWAY=${way}`],
    with: NONE,
    length: 4096,
    runs: 100_000,
    seeds: { command: new RegExp(`^${way} `), head: HEAD },
  })),
  {
    name: 'session',
    source: 'session.cc',
    flags: ['-std=c++20', '-fno-exceptions', '-pthread', '-I', native],
    with: /^(session|pool)[a-z_]*\.cc$/,
    length: 512,
    runs: 200,
  },
  {
    name: 'fragment',
    source: 'fragment.cc',
    flags: ['-std=c++20', '-fno-exceptions', '-pthread', '-I', native, '-Wl,--wrap=clock_gettime'],
    // the packet thread alone: no device, no Node, none of what makes and ends the threads
    with: /^(eam|fragment|netlink|path_mtu|route_watch|(policy|pool|session)[a-z_]*|translator_[a-z]+)\.cc$/,
    length: 512,
    runs: 500,
  },
]

/** clang-14 where it is, else the release's own. */
export function compiler(cpp: boolean): string {
  const names = cpp ? ['clang++-14', 'clang++'] : ['clang-14', 'clang']
  const found = names.find((name) => spawnSync(name, ['--version']).status === 0)
  if (!found) throw new Error(`no clang: install clang and libclang-rt-dev, or clang-14 and libclang-rt-14-dev`)
  return found
}

const headersOf = (directory: string) =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.h'))
    .map((name) => join(directory, name))

/** The program, named by the hash of all that went into it. */
export async function build(fuzzer: NativeFuzzer): Promise<string> {
  const clang = compiler(fuzzer.source.endsWith('.cc'))
  const others = readdirSync(native).filter((name) => fuzzer.with.test(name))
  const sources = [join(import.meta.dirname, fuzzer.source), ...others.sort().map((name) => join(native, name))]
  const flags = [...fuzzer.flags, ...SANITIZERS, ...WARNINGS]
  const hash = createHash('sha256').update([clang, ...flags].join(' '))
  const headers = [import.meta.dirname, native, core, vectors].flatMap(headersOf)
  for (const file of [...sources, ...headers]) hash.update(readFileSync(file))
  const target = join(out, `${fuzzer.name}-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(target)) return target
  mkdirSync(out, { recursive: true })
  const scratch = `${target}.${process.pid}`
  await run(clang, [...flags, ...sources, '-o', scratch], { maxBuffer: 1 << 24 })
  renameSync(scratch, target)
  return target
}

/** Inputs to begin with: those that fuzzing found worth keeping, and the packets of the vectors. */
export function seedDirectories(fuzzer: NativeFuzzer, work: string): string[] {
  const kept = join(import.meta.dirname, 'corpus', fuzzer.name)
  const directories = existsSync(kept) ? [kept] : []
  if (!fuzzer.seeds) return directories
  const made = join(work, 'vectors')
  mkdirSync(made, { recursive: true })
  for (const [number, { command }] of readVectors().entries()) {
    const [, hex = '', zeros = '0'] = / in=([0-9a-f]*)(?:\+(\d+))?$/.exec(command) ?? []
    if (!hex || !fuzzer.seeds.command.test(command) || Number(zeros) > fuzzer.length) continue
    const packet = Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(Number(zeros))])
    writeFileSync(join(made, String(number)), Buffer.concat([Buffer.from(fuzzer.seeds.head), packet]))
  }
  return [...directories, made]
}

export interface Limit {
  readonly runs?: number
  readonly seconds?: number
}

/** Runs it in `work`, where new inputs and findings are left; gives libFuzzer's report, and whether nothing was found. */
export async function fuzz(
  fuzzer: NativeFuzzer,
  work: string,
  seed: number,
  limit: Limit,
): Promise<{ ok: boolean; report: string }> {
  const program = await build(fuzzer)
  const found = join(work, 'found')
  mkdirSync(found, { recursive: true })
  const args = [
    `-seed=${seed % 2 ** 31 || 1}`,
    `-max_len=${fuzzer.length}`,
    '-len_control=0',
    `-artifact_prefix=${work}/`,
    '-timeout=20',
    '-print_final_stats=1',
    ...(limit.runs ? [`-runs=${limit.runs}`] : []),
    ...(limit.seconds ? [`-max_total_time=${limit.seconds}`] : []),
    found,
    ...seedDirectories(fuzzer, work),
  ]
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let report = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    report = (report + text).slice(-20_000)
  })
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  return { ok: status === 0, report: status === 0 ? report : `${report}\nrepeat: ${program} ${work}/crash-…` }
}
