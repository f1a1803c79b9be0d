// SPDX-License-Identifier: Apache-2.0
/**
 * Compiles the BPF programs with clang into native/build, named by the hash of all that goes into an object, so
 * that an unchanged tree costs nothing. Which clang does not matter from 14 on; the flags fix the instruction set.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const output = join(root, 'native', 'build')
/** What is so old is of another tree or time; at worst it is built again. */
const STALE_MS = 3_600_000

const FLAGS = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', '-std=gnu11', '-ffreestanding', '-Wall', '-Wextra']
const MULTIARCH = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }

class BpfBuildError extends Error {}

function findClang() {
  const paths = (process.env.PATH ?? '').split(delimiter)
  const names = ['clang-14', 'clang', ...Array.from({ length: 12 }, (_, i) => `clang-${i + 15}`)]
  return names.find((name) => paths.some((path) => existsSync(join(path, name))))
}

function headers(directory) {
  return readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.h'))
    .sort()
    .map((name) => join(directory, name))
}

function compile(clang, args) {
  return new Promise((resolve, reject) => {
    execFile(clang, args, { cwd: root, maxBuffer: 1 << 26 }, (error, _stdout, stderr) => {
      if (error) reject(new BpfBuildError(stderr.trim() || error.message))
      else resolve(stderr)
    })
  })
}

/** Objects of the same program that are an hour old. */
function removeStale(name) {
  for (const file of readdirSync(output).filter((each) => each.startsWith(`${name}-`) && each.endsWith('.bpf.o'))) {
    const path = join(output, file)
    if (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > STALE_MS)
      rmSync(path, { force: true })
  }
}

/** Returns the path of the object, compiling `source` (from the root of the tree) where it has changed. */
export async function compileBpf(source, name, flags = []) {
  const clang = findClang()
  if (!clang) throw new BpfBuildError('clang is not installed: apt-get install clang-14')
  const all = [...FLAGS, ...flags, `-I/usr/include/${MULTIARCH[process.arch] ?? ''}`]
  const hash = createHash('sha256').update([clang, process.arch, ...all].join(' '))
  for (const file of [source, ...headers('bpf'), ...headers('native/xlat')])
    hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  const path = join(output, `${name}-${hash.digest('hex').slice(0, 16)}.bpf.o`)
  if (existsSync(path)) return path
  mkdirSync(output, { recursive: true })
  const scratch = `${path}.${process.pid}`
  try {
    const warnings = await compile(clang, [...all, '-c', source, '-o', scratch])
    if (warnings) process.stderr.write(warnings)
    renameSync(scratch, path)
  } finally {
    rmSync(scratch, { force: true })
  }
  removeStale(name)
  return path
}

/** The gateway's own programs, at the name that the daemon loads: native/build/gateway.bpf.o. */
export async function buildPrograms() {
  const target = join(output, 'gateway.bpf.o')
  const built = readFileSync(await compileBpf('bpf/gateway.bpf.c', 'gateway'))
  if (existsSync(target) && readFileSync(target).equals(built)) return target
  const scratch = `${target}.${process.pid}`
  writeFileSync(scratch, built)
  renameSync(scratch, target)
  return target
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  buildPrograms().catch((error) => {
    process.stderr.write(`BPF build failed: ${error.message}\n`)
    process.exitCode = 1
  })
}
