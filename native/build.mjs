// SPDX-License-Identifier: Apache-2.0
/**
 * Builds native/build/sixgate.node with g++ alone: no node-gyp, no header download. An object is keyed by the
 * hash of its source, all headers and the flags, so an unchanged tree costs a few milliseconds and two builds
 * at once cannot hand each other half a file. The addon carries the key of its objects as its build ID: a stamp
 * beside it could be that of another build.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { buildPrograms } from './bpf.mjs'

const native = dirname(fileURLToPath(import.meta.url))
const modules = join(native, '..', 'node_modules')
const output = join(native, 'build')
const target = join(output, 'sixgate.node')
/** What no build has used for so long is stale. A younger object may be that of a build which has yet to link. */
const STALE_MS = 3_600_000

const FLAGS = [
  '-std=c++20',
  '-O2',
  '-g',
  '-fPIC',
  '-pthread',
  '-fvisibility=hidden',
  '-fno-exceptions',
  '-Wall',
  '-Wextra',
  '-DNAPI_VERSION=9',
  '-DNODE_GYP_MODULE_NAME=sixgate',
  '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
  '-isystem',
  join(modules, 'node-api-headers', 'include'),
  '-isystem',
  join(modules, 'node-addon-api'),
]

class BuildError extends Error {}

/** Sources are the .cc files of native/ itself; native/xlat is headers only. */
function inventory() {
  const all = readdirSync(native, { withFileTypes: true })
  const sources = all.filter((entry) => entry.isFile() && entry.name.endsWith('.cc')).map((entry) => entry.name)
  const headers = all.filter((entry) => entry.isFile() && entry.name.endsWith('.h')).map((entry) => entry.name)
  const core = join(native, 'xlat')
  if (existsSync(core)) {
    for (const name of readdirSync(core)) if (name.endsWith('.h')) headers.push(join('xlat', name))
  }
  return { sources: sources.sort(), headers: headers.sort() }
}

function digest(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 24)
}

function compiler(arguments_) {
  return new Promise((resolve, reject) => {
    execFile('g++', arguments_, { maxBuffer: 1 << 26 }, (error, _stdout, stderr) => {
      if (error?.code === 'ENOENT') reject(new BuildError('g++ is not installed: apt-get install g++'))
      else if (error) reject(new BuildError(stderr.trim() || error.message))
      else resolve(stderr)
    })
  })
}

/** Writes through a name of its own, so that a reader sees the old file or the whole new one. */
async function produce(path, arguments_) {
  const scratch = `${path}.${process.pid}`
  try {
    const warnings = await compiler([...arguments_, '-o', scratch])
    if (warnings) process.stderr.write(warnings)
    renameSync(scratch, path)
  } finally {
    rmSync(scratch, { force: true })
  }
}

/** Says that an object is in use; false when there is none. */
function touch(path) {
  try {
    const now = new Date()
    utimesSync(path, now, now)
    return true
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}

function removeStale(directory) {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > STALE_MS) rmSync(path, { force: true })
  }
}

async function compileAll(sources, keyOf, jobs) {
  const queue = sources.filter((source) => !touch(keyOf(source)))
  const worker = async () => {
    for (let source = queue.shift(); source; source = queue.shift()) {
      await produce(keyOf(source), [...FLAGS, '-c', join(native, source)])
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}

/** Returns the path of the addon, building what has changed. */
export async function build({ jobs = 2 } = {}) {
  for (const name of ['node-api-headers', 'node-addon-api']) {
    if (!existsSync(join(modules, name))) throw new BuildError(`${name} is not installed: npm ci`)
  }
  const { sources, headers } = inventory()
  const text = (name) => readFileSync(join(native, name))
  const shared = digest([...FLAGS, process.arch, ...headers.flatMap((name) => [name, text(name)])])
  const objects = join(output, 'objects')
  const keyOf = (source) => join(objects, `${source}-${digest([shared, text(source)])}.o`)
  const wanted = sources.map(keyOf)
  const key = digest(wanted.map((path) => basename(path)))
  if (existsSync(target) && readFileSync(target).includes(Buffer.from(key, 'hex'))) return target

  mkdirSync(objects, { recursive: true })
  await compileAll(sources, keyOf, jobs)
  await produce(target, ['-shared', '-pthread', `-Wl,--build-id=0x${key}`, ...wanted, '-lbpf'])
  removeStale(objects)
  return target
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  Promise.all([build(), buildPrograms()]).then(
    () => process.exit(0),
    (error) => {
      process.stderr.write(`native build failed: ${error instanceof BuildError ? error.message : error.stack}\n`)
      process.exit(1)
    },
  )
}
