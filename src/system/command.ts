// SPDX-License-Identifier: Apache-2.0
/** Runs programs with argument arrays and turns what can go wrong into one kind of error. */
import { execFile, spawn as spawnProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { createInterface } from 'node:readline'
import { GatewayError } from '../errors.ts'
import type { ChildProcess, ExitInfo, SpawnOptions } from './system.ts'

/** A login without /usr/sbin in its path (su, cron) still finds ip and nft. */
const DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

const MAX_OUTPUT = 256 * 1024 * 1024

function environment(): NodeJS.ProcessEnv {
  const path = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...DIRECTORIES]
  return { ...process.env, PATH: [...new Set(path)].join(':'), LC_ALL: 'C' }
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export function findCommand(command: string, debianPackage: string): string {
  if (command.startsWith('/')) return command
  for (const directory of environment().PATH?.split(':') ?? []) {
    const path = `${directory}/${command}`
    if (executable(path)) return path
  }
  throw new GatewayError('COMMAND_MISSING', { values: { command, package: debianPackage } })
}

export class CommandError extends Error {
  readonly code: number | null
  readonly stderr: string

  constructor(command: string, code: number | null, stderr: string) {
    super(`${command}: ${stderr.trim() || `exit status ${code}`}`)
    this.code = code
    this.stderr = stderr
  }
}

/** What a refusal means that names no module. */
const MODULES = [
  [/type vlan.*(?:Unknown device type|not supported)/s, 'module 8021q, which VLANs need'],
  [/^nft.*(?:Protocol not supported|Operation not supported)/s, 'nf_tables'],
] as const

/** What an operator can do about a failed program. */
export function commandFault(command: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  const message = cause instanceof CommandError ? cause.stderr : String(cause)
  if (/Operation not permitted|Permission denied|must be root/i.test(message)) {
    return new GatewayError('NEED_ROOT', { values: { capability: 'CAP_NET_ADMIN' }, cause })
  }
  const lacks = MODULES.find(([pattern]) => pattern.test(`${command} ${message}`))
  const lines = message.trim().split('\n').slice(0, 3)
  return new GatewayError('COMMAND_FAILED', {
    values: { command },
    detail: [...lines, ...(lacks ? [`the kernel has no ${lacks[1]}`] : [])].join('; '),
    cause,
  })
}

export function run(command: string, args: readonly string[], debianPackage: string, input?: string): Promise<string> {
  const path = findCommand(command, debianPackage)
  return new Promise((resolve, reject) => {
    const child = execFile(path, args, { env: environment(), maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const code = typeof error.code === 'number' ? error.code : null
      reject(new CommandError(command, code, stderr || error.message))
    })
    // a program that fails early closes the pipe; its exit status tells
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
  })
}

/**
 * Starts a program that ends with the daemon, even when the daemon is killed: the kernel sends it the signal.
 */
export function spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const path = findCommand(command, options.package)
  const setpriv = findCommand('setpriv', 'util-linux')
  const child = spawnProcess(setpriv, ['--pdeathsig', 'KILL', '--', path, ...args], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = new Promise<ExitInfo>((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  createInterface({ input: child.stdout }).on('line', (line) => options.onLine?.(line, 'out'))
  createInterface({ input: child.stderr }).on('line', (line) => options.onLine?.(line, 'err'))
  return { pid: child.pid ?? 0, exited, kill: (signal) => void child.kill(signal) }
}
