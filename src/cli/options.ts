// SPDX-License-Identifier: Apache-2.0
/** The options every command shares, and the directories that follow from them. */

import { join } from 'node:path'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { UsageError } from './io.ts'

export const GLOBAL_OPTIONS = {
  instance: { type: 'string' },
  'run-directory': { type: 'string' },
  'state-directory': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

export interface Directories {
  readonly instance: string | undefined
  readonly run: string
  readonly state: string
}

type Options = NonNullable<ParseArgsConfig['options']>

/** parseArgs with the shared options; a wrong command line is a UsageError of one line. */
export function parse<O extends Options>(args: string[], options: O, operands: { min: number; max: number }) {
  const all = { ...options, ...GLOBAL_OPTIONS }
  const parsed = attempt(() => parseArgs({ args, options: all, allowPositionals: true, strict: true }))
  const { length } = parsed.positionals
  if (length < operands.min) throw new UsageError('an operand is missing')
  if (length > operands.max)
    throw new UsageError(`unexpected operand ${JSON.stringify(parsed.positionals[operands.max])}`)
  return { values: parsed.values, operands: parsed.positionals, directories: directories(parsed.values) }
}

function directories(values: { [name: string]: unknown }): Directories {
  const instance = values.instance as string | undefined
  // It becomes part of the names of kernel objects and directories.
  if (instance !== undefined && !/^[a-z0-9][a-z0-9_-]{0,31}$/.test(instance))
    throw new UsageError('--instance takes 1 to 32 lower-case letters, digits, "-" and "_"')
  const name = instance === undefined ? 'sixgate' : `sixgate-${instance}`
  return {
    instance,
    run: (values['run-directory'] as string | undefined) ?? join('/run', name),
    state: (values['state-directory'] as string | undefined) ?? join('/var/lib', name),
  }
}

function attempt<T>(action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { message } = error as Error
    throw new UsageError(message.split('. ')[0] ?? message)
  }
}
