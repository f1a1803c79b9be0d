// SPDX-License-Identifier: Apache-2.0
/**
 * `sixgate run`: the daemon in the foreground, for a terminal, a container or a service manager.
 * SIGTERM and SIGINT end it and take everything back; a second one, a second later, does not wait. SIGUSR2 ends it and leaves
 * kernel state and sessions for a successor. SIGHUP applies the file anew.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Api, startApi } from '../api/server.ts'
import { readConfigFile } from '../config/durable.ts'
import type { Config } from '../config/schema.ts'
import { ConfigStore } from '../config/store.ts'
import { type Daemon, startDaemon } from '../daemon.ts'
import { createLog, type Log, setLevel } from '../log.ts'
import { openDataplane } from '../system/addon.ts'
import { LinuxSystem } from '../system/linux.ts'
import { DONE, type Io, REFUSED } from './io.ts'
import { type Directories, parse } from './options.ts'
import { version } from './version.ts'

const OPTIONS = {
  config: { type: 'string', short: 'c', default: '/etc/sixgate/sixgate.yaml' },
  'last-good': { type: 'boolean', default: false },
} as const

interface Running {
  readonly daemon: Daemon
  readonly api: Api
  readonly store: ConfigStore
}

export async function run(args: string[], _io: Io): Promise<number> {
  const { values, directories } = parse(args, OPTIONS, { min: 0, max: 0 })
  const log = createLog()
  const stop = stopSignal(log)
  const reloads = reloadSignal()
  dieLoudly(log)
  const store = new ConfigStore({
    file: values.config,
    stateDirectory: directories.state,
    lastGood: values['last-good'],
    log,
  })
  setLevel(log, store.config.log.level)
  const running = await start(store, directories, log)
  reloads.handle(() => void reloadFile(store, log))
  notifyReady(log)
  const keep = (await stop) === 'SIGUSR2'
  reloads.handle(() => {})
  return end(running, keep, log)
}

async function start(store: ConfigStore, directories: Directories, log: Log): Promise<Running> {
  const daemon = await startDaemon({
    config: store.config,
    ...(directories.instance === undefined ? {} : { instance: directories.instance }),
    runDirectory: directories.run,
    stateDirectory: directories.state,
    system: new LinuxSystem(),
    openDataplane,
    log,
  })
  const socket = join(directories.run, 'api.sock')
  const api = await startApi({ gateway: daemon, store, log, version: version(), socket }).catch(async (error) => {
    await daemon.close()
    throw error
  })
  store.started((config) => change(daemon, api, log, config))
  log.info({ file: store.file, etag: store.etag, listen: api.endpoints, socket }, 'ready')
  return { daemon, api, store }
}

/**
 * The new sockets first, for they may be taken; the old ones last, for the change may fail. A socket on an address
 * that the change itself brings has to wait for it.
 */
async function change(daemon: Daemon, api: Api, log: Log, config: Config): Promise<void> {
  const previous = daemon.config
  const early = await api.stage(config.api.listen).catch((error) => {
    if (!lacksAddress(error)) throw error
  })
  try {
    await daemon.apply(config)
  } catch (error) {
    await early?.undo()
    throw error
  }
  const sockets = early ?? (await api.stage(config.api.listen).catch((error) => giveUp(daemon, previous, error)))
  sockets.commit()
  setLevel(log, config.log.level)
}

function lacksAddress(error: unknown): boolean {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'EADDRNOTAVAIL'
}

async function giveUp(daemon: Daemon, previous: Config, error: unknown): Promise<never> {
  await daemon.apply(previous)
  throw error
}

async function reloadFile(store: ConfigStore, log: Log): Promise<void> {
  try {
    await store.change(readConfigFile(store.file))
  } catch (error) {
    const { message, faults } = error as Error & { faults?: unknown }
    log.error({ file: store.file, reason: message, faults }, 'the file is refused; the configuration stays')
  }
}

async function end({ daemon, api, store }: Running, keep: boolean, log: Log): Promise<number> {
  log.info({ keep }, 'stopping')
  let code = DONE
  for (const close of [() => api.close(), () => store.close(), () => daemon.close({ keep })]) {
    try {
      await close()
    } catch (error) {
      log.error({ err: error }, 'could not be closed')
      code = REFUSED
    }
  }
  log.info('stopped')
  return code
}

/** SIGHUP's default would end the process and leave the kernel as it is: one that comes early waits its turn. */
function reloadSignal(): { handle(action: () => void): void } {
  let early = false
  let reload = () => {
    early = true
  }
  process.on('SIGHUP', () => reload())
  return {
    handle(action) {
      reload = action
      if (early) action()
      early = false
    },
  }
}

/** One Ctrl-C may come as several signals: from the terminal, and passed on by npm. Milliseconds. */
const SAME_PRESS = 1000

/** The first signal that asks to stop; the second press ends the process at once. */
function stopSignal(log: Log): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked: number | undefined
    const onSignal = (signal: NodeJS.Signals) => {
      asked ??= performance.now()
      resolve(signal)
      if (performance.now() - asked < SAME_PRESS) return
      log.warn({ signal }, 'stopped without tidying up')
      process.exit(REFUSED)
    }
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) process.on(signal, onSignal)
  })
}

/** What is in the kernel stays as after a crash, and the next start adopts it. */
function dieLoudly(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'internal error')
    process.exit(REFUSED)
  })
}

/** Node has no datagram unix sockets; systemd's own tool has, and is there when systemd is. */
function notifyReady(log: Log): void {
  if (!process.env.NOTIFY_SOCKET) return
  const child = spawn('systemd-notify', ['--ready', `--pid=${process.pid}`], { stdio: 'ignore' })
  child.on('error', (error) => log.warn({ reason: error.message }, 'systemd cannot be told that the gateway is ready'))
}
