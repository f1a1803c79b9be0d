// SPDX-License-Identifier: Apache-2.0
/** Errors as RFC 9457 problem documents: a stable code, the remedy, and the JSON pointer of each fault. */
import type { FastifyError } from 'fastify'
import { Type } from 'typebox'
import { type ErrorCode, type Fault, GatewayError } from '../errors.ts'

export const FaultSchema = Type.Object({
  path: Type.String({ description: 'JSON pointer of the value.' }),
  message: Type.String(),
  remedy: Type.Optional(Type.String()),
  line: Type.Optional(Type.Integer({ description: 'Line of the YAML text.' })),
})

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'Where the code is described.' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'Stable name of the error.' }),
    detail: Type.Optional(Type.String()),
    instance: Type.String({ description: 'The path that was asked for.' }),
    remedy: Type.String(),
    faults: Type.Array(FaultSchema),
  },
  { description: 'Problem document (RFC 9457).' },
)

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail?: string
  readonly instance: string
  readonly remedy: string
  readonly faults: readonly Fault[]
}

export const PROBLEM_TYPE = 'application/problem+json'

export function toProblem(error: GatewayError, path: string): Problem {
  const { code, detail, status, remedy, faults, message } = error
  const title = detail === undefined ? message : message.slice(0, -(detail.length + 2))
  const type = `/openapi.json#/x-errors/${code}`
  return { type, title, status, code, ...(detail === undefined ? {} : { detail }), instance: path, remedy, faults }
}

type Validation = NonNullable<FastifyError['validation']>[number]

/** What JSON Schema calls the fault, in words that say what to write. */
function judged({ keyword, message = 'is wrong', params }: Validation): Pick<Fault, 'message' | 'remedy'> {
  const { allowedValues } = params as { allowedValues?: readonly unknown[] }
  if (keyword === 'enum' && allowedValues)
    return { message: 'is none of the allowed values', remedy: `Write one of ${allowedValues.join(', ')}.` }
  if (keyword === 'boolean') return { message: 'is not known here', remedy: 'Leave it out.' }
  return { message }
}

/** An error of the framework as one of ours. What is not known is internal and says nothing of itself. */
export function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const { validation, validationContext, code, statusCode, message } = error as Partial<FastifyError>
  if (validation) {
    const part = validationContext ?? 'request'
    const faults = validation.map((one) => ({ path: `/${part}${one.instancePath}`, ...judged(one) }))
    return new GatewayError('REQUEST_INVALID', { faults })
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new GatewayError('BODY_TOO_LARGE')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new GatewayError('BODY_TYPE')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new GatewayError('REQUEST_INVALID', message ? { detail: message } : {})
  return new GatewayError('INTERNAL', { cause: error })
}
