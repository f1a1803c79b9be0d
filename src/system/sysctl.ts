// SPDX-License-Identifier: Apache-2.0
/** /proc/sys as resources. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
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

async function writeSysctl(name: string, value: string): Promise<void> {
  const actual = await readSysctl(name)
  if (actual === value) return
  try {
    await writeFile(fileOf(name), `${value}\n`)
  } catch (cause) {
    throw new GatewayError('SYSCTL_READONLY', { values: { name, wanted: value, actual: actual ?? 'absent' }, cause })
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
