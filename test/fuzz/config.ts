// SPDX-License-Identifier: Apache-2.0
/** Spoilt configuration files: each is refused by a GatewayError with its faults, or is a Config that survives its own text. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, renderConfig, validateConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { GatewayError } from '../../src/errors.ts'
import type { Random } from '../oracle/random.ts'

const root = join(import.meta.dirname, '../..')
const SAMPLES = ['config/example.yaml', 'config/lab.yaml'].map((path) => readFileSync(join(root, path), 'utf8'))

/** Of YAML, JSON, addresses, durations and sizes: what stands at an edge of one of them. */
const TOKENS = [
  ...[
    '&a',
    '*a',
    '<<: *a',
    '!!binary',
    '!!js/function',
    '!a',
    '---',
    '...',
    '? ',
    ': ',
    '- ',
    '#',
    '|',
    '>',
    '%YAML 1.1',
  ],
  ...[
    '{}',
    '[]',
    '[[',
    '{a: b, a: c}',
    '"',
    "'",
    '"\\u0000"',
    '\\',
    '\t',
    '\r',
    '\0',
    '\u2028',
    '\ud800',
    '\ufeff',
    '~',
  ],
  ...[
    'null',
    'true',
    'yes',
    '.nan',
    '.inf',
    '-0',
    '1e400',
    '0x10',
    '0o17',
    '1_000',
    '99999999999999999999',
    '-1',
    '65536',
  ],
  ...[
    '::',
    '::/0',
    '::/129',
    '64:ff9b::/96',
    '2001:db8::/32',
    'fe80::1%lan0',
    '::ffff:192.0.2.1',
    '[::1]:53',
    '0.0.0.0/0',
  ],
  ...[
    '192.0.2.0/33',
    '192.0.2.1/24',
    '010.0.0.1',
    '1024-65535',
    '65535-1024',
    '0s',
    '5m',
    '1h60m',
    '64MiB',
    '9999999TiB',
  ],
  ...[
    '__proto__: 1',
    'constructor: {}',
    'toString',
    'tcp',
    'nat64',
    'dns64:',
    'version: 2',
    'x'.repeat(5000),
    'é'.repeat(300),
  ],
]

function spoilLine(random: Random, lines: string[]): void {
  const at = random.below(lines.length)
  const line = lines[at] ?? ''
  const column = random.below(line.length + 1)
  const actions = [
    () => lines.splice(at, 1),
    () => lines.splice(random.below(lines.length), 0, line),
    () => lines.splice(at, 1, ` ${line}`),
    () => lines.splice(at, 1, line.replace(/^ {1,2}/, '')),
    () => lines.splice(at, 1, line.replace(/(: |- ).*$/, `$1${random.of(TOKENS)}`)),
    () => lines.splice(at, 1, line.replace(/[\w.:/-]+$/, random.of(TOKENS))),
    () => lines.splice(at, 1, line.slice(0, column) + random.of(TOKENS) + line.slice(column)),
    () => lines.splice(at, 1, line.slice(0, column) + line.slice(column + 1)),
    () => lines.splice(at, 1, line.slice(0, column) + String.fromCharCode(random.below(128)) + line.slice(column + 1)),
    () => lines.splice(at, random.below(lines.length - at + 1)),
  ]
  random.of(actions)()
  if (lines.length === 0) lines.push('')
}

/** One value of the tree replaced, which is valid YAML for certain. */
function spoilValue(random: Random, value: unknown): unknown {
  const odd = [null, true, -1, 1e9, 0.5, Number.NaN, '', [], {}, [null], { a: 1 }, random.of(TOKENS)]
  if (typeof value !== 'object' || value === null || random.once(6)) return random.of(odd)
  const copy = structuredClone(value) as Record<string, unknown>
  const key = random.of(Object.keys(copy))
  if (key === undefined) return random.of(odd)
  if (random.once(8)) Array.isArray(copy) ? copy.splice(Number(key), 1) : delete copy[key]
  else if (random.once(12) && Array.isArray(copy)) copy.push(structuredClone(copy[Number(key)]))
  else copy[key] = spoilValue(random, copy[key])
  return copy
}

/** A refusal names what is wrong; anything else thrown is a fault of ours. */
function judged(load: () => Config): Config | undefined {
  try {
    return load()
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    assert.match(error.code, /^CONFIG_(?:INVALID|SYNTAX)$/)
    assert.ok(error.message.length > 0)
    for (const { path, message } of error.faults ?? []) {
      assert.match(path, /^(?:$|\/)/)
      assert.ok(message.length > 0)
    }
    return undefined
  }
}

function checkConfig(config: Config): void {
  assert.ok(Object.isFrozen(config))
  assert.deepEqual(loadConfig(renderConfig(config)), config)
  assert.deepEqual(validateConfig(JSON.parse(JSON.stringify(config))), config)
}

export function config(random: Random): void {
  const sample = random.of(SAMPLES)
  if (random.once(2)) {
    const lines = sample.split('\n')
    for (let times = 1 + random.below(4); times > 0; times--) spoilLine(random, lines)
    const loaded = judged(() => loadConfig(lines.join('\n'), 'fuzz.yaml'))
    if (loaded) checkConfig(loaded)
    return
  }
  let tree: unknown = loadConfig(sample)
  for (let times = 1 + random.below(3); times > 0; times--) tree = spoilValue(random, tree)
  const loaded = judged(() => validateConfig(tree))
  if (loaded) checkConfig(loaded)
}
