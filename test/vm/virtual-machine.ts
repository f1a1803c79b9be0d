// SPDX-License-Identifier: Apache-2.0
/**
 * A virtual machine with a stock Debian kernel, for what this machine's own kernel cannot do or must not be
 * risked for. Software emulation always: /dev/kvm is there on machines where a guest hangs for ever. The disk is
 * a snapshot, so that every machine starts from the same.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { deflateSync, inflateSync } from 'node:zlib'
import type { Namespace } from '../lab/netns.ts'
import type { Result, RunOptions } from '../lab/process.ts'
import { type Image, prepareImage } from './image.ts'

export interface Nic {
  /** Where the host's end, a tap of this name, is. */
  readonly namespace: Namespace
  readonly name: string
  readonly mac: string
}

export interface MachineOptions {
  readonly nics?: readonly Nic[]
  readonly processors?: number
  /** In MiB. */
  readonly memory?: number
  /** Seconds until the machine must have booted. */
  readonly timeout?: number
}

interface Answer {
  readonly id?: number
  readonly ready?: string
  readonly error?: string
  readonly code?: number
  readonly stdout?: string
  readonly stderr?: string
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

const encode = (data: string | Buffer) => deflateSync(data).toString('base64')
const decode = (text = '') => inflateSync(Buffer.from(text, 'base64')).toString()

function nicArguments({ name, mac }: Nic): string[] {
  const netdev = `tap,id=${name},ifname=${name},script=no,downscript=no`
  return ['-netdev', netdev, '-device', `virtio-net-pci,netdev=${name},mac=${mac},romfile=`]
}

function qemuArguments(image: Image, directory: string, options: MachineOptions): string[] {
  const { nics = [], processors = 2, memory = 1024 } = options
  // a kernel that has found a fault in itself must not go on
  const append = 'console=ttyS0 loglevel=4 panic=-1 oops=panic quiet'
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-machine', 'q35,usb=off'],
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(processors), '-m', String(memory)],
    ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', append],
    ...['-serial', `file:${join(directory, 'console')}`],
    ...['-drive', `if=virtio,format=raw,snapshot=on,file=${image.disk}`],
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${join(directory, 'agent')}`],
    ...['-device', 'virtserialport,nr=1,chardev=agent'],
    ...nics.flatMap(nicArguments),
  ]
}

/** QEMU opens its taps in the namespace it starts in; they are moved to their own once it holds them. */
async function moveTaps(nics: readonly Nic[]): Promise<void> {
  const [first, ...others] = nics
  for (const { name, namespace } of others) {
    if (namespace !== first?.namespace) await first?.namespace.ip('link', 'set', name, 'netns', namespace.name)
  }
  for (const { name, namespace } of nics) await namespace.ip('link', 'set', name, 'up')
}

export class VirtualMachine {
  readonly image: Image
  readonly #qemu: ChildProcess
  readonly #server: Server
  readonly #directory: string
  readonly #waiting = new Map<number, Waiting>()
  readonly #onExit = () => this.#closeNow()
  readonly #ready: Promise<void>
  readonly #ended: Promise<void>
  #becomeReady: () => void = () => {}
  #socket: Socket | undefined
  #last = 0
  #errors = ''
  #end: string | undefined

  private constructor(image: Image, directory: string, server: Server, qemu: ChildProcess) {
    this.image = image
    this.#directory = directory
    this.#server = server
    this.#qemu = qemu
    this.#ready = new Promise((resolve) => {
      this.#becomeReady = resolve
    })
    this.#server.on('connection', (socket) => this.#accept(socket))
    qemu.stderr?.on('data', (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-4000)
    })
    this.#ended = new Promise((resolve) => {
      qemu.on('error', (error) => this.#lost(`QEMU: ${error.message}`, resolve))
      qemu.on('close', (code, signal) => this.#lost(`the machine stopped (QEMU: ${signal ?? code})`, resolve))
    })
    process.on('exit', this.#onExit)
  }

  /** Boots; ready when its agent answers. */
  static async start(options: MachineOptions = {}): Promise<VirtualMachine> {
    const image = await prepareImage()
    const directory = mkdtempSync(join(tmpdir(), 'sixgate-vm-'))
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(directory, 'agent'), resolve))
    const command = ['qemu-system-x86_64', ...qemuArguments(image, directory, options)]
    const [nic] = options.nics ?? []
    if (nic) command.unshift('nsenter', `--net=/run/netns/${nic.namespace.name}`, '--')
    const qemu = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    const machine = new VirtualMachine(image, directory, server, qemu)
    try {
      const { timeout = 120 } = options
      await machine.#booted(timeout)
      await moveTaps(options.nics ?? [])
    } catch (error) {
      await machine.close()
      throw error
    }
    return machine
  }

  async #booted(seconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#failure(`the machine did not boot within ${seconds} s`)), seconds * 1000)
    })
    const lost = this.#ended.then(() => Promise.reject(this.#failure(this.#end ?? 'the machine stopped')))
    try {
      await Promise.race([this.#ready, late, lost])
    } finally {
      clearTimeout(timer)
    }
  }

  #accept(socket: Socket): void {
    this.#socket = socket
    socket.on('error', () => {})
    createInterface({ input: socket }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer
      if (answer.ready) return this.#becomeReady()
      const waiting = this.#take(answer.id ?? 0)
      if (answer.error) waiting?.reject(new Error(answer.error))
      else waiting?.resolve(answer)
    })
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    clearTimeout(waiting?.timer)
    this.#waiting.delete(id)
    return waiting
  }

  #lost(why: string, resolve: () => void): void {
    this.#end ??= why
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(this.#failure(why))
    resolve()
  }

  #failure(what: string): Error {
    return new Error(`${what}\n${this.#errors}${this.console().slice(-4000)}`.trim())
  }

