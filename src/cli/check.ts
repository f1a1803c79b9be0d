// SPDX-License-Identifier: Apache-2.0
import { readConfigFile } from '../config/durable.ts'
import { readConfig } from '../config/load.ts'
import { DONE, type Io, printWarnings } from './io.ts'
import { parse } from './options.ts'

/** Works without a daemon. */
export function run(args: string[], io: Io): number {
  const { operands, values } = parse(args, {}, { min: 1, max: 1 })
  const [file = ''] = operands
  const { config, warnings } = readConfig(readConfigFile(file), file)
  printWarnings(io, warnings)
  io.out(values.json ? JSON.stringify(config, null, 2) : `${file}: the configuration is valid`)
  return DONE
}
