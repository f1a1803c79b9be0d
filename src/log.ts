// SPDX-License-Identifier: Apache-2.0
/** Structured log: JSON lines on standard error, secrets removed. */
import { type DestinationStream, destination, type Logger, pino } from 'pino'
import type { Config } from './config/schema.ts'

export type Log = Logger

/** Where a secret could stand in a logged object. */
const SECRETS = [
  'authorization',
  'token',
  'tokens',
  '*.authorization',
  '*.token',
  '*.tokens',
  '*.sha256',
  '*.headers.authorization',
  '*.*.tokens',
]

/** There is one for each part of the daemon, never one for a packet or a query. */
const CHILDREN = new WeakMap<Log, readonly Log[]>()

interface LoggedError {
  readonly message: string
  readonly code?: unknown
  readonly remedy?: unknown
  readonly stack?: string
  readonly cause?: unknown
}

/** What of an error is worth a line: not the buffers and sockets that hang from it. */
function describe(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const { message, code, remedy, stack, cause } = error as LoggedError
  return {
    message,
    ...(code !== undefined && { code }),
    ...(remedy !== undefined && { remedy }),
    // an error with a code is told by its sentence
    ...(code === undefined && { stack }),
    ...(cause !== undefined && depth < 4 && { cause: describe(cause, depth + 1) }),
  }
}

export function createLog(
  level: Config['log']['level'] = 'info',
  stream: DestinationStream = destination({ dest: 2, sync: true }),
): Log {
  const children: Log[] = []
  const log = pino(
    {
      level,
      onChild: (child) => void children.push(child),
      base: null,
      redact: { paths: SECRETS, censor: '[redacted]' },
      serializers: { err: (error) => describe(error) },
    },
    stream,
  )
  CHILDREN.set(log, children)
  return log
}

/** A child has a level of its own, so a change must be told to each. */
export function setLevel(log: Log, level: Config['log']['level']): void {
  for (const one of [log, ...(CHILDREN.get(log) ?? [])]) one.level = level
}

export const silentLog: Log = pino({ level: 'silent' })
