// SPDX-License-Identifier: Apache-2.0
/**
 * Edits of a configuration's YAML text. Only the list that changes is written anew, so the operator's own lines,
 * comments and order stay as they are.
 */
import { isDeepStrictEqual } from 'node:util'
import { Document, isMap, isScalar, isSeq, type Pair, parseDocument, stringify, visit, type YAMLMap } from 'yaml'
import { type ErrorDetails, GatewayError } from '../errors.ts'
import { renderConfig } from './load.ts'
import type { Config } from './schema.ts'

export type StaticBinding = NonNullable<Config['nat64']>['static'][number]

type Path = readonly [section: string, list: string] | readonly [list: string]

const FORMAT = { version: '1.2', schema: 'core', lineWidth: 0 } as const
const STATIC = ['nat64', 'static'] as const
const TUNNELS = ['tunnels'] as const

export function toYaml(value: unknown): string {
  return stringify(value, { ...FORMAT, aliasDuplicateObjects: false })
}

/** The text with one more static binding. Whether it is right is for loadConfig to say. */
export function addStatic(text: string, config: Config, binding: StaticBinding): string {
  if (!config.nat64) refuse('REQUEST_INVALID', { detail: 'nat64 is not configured' })
  return edited(text, config, STATIC, (document) => append(document, STATIC, binding))
}

/** The text without the binding of that outside transport address. */
export function removeStatic(text: string, config: Config, key: Pick<StaticBinding, 'protocol' | 'outside'>): string {
  const index = (config.nat64?.static ?? []).findIndex(
    ({ protocol, outside }) => protocol === key.protocol && outside === key.outside,
  )
  if (index < 0) refuse('NOT_FOUND', { detail: `no static binding of ${key.protocol} ${key.outside}` })
  return edited(text, config, STATIC, (document) => document.deleteIn([...STATIC, index]))
}

/** The text with this tunnel, in the place of the one of its name if there is one. */
export function putTunnel(text: string, config: Config, tunnel: Readonly<Record<string, unknown>>): string {
  const index = config.tunnels.findIndex(({ name }) => name === tunnel.name)
  return edited(text, config, TUNNELS, (document) => {
    if (index < 0) append(document, TUNNELS, tunnel)
    else document.setIn([...TUNNELS, index], document.createNode(tunnel, { flow: true }))
  })
}

export function removeTunnel(text: string, config: Config, name: string): string {
  const index = config.tunnels.findIndex((tunnel) => tunnel.name === name)
  if (index < 0) refuse('NOT_FOUND', { detail: `no tunnel is called ${name}` })
  return edited(text, config, TUNNELS, (document) => document.deleteIn([...TUNNELS, index]))
}

function append(document: Document, path: Path, value: unknown): void {
  const node = document.createNode(value, { flow: true })
  if (isSeq(document.getIn(path))) document.addIn(path, node)
  else document.setIn(path, document.createNode([node]))
}

function edited(text: string, config: Config, path: Path, edit: (document: Document) => void): string {
  const written = parseDocument(text, FORMAT)
  // What an alias repeats would change with the original; the canonical text has no aliases.
  const source = hasAlias(written) ? renderConfig(config) : text
  const target = parseDocument(source, FORMAT)
  edit(target)
  return spliced(source, target, path) ?? target.toString({ lineWidth: 0 })
}

/** The source with nothing but the list replaced; undefined when its shape does not allow that. */
function spliced(source: string, target: Document, path: Path): string | undefined {
  const whole = parseDocument(source, FORMAT)
  const key = path.at(-1) ?? ''
  const section = path.length === 1 ? whole.contents : whole.get(path[0])
  const first = isMap(section) && !section.flow ? rangeOf(section.items[0]) : undefined
  if (!first) return undefined
  const margin = ' '.repeat(first.start - (source.lastIndexOf('\n', first.start - 1) + 1))
  const list = renderList(target, path).replace(/\n(?=.)/g, `\n${margin}`)
  const { start, end, isNew } = placeOf(section as YAMLMap, key, first)
  const text = isNew
    ? `${source.slice(0, start)}${list}${margin}${source.slice(start)}`
    : `${source.slice(0, start)}${source[end - 1] === '\n' ? list : list.trimEnd()}${source.slice(end)}`
  return isDeepStrictEqual(parseDocument(text, FORMAT).toJS(), target.toJS()) ? text : undefined
}

/** `static:` and its list, or nothing but its key's name and `[]`; ends with a line feed. */
function renderList(target: Document, path: Path): string {
  const part = new Document({}, FORMAT)
  part.set(path.at(-1), target.getIn(path, true))
  return part.toString({ lineWidth: 0 })
}

interface Range {
  readonly start: number
  readonly end: number
}

/** Where the list stands, or where a new one goes: before the first key of its section. */
function placeOf(section: YAMLMap, name: string, first: Range): Range & { readonly isNew: boolean } {
  const pair = section.items.find(({ key }) => isScalar(key) && key.value === name)
  const range = rangeOf(pair)
  return range ? { ...range, isNew: false } : { start: first.start, end: first.start, isNew: true }
}

function rangeOf(pair: Pair | undefined): Range | undefined {
  const [key, value] = [pair?.key, pair?.value].map((node) => (node as { range?: [number, number, number] })?.range)
  return key && value ? { start: key[0], end: value[1] } : undefined
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
