// SPDX-License-Identifier: Apache-2.0
/**
 * A value against the schema: every fault at once, each with its JSON pointer, what is wrong and what to write;
 * and, without faults, the canonical value with its defaults. Nothing is coerced.
 *
 * typebox's own errors stop at the first missing key, report each branch of a union, and know neither remedies
 * nor canonical text; so the schema is walked here, and a test holds the walk against typebox's verdict.
 */
import type { TSchema } from 'typebox'
import { type Fault, GatewayError } from '../errors.ts'
import { FORMATS } from './formats.ts'
import { nearest } from './nearest.ts'
import { parseDuration, parseSize } from './units.ts'

/** The keywords of JSON Schema that src/config/schema.ts uses. */
export interface Node {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Node>>
  readonly required?: readonly string[]
  readonly items?: Node
  readonly minItems?: number
  readonly maxItems?: number
  readonly enum?: readonly string[]
  readonly const?: string | number
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  /** Bounds of a duration or a size, as text. */
  readonly atLeast?: string
  readonly atMost?: string
}

/** A list without a `maxItems` ends here. */
const MAX_ITEMS = 4096

const UNKNOWN_KEY = 'is not a key that is known here'

type Report = (path: string, message: string, remedy: string) => void

export interface Validated {
  /** Canonical and complete, except at the broken paths. */
  readonly value: unknown
  readonly faults: Fault[]
  /** Paths whose value is not to be used; an unknown key breaks nothing. */
  readonly broken: string[]
}

export function validate(schema: TSchema, input: unknown): Validated {
  const faults: Fault[] = []
  const broken: string[] = []
  const value = walk(schema as Node, input, '', (path, message, remedy) => {
    faults.push({ path, message, remedy })
    if (message !== UNKNOWN_KEY) broken.push(path)
  })
  return { value, faults, broken }
}

/** The value in canonical form; what is faulty is reported and left out. */
function walk(node: Node, value: unknown, path: string, report: Report): unknown {
  if (value === null) {
    report(path, 'has no value', path === '' ? 'Write at least `version: 1`.' : 'Write a value, or leave the key out.')
    return undefined
  }
  if (node.enum || node.const !== undefined) return oneOf(node.enum ?? [node.const], value, path, report)
  switch (node.type) {
    case 'object':
      return object(node, value, path, report)
    case 'array':
      return array(node, value, path, report)
    case 'string':
      return string(node, value, path, report)
    case 'integer':
      return integer(node, value, path, report)
    case 'boolean':
      if (typeof value === 'boolean') return value
      return wrongType(value, path, report, 'must be true or false', 'Write true or false.')
    default:
      throw new TypeError(`the schema has a node of a kind that is not known: ${JSON.stringify(node)}`)
  }
}

function object(node: Node, value: unknown, path: string, report: Report): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return wrongType(value, path, report, 'must be a section of keys', `Write keys such as ${keysOf(node)}.`)
  const properties = node.properties ?? {}
  const given = new Map(Object.entries(value))
  for (const key of given.keys())
    if (!Object.hasOwn(properties, key)) unknownKey(key, Object.keys(properties), path, report)
  const result: Record<string, unknown> = {}
  for (const [key, child] of Object.entries(properties)) {
    const at = `${path}/${escape(key)}`
    const wanted = given.has(key) && given.get(key) !== undefined ? given.get(key) : child.default
    if (wanted !== undefined) {
      const canonical = walk(child, wanted, at, report)
      if (canonical !== undefined) result[key] = canonical
    } else if (node.required?.includes(key)) {
      report(at, 'is missing', `Add ${key}: ${example(child)}`)
    }
  }
  return result
}

function unknownKey(key: string, known: readonly string[], path: string, report: Report): void {
  const close = nearest(key, known)
  const remedy = close ? `Did you mean ${close}?` : `Write one of ${known.join(', ')}.`
  report(`${path}/${escape(key)}`, UNKNOWN_KEY, remedy)
}

function array(node: Node, value: unknown, path: string, report: Report): unknown {
  const items = node.items ?? {}
  if (!Array.isArray(value))
    return wrongType(value, path, report, 'must be a list', `Write a list, as in [${example(items)}].`)
  if (value.length < (node.minItems ?? 0))
    report(path, 'is an empty list', `Write at least one, as in [${example(items)}].`)
  const most = node.maxItems ?? MAX_ITEMS
  if (value.length > most) return void report(path, `has ${value.length} entries`, `Write at most ${most}.`)
  return value.map((item, index) => walk(items, item ?? null, `${path}/${index}`, report))
}