  /** What the kernel wrote to its serial console. */
  console(): string {
    try {
      return readFileSync(join(this.#directory, 'console'), 'utf8')
    } catch {
      return ''
    }
  }

  /** Seconds that processors of this machine have worked for it, which other work on them does not lengthen. */
  processorSeconds(): number {
    const tasks = `/proc/${this.#qemu.pid}/task`
    const nanoseconds = readdirSync(tasks).map(
      (task) => readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0],
    )
    return nanoseconds.reduce((sum, each) => sum + Number(each), 0) / 1e9
  }

  #ask(request: Record<string, unknown>, seconds: number, what: string): Promise<Answer> {
    if (this.#end) return Promise.reject(this.#failure(`${what}: ${this.#end}`))
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(this.#failure(`the machine did not answer within ${seconds} s: ${what}`))
      }, seconds * 1000)
      this.#waiting.set(id, { resolve, reject, timer })
      this.#socket?.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  /** Runs to the end whatever the exit code; 124 is a time-out. */
  async attempt(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    const { input = '', timeout = 60, env = {} } = options
    const seconds = timeout
    const prefix = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    const request = {
      run: [...(prefix.length > 0 ? ['env', ...prefix] : []), command, ...args],
      ...{ input: encode(input), seconds },
    }
    // the machine ends the command itself; without its word it is the machine that hangs
    const { code = 128, stdout, stderr } = await this.#ask(request, seconds + 20, [command, ...args].join(' '))
    return { code, stdout: decode(stdout), stderr: decode(stderr) }
  }

  /** Runs to the end; anything but exit 0 is an error that shows what the command said. */
  async run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(command, args, options)
    if (code === 0) return stdout
    throw new Error(`${[command, ...args].join(' ')}: exit ${code}\n${stderr.trim()}\n${stdout.trim()}`.trim())
  }

  /** Runs a shell script that ends at its first failure. */
  script(text: string, options: RunOptions = {}): Promise<string> {
    return this.run('sh', ['-ec', text], options)
  }

  async put(path: string, data: string | Buffer, mode = 0o644): Promise<void> {
    await this.#ask({ put: path, mode, data: encode(data) }, 30, `put ${path}`)
  }

  /** There is nothing in it to save. */
  async close(): Promise<void> {
    this.#closeNow()
    await this.#ended
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #closeNow(): void {
    process.off('exit', this.#onExit)
    this.#end ??= 'the machine was closed'
    this.#qemu.kill('SIGKILL')
    this.#socket?.destroy()
    this.#server.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
