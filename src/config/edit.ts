// SPDX-License-Identifier: Apache-2.0
/** Edits of a configuration's YAML text that keep its comments and its order. */
import { type Document, isSeq, parseDocument, stringify, visit } from 'yaml'
import { type ErrorDetails, GatewayError } from '../errors.ts'
import { renderConfig } from './load.ts'
import type { Config } from './schema.ts'

export type StaticBinding = NonNullable<Config['nat64']>['static'][number]

const FORMAT = { version: '1.2', schema: 'core', lineWidth: 0 } as const
const PATH = ['nat64', 'static']

export function toYaml(value: unknown): string {
  return stringify(value, { ...FORMAT, aliasDuplicateObjects: false })
}

/** The text with one more static binding. Whether it is right is for loadConfig to say. */
export function addStatic(text: string, config: Config, binding: StaticBinding): string {
  if (!config.nat64) refuse('REQUEST_INVALID', { detail: 'nat64 is not configured' })
  return edited(text, config, (document) => {
    if (isSeq(document.getIn(PATH))) document.addIn(PATH, document.createNode(binding))
    else document.setIn(PATH, [binding])
  })
}

/** The text without the binding of that outside transport address. */
export function removeStatic(text: string, config: Config, key: Pick<StaticBinding, 'protocol' | 'outside'>): string {
  const index = (config.nat64?.static ?? []).findIndex(
    ({ protocol, outside }) => protocol === key.protocol && outside === key.outside,
  )
  if (index < 0) refuse('NOT_FOUND', { detail: `no static binding of ${key.protocol} ${key.outside}` })
  return edited(text, config, (document) => document.deleteIn([...PATH, index]))
}

function edited(text: string, config: Config, edit: (document: Document) => void): string {
  const written = parseDocument(text, FORMAT)
  // What an alias repeats would change with the original; the canonical text has no aliases.
  const document = hasAlias(written) ? parseDocument(renderConfig(config), FORMAT) : written
  edit(document)
  return document.toString({ lineWidth: 0 })
}

function hasAlias(document: Document): boolean {
  let found = false
  visit(document, {
    Alias() {
      found = true
      return visit.BREAK
    },
  })
  return found
}

function refuse(code: 'REQUEST_INVALID' | 'NOT_FOUND', details: ErrorDetails): never {
  throw new GatewayError(code, details)
}
