// SPDX-License-Identifier: Apache-2.0
/** Every command of the CLI in one table: help, usage errors and the README's section are made of it. */
import type { Io } from './io.ts'

export interface CommandModule {
  run(args: string[], io: Io): Promise<number> | number
}

export interface Command {
  readonly usage: string
  readonly summary: string
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  run: {
    usage: 'run [-c FILE] [--last-good]',
    summary: 'run the gateway; --last-good starts with the last good configuration when FILE is faulty',
  },
  check: {
    usage: 'check FILE',
    summary: 'judge a configuration without using it',
  },
  apply: {
    usage: 'apply FILE [--confirm 60s]',
    summary: 'change the running configuration; with --confirm it is undone unless confirmed in time',
  },
  confirm: {
    usage: 'confirm',
    summary: 'keep the change that waits for confirmation',
  },
  rollback: {
    usage: 'rollback',
    summary: 'undo the change that waits for confirmation',
  },
  diff: {
    usage: 'diff [FILE]',
    summary: 'show how FILE, or the file the daemon was started with, differs from what runs',
  },
  show: {
    usage:
      'show status|sessions|bindings|tunnels|dns64|drops|clients|policy [--protocol P] [--address A] [--limit N] [--last]',
    summary: 'show the state of the running gateway; drops --last adds the last packets lost for each reason',
  },
  trace: {
    usage: 'trace [--from A] [--to A] [--protocol P] [--limit N] [--seconds S] [--inject PACKET]',
    summary:
      'follow matching packets through the gateway, live; --inject shows what would become of one, which is not sent',
  },
  address: {
    usage: 'address [who [-c FILE]] TEXT…',
    summary:
      'canonical form, kind and NAT64 form of addresses; who says whose an outside address and port is, and what a client has',
  },
  resolve: {
    usage: 'resolve NAME [TYPE] [@SERVER]',
    summary: 'ask a name server',
  },
  lab: {
    usage: 'lab [--once]',
    summary: 'client, gateway and server in network namespaces of this machine',
  },
  version: { usage: 'version', summary: 'print the version' },
  help: { usage: 'help [COMMAND]', summary: 'print this, or one command' },
}

/** Loaded when it is needed: `sixgate address` does not wait for the HTTP server's code. */
export function loadCommand(name: string): Promise<CommandModule> {
  return import(new URL(`./${name}.ts`, import.meta.url).href)
}

const SHARED = [
  ['--json', 'JSON instead of tables'],
  ['--instance NAME', 'another gateway on this host'],
  ['--run-directory DIR', 'where the socket of the daemon is, /run/sixgate'],
  ['--state-directory DIR', 'where the last good configuration is, /var/lib/sixgate'],
] as const

export function helpText(): string[] {
  const rows = Object.values(COMMANDS).flatMap(({ usage, summary }) => [`  ${usage}`, `      ${summary}`])
  const options = SHARED.map(([option, meaning]) => `  ${option.padEnd(24)}${meaning}`)
  const exits = 'Exit code: 0 done, 1 refused with reasons on standard error, 2 wrong command line.'
  return ['usage: sixgate COMMAND …', '', ...rows, '', 'Options of every command:', ...options, '', exits]
}

export function usageOf(name: string): string {
  return `usage: sixgate ${COMMANDS[name]?.usage ?? 'COMMAND …'}`
}
