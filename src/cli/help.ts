// SPDX-License-Identifier: Apache-2.0
import { COMMANDS, helpText, usageOf } from './commands.ts'
import { DONE, type Io, UsageError } from './io.ts'
import { parse } from './options.ts'

export function run(args: string[], io: Io): number {
  const [name] = parse(args, {}, { min: 0, max: 1 }).operands
  if (name === undefined) {
    for (const line of helpText()) io.out(line)
    return DONE
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!command) throw new UsageError(`there is no command ${JSON.stringify(name)}`)
  io.out(usageOf(name))
  io.out(`  ${command.summary}`)
  return DONE
}
