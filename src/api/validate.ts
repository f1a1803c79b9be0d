// SPDX-License-Identifier: Apache-2.0
/** Requests against their schemas. Nothing is repaired, only text that must be a number is read as one. */
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/** A body is taken as it is or refused; query strings, path parameters and headers are text by nature. */
export const validator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema)
  return (value) => {
    const read = httpPart === 'body' ? value : Value.Convert(schema, Value.Default(schema, { ...value }))
    if (check.Check(read)) return { value: read }
    return { error: check.Errors(read) as unknown as Error }
  }
}

/** For a configuration as body: loadConfig judges it, naming every fault at once with its remedy. */
export const bodyJudgedLater: FastifySchemaCompiler<TSchema> = (route) =>
  route.httpPart === 'body' ? () => true : validator(route)
