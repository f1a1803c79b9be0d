// SPDX-License-Identifier: Apache-2.0
/** YAML 1.2 to plain data, strictly: one document, no key twice, no tags, few aliases. */
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'
import { GatewayError } from '../errors.ts'
import { escape } from './validate.ts'

/** Some tens of thousands of static bindings fit; the parser's work stays bounded. */
const MAX_TEXT = 4 * 2 ** 20

/** Aliases multiply (the "billion laughs"); this many nodes may stand for one. */
const MAX_ALIASES = 100

export interface YamlData {
  readonly value: unknown
  /** The line of the value with this JSON pointer, or of the nearest value around it. */
  lineOf(path: string): number | undefined
}

/** Where in the text, counted in characters, and what is wrong there. */
class Problem extends Error {
  readonly offset: number | undefined

  constructor(offset: number | undefined, message: string) {
    super(message)
    this.offset = offset
  }
}

export function readYaml(text: string, origin: string): YamlData {
  const counter = new LineCounter()
  try {
    if (text.length > MAX_TEXT) throw new Problem(undefined, `is ${text.length} characters long, more than ${MAX_TEXT}`)
    const document = parse(text, counter)
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    return { value, lineOf: lineFinder(document, counter) }
  } catch (error) {
    throw syntaxError(error, counter, origin)
  }
}

function syntaxError(error: unknown, counter: LineCounter, origin: string): unknown {
  if (!(error instanceof Problem || error instanceof ReferenceError || error instanceof RangeError)) return error
  const offset = error instanceof Problem ? error.offset : undefined
  const { line, col } = offset === undefined ? {} : counter.linePos(offset)
  const place = line === undefined ? origin : `${origin}:${line}:${col}`
  // The parser reports an exhausted stack as a problem of the text, and so it is.
  const why = /call stack/i.test(error.message) ? 'is nested too deep' : error.message
  const fault = { path: '', message: `${place}: ${why}`, remedy: 'Mend this line.', ...(line && { line }) }
  return new GatewayError('CONFIG_SYNTAX', { detail: fault.message, faults: [fault] })
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed {
  // Keys are compared below in linear time; the parser's own comparison and its long messages are quadratic.
  const options = { version: '1.2', schema: 'core', strict: true, uniqueKeys: false, prettyErrors: false } as const
  const document = parseDocument(text, { ...options, lineCounter })
  // A warning is a tag or a directive that would be passed over in silence.
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem?.code === 'MULTIPLE_DOCS') throw new Problem(problem.pos[0], 'begins a second document')
  if (problem) throw new Problem(problem.pos[0], problem.message)
  visit(document, { Map: (_, map) => checkKeys(map) })
  return document
}

function checkKeys(map: YAMLMap): void {
  const seen = new Set<string>()
  for (const { key } of map.items) {
    const offset = (key as ParsedNode | null)?.range?.[0]
    if (!isScalar(key) || (typeof key.value !== 'string' && typeof key.value !== 'number'))
      throw new Problem(offset, 'has a key that is not text')
    if (seen.has(String(key.value))) throw new Problem(offset, `has the key ${JSON.stringify(key.value)} twice`)
    seen.add(String(key.value))
  }
}

/** The offset of each value by its JSON pointer. */
function index(node: unknown, path: string, offsets: Map<string, number>): Map<string, number> {
  const range = (node as ParsedNode | null)?.range
  if (range && !offsets.has(path)) offsets.set(path, range[0])
  if (isMap(node))
    for (const { key, value } of node.items) index(value ?? key, `${path}/${escape(String(key))}`, offsets)
  if (isSeq(node)) for (const [at, item] of node.items.entries()) index(item, `${path}/${at}`, offsets)
  return offsets
}

function lineFinder(document: Document.Parsed, counter: LineCounter): YamlData['lineOf'] {
  let offsets: Map<string, number> | undefined
  return (path) => {
    offsets ??= index(document.contents, '', new Map())
    for (let at = path; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
      const offset = offsets.get(at)
      if (offset !== undefined) return counter.linePos(offset).line
    }
    return undefined
  }
}
