// SPDX-License-Identifier: Apache-2.0
/** From text or data to a Config: complete, canonical, frozen; or every fault at once. */
import { stringify } from 'yaml'
import { type Fault, GatewayError } from '../errors.ts'
import { crossCheck } from './check.ts'
import { type Config, ConfigSchema } from './schema.ts'
import { validate } from './validate.ts'
import { warningsOf } from './warnings.ts'
import { readYaml } from './yaml.ts'

export interface Loaded {
  readonly config: Config
  /** What is allowed, and hardly what was meant. */
  readonly warnings: readonly Fault[]
}

/** Reads YAML; `origin` (a file name) begins the message of a syntax error. */
export function readConfig(text: string, origin = 'configuration'): Loaded {
  const { value, lineOf } = readYaml(text, origin)
  const locate = (fault: Fault) => {
    const line = lineOf(fault.path)
    return line === undefined ? fault : { ...fault, line }
  }
  const config = checked(value, locate)
  return { config, warnings: warningsOf(config).map(locate) }
}

/** The same without the warnings. */
export function loadConfig(text: string, origin?: string): Config {
  return readConfig(text, origin).config
}

/** The same for data that was JSON. */
export function validateConfig(value: unknown): Config {
  return checked(value, (fault) => fault)
}

/** YAML whose reload equals the configuration. */
export function renderConfig(config: Config): string {
  return stringify(config, { version: '1.2', schema: 'core', lineWidth: 0, aliasDuplicateObjects: false })
}

function checked(value: unknown, locate: (fault: Fault) => Fault): Config {
  const { value: canonical, faults, broken } = validate(ConfigSchema, value)
  faults.push(...crossCheck(canonical as Config, broken))
  if (faults.length > 0)
    throw new GatewayError('CONFIG_INVALID', { detail: summary(faults), faults: faults.map(locate) })
  return deepFreeze(canonical as Config)
}

function summary(faults: readonly Fault[]): string {
  const [first] = faults
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return `${first?.path || 'the whole'} ${first?.message}${more}`
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
