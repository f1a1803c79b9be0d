// SPDX-License-Identifier: Apache-2.0
/** Requests to the running daemon through its unix socket. */
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Problem } from '../api/problem.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../errors.ts'
import type { Directories } from './options.ts'

const TIMEOUT = 120_000

export interface Request {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** The answer's body. A problem document becomes the GatewayError it was made from. */
export async function ask({ run }: Directories, { method = 'GET', path, headers, body }: Request): Promise<string> {
  const socketPath = join(run, 'api.sock')
  const { status, body: answer } = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const call = request({ socketPath, method, path, headers: { ...headers }, timeout: TIMEOUT, agent: false })
    call.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)))
    call.on('error', reject)
    call.end(body)
  }).catch((cause: Error) => {
    throw new GatewayError('DAEMON_UNREACHABLE', { detail: `${socketPath}: ${cause.message}`, cause })
  })
  if (status >= 400) throw fromProblem(answer)
  return answer
}

/** Each line of an answer that comes bit by bit, as it comes. */
export async function follow({ run }: Directories, path: string, onLine: (line: string) => void): Promise<void> {
  const socketPath = join(run, 'api.sock')
  const unreachable = (cause: Error) =>
    new GatewayError('DAEMON_UNREACHABLE', { detail: `${socketPath}: ${cause.message}`, cause })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const call = request({ socketPath, path, agent: false })
    call.on('response', resolve)
    call.on('error', (cause) => reject(unreachable(cause)))
    call.end()
  })
  if ((response.statusCode ?? 0) >= 400) throw fromProblem(await text(response))
  let rest = ''
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      const lines = `${rest}${chunk}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    }
  } catch (cause) {
    throw unreachable(cause as Error)
  }
}

export async function askJson<T>(directories: Directories, request: Request): Promise<T> {
  return JSON.parse(await ask(directories, request)) as T
}

function fromProblem(text: string): GatewayError {
  const problem = attempt(() => JSON.parse(text) as Partial<Problem>) ?? {}
  const { code, detail, faults } = problem
  if (code === undefined || !Object.hasOwn(ERRORS, code))
    return new GatewayError('INTERNAL', { detail: text.slice(0, 200) })
  return new RemoteError(code, problem, { ...(detail === undefined ? {} : { detail }), ...(faults ? { faults } : {}) })
}

/** The sentences come filled in from the daemon. */
class RemoteError extends GatewayError {
  constructor(
    code: ErrorCode,
    { title, remedy }: Partial<Problem>,
    details: ConstructorParameters<typeof GatewayError>[1],
  ) {
    super(code, details)
    const filled = { message: details?.detail ? `${title}: ${details.detail}` : title, remedy }
    Object.assign(this, filled)
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch {
    return undefined
  }
}
