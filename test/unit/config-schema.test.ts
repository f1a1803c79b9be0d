// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs'
import Value from 'typebox/value'
import { describe, expect, it } from 'vitest'
import { FORMATS } from '../../src/config/formats.ts'
import { loadConfig, validateConfig } from '../../src/config/load.ts'
import { documents, inputSchema } from '../../src/config/reference.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { type Node, validate } from '../../src/config/validate.ts'
import { GatewayError } from '../../src/errors.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
/** Without the formats, whose names typebox knows with other meanings. */
const SCHEMA = inputSchema() as never
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 32)

function* nodes(node: Node, path = ''): Generator<[string, Node]> {
  yield [path, node]
  if (node.items) yield* nodes(node.items, `${path}[]`)
  for (const [key, child] of Object.entries(node.properties ?? {})) yield* nodes(child, `${path}.${key}`)
}

describe('generated documents', () => {
  it.each(Object.entries(documents()))('%s is what the source says; `npm run generate` writes it', (path, text) => {
    expect(read(path)).toBe(text)
  })

  it('the reference has every key', () => {
    const reference = read('config/REFERENCE.md')
    for (const [path, node] of nodes(ConfigSchema as unknown as Node))
      if (path !== '' && !path.endsWith('[]') && (path.includes('.', 1) || node.type === undefined))
        expect(reference).toContain(`| \`${path.slice(1)}\` |`)
  })
})

describe('the example', () => {
  it('passes the check', () => {
    const config = loadConfig(read('config/example.yaml'), 'config/example.yaml')
    expect(config.nat64?.static).toHaveLength(1)
    expect(config.advertise[0]?.pref64).toBe('64:ff9b::/96')
  })

  it('is not the only one that does', () => {
    const directory = new URL('../../config/', import.meta.url)
    for (const name of readdirSync(directory).filter((name) => name.endsWith('.yaml')))
      expect(loadConfig(read(`config/${name}`), name).version, name).toBe(1)
  })
})

describe('the schema', () => {
  const KEYWORDS = [
    'type',
    'description',
    'default',
    'properties',
    'required',
    'additionalProperties',
    'items',
    'minItems',
    'maxItems',
    'enum',
    'const',
    'format',
    'minimum',
    'maximum',
    'minLength',
    'maxLength',
    'atLeast',
    'atMost',
  ]

  it('uses no keyword and no format that the validation does not know', () => {
    for (const [path, node] of nodes(ConfigSchema as unknown as Node)) {
      for (const keyword of Object.keys(node)) expect(KEYWORDS, path).toContain(keyword)
      if (node.format) expect(FORMATS, path).toHaveProperty([node.format])
    }
  })

  it('describes every key in a sentence', () => {
    for (const [path, node] of nodes(ConfigSchema as unknown as Node))
      expect(node.description, path).toMatch(/\S.*\.$/s)
  })

  it('refuses unknown keys everywhere', () => {
    for (const [path, node] of nodes(ConfigSchema as unknown as Node))
      if (node.type === 'object') expect(node, path).toMatchObject({ additionalProperties: false })
  })

  it('has defaults that are canonical', () => {
    for (const [path, node] of nodes(ConfigSchema as unknown as Node)) {
      if (node.default === undefined || node.type === 'object') continue
      const { value, faults } = validate(node as never, node.default)
      expect(faults, path).toEqual([])
      expect(value, path).toEqual(node.default)
    }
  })
})

/** The example with one value anywhere replaced, removed or added: none may crash, and typebox judges the same. */
describe(`spoilt configurations, with seed ${SEED}`, () => {
  let state = SEED
  const below = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  const JUNK: readonly unknown[] = [
    null,
    true,
    0,
    -1,
    1.5,
    70000,
    '',
    'x',
    '::',
    '0.0.0.0/0',
    '[::]:53',
    '1s',
    [],
    [null],
    [[]],
    {},
    { x: 1 },
    'tcp',
  ]

  function spoil(value: unknown): void {
    const isBranch = (child: unknown): child is object => typeof child === 'object' && child !== null
    const branch = value as Record<string, unknown>
    const keys = Object.keys(branch)
    const key = keys[below(keys.length)] ?? 'x'
    const child = branch[key]
    if (isBranch(child) && Object.keys(child).length > 0 && below(4)) return spoil(child)
    const action = below(6)
    if (action === 0) Array.isArray(value) ? value.splice(Number(key), 1) : delete branch[key]
    else if (action === 1) Array.isArray(value) ? value.push(value[0]) : (branch[`${key}s`] = child)
    else branch[key] = structuredClone(JUNK[below(JUNK.length)])
  }

  const example = loadConfig(read('config/example.yaml'))
  const full = () => structuredClone(example) as Record<string, unknown>

  it('are accepted whole, or refused with faults that have path, message and remedy', () => {
    for (let round = 0; round < 400; round++) {
      const input = full()
      for (let times = 0; times <= below(4); times++) spoil(input)
      try {
        const config = validateConfig(input)
        expect(Value.Check(SCHEMA, config), JSON.stringify(input)).toBe(true)
        expect(validateConfig(config)).toEqual(config)
      } catch (error) {
        if (!(error instanceof GatewayError)) throw new Error(JSON.stringify(input), { cause: error })
        expect(error.faults.length).toBeGreaterThan(0)
        for (const fault of error.faults)
          expect(fault, JSON.stringify(input)).toEqual({
            path: expect.stringMatching(/^(\/|$)/),
            message: expect.stringMatching(/./),
            remedy: expect.stringMatching(/\S/),
          })
        expect(new Set(error.faults.map(({ path, message }) => path + message)).size).toBe(error.faults.length)
      }
    }
  })

  it('are refused whenever typebox refuses them', () => {
    let refused = 0
    for (let round = 0; round < 400; round++) {
      const input = full()
      spoil(input)
      if (Value.Check(SCHEMA, input)) continue
      refused++
      expect(validate(ConfigSchema, input).faults.length, JSON.stringify(input)).toBeGreaterThan(0)
    }
    expect(refused).toBeGreaterThan(30)
  })
})
