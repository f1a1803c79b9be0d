// SPDX-License-Identifier: Apache-2.0
/** /proc/sys as resources. */
import { access, constants, readdir, readFile, writeFile } from 'node:fs/promises'
import { GatewayError } from '../errors.ts'
import type { Change, Sysctl } from './system.ts'

/** Values the kernel overwrites when the named one changes (inet_forward_change, addrconf_forward_change). */
const SPREADS: Readonly<Record<string, readonly string[]>> = {
  'net.ipv4.ip_forward': ['net.ipv4.conf.*.forwarding', 'net.ipv4.conf.all.accept_redirects'],
  'net.ipv6.conf.all.forwarding': ['net.ipv6.conf.*.forwarding'],
}

/** The sysctl of one device; a dot in the device's name is written as a slash, as sysctl(8) has it. */
export function deviceSysctl(base: string, device: string, leaf: string): string {
  return `${base}.${device.replaceAll('.', '/')}.${leaf}`
}

/** The device a sysctl is about; empty when it is about none. */
export function deviceOf(name: string): string {
  return /^net\.ipv[46]\.(?:conf|neigh)\.([^.]+)\./.exec(name)?.[1]?.replaceAll('/', '.') ?? ''
}

function fileOf(name: string): string {
  return `/proc/sys/${name.replace(/[./]/g, (character) => (character === '.' ? '/' : '.'))}`
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? ''
}

export async function readSysctl(name: string): Promise<string | undefined> {
  try {
    return (await readFile(fileOf(name), 'utf8')).trim()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) return undefined
    throw error
  }
}

async function expand(pattern: string): Promise<string[]> {
  const [head, tail] = pattern.split('.*.')
  if (head === undefined || tail === undefined) return [pattern]
  const devices = await readdir(fileOf(head)).catch(() => [])
  return devices.map((device) => deviceSysctl(head, device, tail))
}

async function spreadOf(name: string): Promise<Record<string, string> | undefined> {
  const patterns = SPREADS[name]
  if (!patterns) return undefined
  const also: Record<string, string> = {}
  for (const member of (await Promise.all(patterns.map(expand))).flat()) {
    const value = await readSysctl(member)
    if (value !== undefined) also[member] = value
  }
  return also
}

export async function actualSysctl(name: string): Promise<Sysctl | undefined> {
  const value = await readSysctl(name)
  if (value === undefined) return undefined
  const also = await spreadOf(name)
  return { kind: 'sysctl', name, value, ...(also && { also }) }
}

/**
 * The flag that sets it for a container: a device of the container is made after its sysctls are set, so that only the
 * default reaches it.
 */
function flagFor(name: string, value: string): string {
  const device = deviceOf(name)
  const settable = device === '' || device === 'all' ? name : name.replace(/^(net\.ipv[46]\.\w+\.)[^.]+/, '$1default')
  return `--sysctl ${settable}=${value.replaceAll('\t', ' ')}`
}

interface Refused {
  readonly name: string
  readonly actual: string
  readonly wanted: string
}

function readOnly(refused: readonly [Refused, ...Refused[]], cause: unknown): GatewayError {
  const [first] = refused
  const flags = refused.map(({ name, wanted }) => flagFor(name, wanted))
  return new GatewayError('SYSCTL_READONLY', {
    values: { ...first, flags: [...new Set(flags)].join(' ') },
    ...(refused.length > 1 && { detail: `so it is with ${refused.length - 1} more` }),
    faults: refused.map(({ name, actual, wanted }) => ({
      path: `sysctl ${name}`,
      message: `is ${actual}, must be ${wanted}, and cannot be written`,
      remedy: flagFor(name, wanted),
    })),
    cause,
  })
}

/** All that cannot be written, before the first is: a read-only /proc/sys is told of once, with every flag. */
export async function refuseReadOnly(changes: readonly Change[]): Promise<void> {
  const refused: Refused[] = []
  let cause: unknown
  for (const { before, after } of changes) {
    if (after?.kind !== 'sysctl') continue
    try {
      await access(fileOf(after.name), constants.W_OK)
    } catch (error) {
      // the device may be made by an earlier change
      if (errnoOf(error) === 'ENOENT') continue
      cause = error
      const actual = before?.kind === 'sysctl' ? before.value : 'absent'
      refused.push({ name: after.name, actual, wanted: after.value })
    }
  }
  const [first, ...rest] = refused
  if (first) throw readOnly([first, ...rest], cause)
}

async function writeSysctl(name: string, value: string): Promise<void> {
  const actual = await readSysctl(name)
  if (actual === value) return
  try {
    await writeFile(fileOf(name), `${value}\n`)
  } catch (cause) {
    throw readOnly([{ name, wanted: value, actual: actual ?? 'absent' }], cause)
  }
}

export async function changeSysctl({ after }: Change): Promise<void> {
  // A value that did not exist cannot be removed: its device is gone, or never was.
  if (after?.kind !== 'sysctl') return
  await writeSysctl(after.name, after.value)
  for (const [name, value] of Object.entries(after.also ?? {})) {
    if ((await readSysctl(name)) !== undefined) await writeSysctl(name, value)
  }
}