function string(node: Node, value: unknown, path: string, report: Report): unknown {
  const shape = example(node)
  if (typeof value === 'number')
    return wrongType(
      value,
      path,
      report,
      'must be text',
      node.format === 'duration'
        ? `Write ${value}s, with a unit.`
        : node.format === 'size' || node.format === 'mss'
          ? `Write ${value}B, with a unit.`
          : `Write it in quotes, as in "${shape}".`,
    )
  if (typeof value !== 'string') return wrongType(value, path, report, 'must be text', `Write text, as in "${shape}".`)
  if (node.format !== undefined) return formatted(node, node.format, value, path, report)
  if (value.length < (node.minLength ?? 0)) report(path, 'is empty', `Write at least ${node.minLength} character.`)
  if (value.length > (node.maxLength ?? Number.POSITIVE_INFINITY))
    report(path, `is ${value.length} characters long`, `Write at most ${node.maxLength}.`)
  return value
}

function formatted(node: Node, name: string, value: string, path: string, report: Report): unknown {
  const format = FORMATS[name]
  if (!format) throw new TypeError(`the schema has a format that is not known: ${name}`)
  try {
    const canonical = format.canonical(value)
    return withinBounds(node, canonical, path, report) ? canonical : undefined
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const fault = error.faults[0]
    report(path, fault?.message ?? error.message, fault?.remedy ?? `Write ${format.example}.`)
    return undefined
  }
}

function withinBounds(node: Node, text: string, path: string, report: Report): boolean {
  if (!/^[0-9]/.test(text)) return true
  const measure = node.format === 'duration' ? parseDuration : parseSize
  const tooLow = node.atLeast !== undefined && measure(text) < measure(node.atLeast)
  const tooHigh = node.atMost !== undefined && measure(text) > measure(node.atMost)
  if (tooLow) report(path, `is ${text}, less than ${node.atLeast}`, `Write ${node.atLeast} or more.`)
  if (tooHigh) report(path, `is ${text}, more than ${node.atMost}`, `Write ${node.atMost} or less.`)
  return !tooLow && !tooHigh
}

function integer(node: Node, value: unknown, path: string, report: Report): unknown {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = node
  const range = node.maximum === undefined ? `from ${minimum}` : `from ${minimum} to ${maximum}`
  const remedy = `Write a whole number ${range}.`
  if (typeof value !== 'number') return wrongType(value, path, report, 'must be a whole number', remedy)
  if (!Number.isSafeInteger(value)) return wrongType(value, path, report, 'must be a whole number', remedy)
  if (value < minimum || value > maximum) report(path, `is ${value}, out of range`, remedy)
  return value
}

function oneOf(allowed: readonly unknown[], value: unknown, path: string, report: Report): unknown {
  if (allowed.includes(value)) return value
  const close = typeof value === 'string' ? nearest(value, allowed.map(String)) : undefined
  const choice = allowed.length === 1 ? `Write ${allowed[0]}.` : `Write one of ${allowed.join(', ')}.`
  report(path, `is ${show(value)}`, close && allowed.length > 1 ? `Did you mean ${close}? ${choice}` : choice)
  return undefined
}

function wrongType(value: unknown, path: string, report: Report, message: string, remedy: string): undefined {
  report(path, `${message}, but is ${show(value)}`, remedy)
}

/** A value as an operator would recognise it, short. */
function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'a section of keys'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text
  return typeof value === 'number' ? `the number ${shown}` : shown
}

function keysOf(node: Node): string {
  return Object.keys(node.properties ?? {})
    .slice(0, 3)
    .join(', ')
}

/** A value that the node would take, for remedies. */
export function example(node: Node): string {
  if (node.const !== undefined) return String(node.const)
  if (node.enum) return node.enum[0] ?? ''
  if (node.format) return FORMATS[node.format]?.example ?? ''
  if (node.type === 'array') return `[${example(node.items ?? {})}]`
  if (node.type === 'object')
    return `{ ${Object.keys(node.properties ?? {})
      .filter((key) => node.required?.includes(key) && node.properties?.[key]?.default === undefined)
      .slice(0, 3)
      .map((key) => `${key}: …`)
      .join(', ')} }`
  return { boolean: 'true', integer: String(node.minimum ?? 1), string: 'text' }[node.type ?? 'string'] ?? ''
}

/** RFC 6901 section 3. */
export function escape(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
