// SPDX-License-Identifier: Apache-2.0
/** The generated documents: config/schema.json, config/REFERENCE.md and config/ERRORS.md. */
import { ERRORS } from '../errors.ts'
import { FORMATS } from './formats.ts'
import { ConfigSchema } from './schema.ts'
import type { Node } from './validate.ts'

const SCHEMA = ConfigSchema as unknown as Node

const NOTICE = 'Generated from the source by `npm run generate`; do not edit.'

/** The files by their path below the top of the tree. */
export function documents(): Record<string, string> {
  return { 'config/schema.json': jsonSchema(), 'config/REFERENCE.md': reference(), 'config/ERRORS.md': errors() }
}

function jsonSchema(): string {
  const head = { $schema: 'https://json-schema.org/draft/2020-12/schema', $comment: NOTICE, title: 'sixgate' }
  return `${JSON.stringify({ ...head, ...inputSchema() }, null, 2)}\n`
}

/**
 * The schema of what an operator writes, for editors and OpenAPI: keys with a default may be left out, and formats
 * have names of our own, since `duration` means ISO 8601 in JSON Schema.
 */
export function inputSchema(node: Node = SCHEMA): Node {
  const { properties, items, required, format, ...rest } = node
  const needed = required?.filter((key) => properties?.[key]?.default === undefined) ?? []
  return {
    ...rest,
    ...(format && { format: format === 'ipv4' || format === 'ipv6' ? format : `sixgate-${format}` }),
    ...(items && { items: inputSchema(items) }),
    ...(needed.length > 0 && { required: needed }),
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, child]) => [key, inputSchema(child)])),
    }),
  }
}

interface Row {
  readonly path: string
  readonly node: Node
  readonly required: boolean
}

function reference(): string {
  const { properties = {} } = SCHEMA
  const top = table(
    rowsOf(SCHEMA, '').filter(({ path }) => Object.hasOwn(properties, path) && isPlain(properties[path])),
  )
  const sections = Object.entries(properties)
    .filter(([, node]) => !isPlain(node))
    .map(([key, node]) => `## \`${key}\`\n\n${node.description}${note(node)}\n\n${table(rowsBelow(node, key))}`)
  return [
    `# Configuration reference\n\n${NOTICE}`,
    'One YAML file. A key that is not listed here is an error. `key[]` is an entry of a list. A key without a ' +
      'default may be left out unless it is marked required.',
    `## Top level\n\n${top}`,
    ...sections,
    `## Forms of text\n\n${formats()}`,
  ].join('\n\n')
}

function isPlain(node: Node | undefined): boolean {
  return node?.type !== 'object' && node?.type !== 'array'
}

/** Whether a section is there without being written. */
function note(node: Node): string {
  if (node.type === 'array') return ' A list, empty when left out.'
  return node.default === undefined ? ' Off when left out.' : ''
}

function rowsBelow(node: Node, path: string): Row[] {
  return node.type === 'array' ? rowsOf(node.items ?? {}, `${path}[].`) : rowsOf(node, `${path}.`)
}

function rowsOf(node: Node, prefix: string): Row[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const path = `${prefix}${key}`
    const required = child.default === undefined && (node.required ?? []).includes(key)
    const isNested = child.type === 'object' || child.items?.type === 'object'
    return [{ path, node: child, required }, ...(isNested ? rowsBelow(child, path) : [])]
  })
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ path, node, required }) =>
      `| \`${path}\` | ${typeOf(node)} | ${required ? 'required' : fallback(node)} | ${meaning(node)} |`,
  )
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...lines].join('\n')
}

function typeOf(node: Node): string {
  if (node.const !== undefined) return `\`${node.const}\``
  if (node.enum) return node.enum.map((word) => `\`${word}\``).join(', ')
  if (node.type === 'array')
    return node.items?.type === 'object' ? 'list of sections' : `list of ${typeOf(node.items ?? {})}`
  if (node.type === 'object') return 'section'
  if (node.format) return `[${node.format}](#forms-of-text)`
  return node.type === 'string' ? 'text' : (node.type ?? '')
}

function fallback(node: Node): string {
  if (node.default === undefined || node.type === 'object') return ''
  return `\`${typeof node.default === 'string' ? node.default : JSON.stringify(node.default)}\``
}

function meaning(node: Node): string {
  return [node.description, bounds(node)].filter(Boolean).join(' ')
}

function bounds(node: Node): string {
  const [least, most] = [node.atLeast ?? node.minimum, node.atMost ?? node.maximum]
  if (least !== undefined && most !== undefined) return `From ${least} to ${most}.`
  if (least !== undefined) return `At least ${least}.`
  if (most !== undefined) return `At most ${most}.`
  return node.minItems ? 'At least one.' : ''
}

function formats(): string {
  const lines = Object.entries(FORMATS).map(
    ([name, { example, meaning }]) => `| ${name} | \`${example}\` | ${meaning} |`,
  )
  return ['| form | example | meaning |', '|---|---|---|', ...lines].join('\n').concat('\n')
}

function errors(): string {
  const lines = Object.entries(ERRORS).map(
    ([code, { status, title, remedy }]) => `| \`${code}\` | ${status} | ${title} | ${remedy.replaceAll('|', '\\|')} |`,
  )
  return [
    `# Errors\n\n${NOTICE}`,
    'The `code` of a problem document (RFC 9457) and of `--json` output. The CLI exits 1 with any of them, 2 when the ' +
      'command line itself is wrong. A fault of an input has the JSON pointer of the value, what is wrong, and what to write.',
    ['| code | HTTP status | title | what to do |', '|---|---|---|---|', ...lines].join('\n').concat('\n'),
  ].join('\n\n')
}
