// SPDX-License-Identifier: Apache-2.0
/** Finds the command's module, and turns what it throws into words and an exit code. */
import { COMMANDS, loadCommand, usageOf } from './commands.ts'
import { type Io, printable, printError, REFUSED, USAGE, UsageError } from './io.ts'
import { GLOBAL_OPTIONS } from './options.ts'

/** Options before the command belong to it like those behind. */
function split(args: readonly string[]): { name: string | undefined; rest: string[] } {
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? ''
    if (!argument.startsWith('-')) return { name: argument, rest: [...args.slice(0, index), ...args.slice(index + 1)] }
    const option = Object.entries(GLOBAL_OPTIONS).find(([name]) => argument === `--${name}`)
    if (option?.[1].type === 'string') index++
  }
  return { name: undefined, rest: [...args] }
}

export async function main(args: readonly string[], io: Io): Promise<number> {
  const { name, rest } = split(args)
  const isHelp = rest.includes('--help') || rest.includes('-h')
  try {
    if (name === undefined) return await withoutCommand(isHelp, rest.includes('--version'), io)
    if (!isCommand(name)) throw new UsageError(`there is no command ${JSON.stringify(name)}`)
    const command = await loadCommand(isHelp ? 'help' : name)
    return await command.run(isHelp ? [name] : rest, io)
  } catch (error) {
    if (!(error instanceof UsageError)) {
      printError(io, error)
      return REFUSED
    }
    const hint = name !== undefined && isCommand(name) ? usageOf(name) : 'see `sixgate help`'
    io.err(printable(`sixgate: ${error.message}; ${hint}`))
    return USAGE
  }
}

async function withoutCommand(isHelp: boolean, isVersion: boolean, io: Io): Promise<number> {
  if (!isHelp && !isVersion) throw new UsageError('a command is missing')
  return (await loadCommand(isHelp ? 'help' : 'version')).run([], io)
}

function isCommand(name: string): boolean {
  return Object.hasOwn(COMMANDS, name)
}
