// SPDX-License-Identifier: Apache-2.0
/** YAML 1.2 to plain data, strictly: one document, no key twice, no tags, few aliases. */
import { type Document, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import { GatewayError } from '../errors.ts'

/** No sensible configuration is larger; the parser's work stays bounded. */
const MAX_TEXT = 4 * 2 ** 20

/** Aliases multiply (the "billion laughs"); this many nodes may stand for one. */
const MAX_ALIASES = 100

export interface YamlData {
  readonly value: unknown
  /** The line of the value with this JSON pointer, or of the nearest value around it. */
  lineOf(path: string): number | undefined
}

export function readYaml(text: string, origin: string): YamlData {
  const refuse = (line: number | undefined, column: number | undefined, why: string): never => {
    const place = line === undefined ? origin : `${origin}:${line}:${column ?? 1}`
    throw new GatewayError('CONFIG_SYNTAX', {
      detail: `${place}: ${why}`,
      faults: [{ path: '', message: `${place}: ${why}`, remedy: 'Mend this line.' }],
    })
  }
  if (text.length > MAX_TEXT) refuse(undefined, undefined, `is ${text.length} characters long, more than ${MAX_TEXT}`)
  const counter = new LineCounter()
  const document = parse(text, counter, refuse)
  // A warning is a tag or directive that would be passed over in silence.
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) {
    const [start, why] = [problem.linePos?.[0], problem.message.replace(/ at line \d+, column \d+:?[\s\S]*$/, '')]
    refuse(start?.line, start?.col, why)
  }
  visit(document, {
    Pair(_, pair) {
      if (isScalar(pair.key) && (typeof pair.key.value === 'string' || typeof pair.key.value === 'number')) return
      refuse(1, 1, 'has a key that is not text')
    },
  })
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    return { value, lineOf: (path) => lineOf(document, counter, path) }
  } catch (error) {
    return refuse(undefined, undefined, error instanceof Error ? error.message : String(error))
  }
}

function parse(
  text: string,
  lineCounter: LineCounter,
  refuse: (line: undefined, column: undefined, why: string) => never,
) {
  try {
    return parseDocument(text, { version: '1.2', schema: 'core', strict: true, uniqueKeys: true, lineCounter })
  } catch (error) {
    // Nesting deep enough to exhaust the parser's stack.
    if (error instanceof RangeError) return refuse(undefined, undefined, 'is nested too deep')
    throw error
  }
}

function lineOf(document: Document.Parsed, counter: LineCounter, path: string): number | undefined {
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  for (let depth = keys.length; depth > 0; depth--) {
    const node = document.getIn(
      keys.slice(0, depth).map((key) => (/^\d+$/.test(key) ? Number(key) : key)),
      true,
    )
    const range = (node as { range?: [number, number, number] } | undefined)?.range
    if (range) return counter.linePos(range[0]).line
  }
  return undefined
}
