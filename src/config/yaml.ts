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

/** Ten levels are more than the schema has. The parser's work grows with the depth, to seconds for brackets alone. */
const MAX_DEPTH = 64
const TOO_DEEP = 'is nested too deep'

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
    checkDepth(text, counter)
    const document = parse(text, counter)
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    return { value, lineOf: lineFinder(document, counter) }
  } catch (error) {
    throw syntaxError(error, counter, origin)
  }
}

/**
 * Refuses brackets, and list entries in one line, that go deeper than MAX_DEPTH, without parsing. What stands in quotes
 * or behind `#` opens nothing.
 */
function checkDepth(text: string, counter: LineCounter): void {
  const compact = new RegExp(`^ *(?:[-?] +){${MAX_DEPTH}}`, 'm').exec(text)
  if (compact) throw tooDeep(text, counter, compact.index)
  const mark = /(?<![^\s[{,])["'#]|[[{\]}]/g
  let depth = 0
  for (let found = mark.exec(text); found; found = mark.exec(text)) {
    const { 0: sign, index } = found
    if (sign === '[' || sign === '{') depth++
    else if (sign === ']' || sign === '}') depth = Math.max(0, depth - 1)
    else mark.lastIndex = endOf(text, sign === '#' ? '\n' : sign, index + 1)
    if (depth > MAX_DEPTH) throw tooDeep(text, counter, index)
  }
}

/** The parser, which counts the lines, has not come to it. */
function tooDeep(text: string, counter: LineCounter, offset: number): Problem {
  counter.addNewLine(0)
  for (const { index } of text.matchAll(/\n/g)) counter.addNewLine(index + 1)
  return new Problem(offset, TOO_DEEP)
}

function endOf(text: string, sign: string, from: number): number {
  const end = text.indexOf(sign, from)
  return end < 0 ? text.length : end + 1
}

function syntaxError(error: unknown, counter: LineCounter, origin: string): unknown {
  if (!(error instanceof Problem || error instanceof ReferenceError || error instanceof RangeError)) return error
  const offset = error instanceof Problem ? error.offset : undefined
  const { line, col } = offset === undefined ? {} : counter.linePos(offset)
  const place = line === undefined ? origin : `${origin}:${line}:${col}`
  // The parser reports an exhausted stack as a problem of the text, and so it is.
  const why = /call stack/i.test(error.message) ? TOO_DEEP : error.message
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
