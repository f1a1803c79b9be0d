// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { main } from '../../src/cli/dispatch.ts'
import { bytes, errorLines, printable, table } from '../../src/cli/io.ts'
import { diffLines, hunks } from '../../src/cli/line-diff.ts'
import { GatewayError } from '../../src/errors.ts'
import { createLog, setLevel } from '../../src/log.ts'
import { ask, configText, freePort, POLICY, SIIT, type Stage, setUp, TRACED } from './api-fake.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(args: readonly string[]): { child: ChildProcess; result: Promise<Result> } {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout?.on('data', (chunk) => {
    out += chunk
  })
  child.stderr?.on('data', (chunk) => {
    err += chunk
  })
  return { child, result: once(child, 'close').then(([code]) => ({ code, out, err })) }
}

const spawned = (...args: string[]) => start(args).result

/** The same without a process of its own. */
async function sixgate(...args: string[]): Promise<Result> {
  let [out, err] = ['', '']
  const io = {
    out: (line: string) => {
      out += `${line}\n`
    },
    err: (line: string) => {
      err += `${line}\n`
    },
  }
  const code = await main(args, io)
  return { code, out, err }
}

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sixgate-cli-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function file(text: string, name = 'c.yaml'): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

describe('the command line', () => {
  const lines = (text: string) => text.trimEnd().split('\n').length

  it.each([
    ['no command', []],
    ['an unknown command', ['chekc']],
    ['an unknown option', ['show', 'status', '--jsno']],
    ['an option without its value', ['show', 'status', '--instance']],
    ['a missing operand', ['check']],
    ['one operand too many', ['confirm', 'now']],
    ['an unknown subject', ['show', 'weather']],
    ['a filter that does not fit', ['show', 'drops', '--address', '::1']],
    ['details of what has none', ['show', 'status', '--last']],
    ['a bad duration', ['apply', 'x.yaml', '--confirm', '60']],
    ['a bad instance', ['show', 'status', '--instance', '../x']],
    ['a property of every object', ['constructor']],
  ])('%s is wrong usage: exit 2 and one line with a hint', async (_, args) => {
    const { code, out, err } = await sixgate(...args)
    expect([code, out, lines(err)]).toEqual([2, '', 1])
    expect(err).toMatch(/usage: sixgate|sixgate help/)
  })

  it('ends the process with that code', async () => {
    const results = await Promise.all([spawned('version'), spawned('check', join(directory, 'none')), spawned('chekc')])
    expect(results.map(({ code }) => code)).toEqual([0, 1, 2])
    expect(results.map(({ out }) => out !== '')).toEqual([true, false, false])
  })

  it('prints help that has every command, and the usage of one', async () => {
    const all = await sixgate('help')
    expect([all.code, all.err]).toEqual([0, ''])
    for (const { usage } of Object.values(COMMANDS)) expect(all.out).toContain(usage)
    expect((await sixgate('--help')).out).toBe(all.out)
    const one = await sixgate('apply', '--help')
    expect([one.code, one.out]).toEqual([0, (await sixgate('help', 'apply')).out])
    expect(one.out).toContain(COMMANDS.apply?.usage)
  })

  it('has every module that is a command in its table', () => {
    const folder = fileURLToPath(new URL('../../src/cli', import.meta.url))
    const commands = readdirSync(folder).filter((name) =>
      /export (async )?function run\(/.test(readFileSync(join(folder, name), 'utf8')),
    )
    expect(commands.length).toBeGreaterThan(9)
    expect(Object.keys(COMMANDS)).toEqual(expect.arrayContaining(commands.map((name) => name.replace('.ts', ''))))
  })

  it('takes shared options before the command and behind it', async () => {
    const before = await sixgate('--json', 'version')
    expect(JSON.parse(before.out)).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) })
    expect((await sixgate('version', '--json')).out).toBe(before.out)
  })

  it('loads neither the HTTP server nor the configuration for an address', async () => {
    const code = `process.argv.push('address','::1');process.on('exit',()=>console.log(JSON.stringify(process.moduleLoadList)));
      const {registerHooks}=await import('node:module');
      registerHooks({load(url,context,next){console.log('loads '+url);return next(url,context)}});
      await import(${JSON.stringify(MAIN)})`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code, MAIN], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let out = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    await once(child, 'close')
    expect(out).toContain('src/cli/address.ts')
    expect(out).not.toMatch(/loads .*(fastify|typebox|pino|\/yaml\/)/)
  })
})

describe('check', () => {
  it('accepts what is valid, without a daemon', async () => {
    const path = file('version: 1\n')
    expect(await sixgate('check', path)).toEqual({ code: 0, out: `${path}: the configuration is valid\n`, err: '' })
    expect(JSON.parse((await sixgate('check', path, '--json')).out)).toMatchObject({
      version: 1,
      log: { level: 'info' },
    })
  })

  it('refuses with every fault: its path, its line, what is wrong and what to write', async () => {
    const { code, out, err } = await sixgate('check', file('version: 1\nlog: { level: loud }\nnat46: {}\n'))
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('/log/level (line 2): ')
    expect(err).toContain('/nat46')
    expect(err).toContain('nat64')
  })

  it('accepts what is hardly meant, and says so on standard error', async () => {
    const path = file(
      'version: 1\ndns64: { upstreams: ["[::1]:5353"], prefixes: ["64:ff9b::/96"], clients: ["::/0"] }\n',
    )
    const { code, out, err } = await sixgate('check', path)
    expect([code, out]).toEqual([0, `${path}: the configuration is valid\n`])
    expect(err).toBe(
      'warning: /dns64/clients/0 (line 2): ::/0 lets anyone ask\n    Write the prefixes of your own clients.\n',
    )
  })

  it('says when there is no such file, and where YAML ends to be YAML', async () => {
    const missing = await sixgate('check', join(directory, 'none.yaml'))
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('none.yaml does not exist')])
    const broken = await sixgate('check', file('version: [\n'))
    expect([broken.code, broken.err]).toEqual([1, expect.stringContaining('c.yaml:')])
  })
})

describe('commands to the daemon', () => {
  let stage: Stage
  let text: string
  beforeAll(async () => {
    text = configText([`[::1]:${await freePort()}`], SIIT + POLICY)
    stage = await setUp(text)
  })
  afterAll(() => stage.close())
  const there = (...args: string[]) => sixgate(...args, '--run-directory', stage.directory)

  it('say that nobody answers when no daemon runs', async () => {
    for (const args of [['show', 'status'], ['confirm'], ['apply', file('version: 1\n')], ['diff']]) {
      const { code, err } = await sixgate(...args, '--run-directory', directory)
      expect([code, err]).toEqual([1, expect.stringMatching(/^sixgate: The daemon does not answer: .*sixgate run/)])
      expect(err.trimEnd().split('\n')).toHaveLength(1)
    }
  })

  it.each(['status', 'sessions', 'bindings', 'dns64', 'drops', 'clients', 'policy'])(
    'show %s, as a table and as JSON',
    async (name) => {
      const shown = await there('show', name)
      expect([shown.code, shown.err]).toEqual([0, ''])
      expect(shown.out.trim()).not.toBe('')
      const json = await there('show', name, '--json')
      const sent = (await ask(stage.socket, `/api/v1/${name}`)).json
      expect(Object.keys(JSON.parse(json.out))).toEqual(Object.keys(sent))
    },
  )

  it('show the status a reader needs: what runs, what is wrong, who is busy', async () => {
    const { out } = await there('show', 'status')
    for (const words of [
      /^sixgate 0\.0\.1, up 5s$/m,
      /^! the kernel does not agree$/m,
      /^lan0 +inside +up +1500 +- +2001:db8:1::1\/64$/m,
      /^nat64 on sixgate0: 1 of 1048576 sessions, 1 bindings$/m,
      /^ {2}198\.51\.100\.64\/28 +1 +1032192$/m,
      /^no mail +tcp 25-25 +deny +9 +900 B +2 +200 B$/m,
      /^#2 +clients 2001:db8:1::\/48 +rate 10Mbit\/s, burst 200ms, for a \/64 +9 +900 B +2 +200 B$/m,
      /^siit on sixgate0: IPv4 under 2001:db8:100::\/40, 1 mappings$/m,
      /^ {2}IPv6 to IPv4 5 packets, 500 B\n {2}IPv4 to IPv6 6 packets, 5\.9 KiB\n {2}lost 2 packets/m,
      /^ipv4 +1500 +wan0 +2 +0\.0\.0\.0\/0$/m,
      /^2001:db8:1::5 +4 +400 B +3 +3\.9 KiB$/m,
      /^ {2}192\.0\.2\.53:53 +down +0 +0 +0\.0 ms$/m,
    ])
      expect(out).toMatch(words)
  })

  it('show sessions in aligned columns, filtered', async () => {
    stage.gateway.filters.length = 0
    const { out } = await there('show', 'sessions', '--protocol', 'tcp', '--address', '2001:DB8:1::5', '--limit', '3')
    expect(stage.gateway.filters).toEqual([{ protocol: 'tcp', address: '2001:db8:1::5', limit: 3 }])
    const [head = '', row = ''] = out.split('\n')
    expect(row.indexOf('[64:ff9b::192.0.2.33]:80')).toBe(head.indexOf('server'))
    expect(row).toMatch(/7440 s +400 B +3\.9 KiB$/)
    const one = await there('show', 'sessions', '--limit', '1')
    expect([one.code, one.err]).toEqual([0, expect.stringContaining('only 1 are shown')])
  })

  it('show each lost packet with its reason, the sentence and the RFC', async () => {
    const { code, out } = await there('show', 'drops', '--last')
    expect([code, out.trimEnd().split('\n')]).toEqual([
      0,
      [
        'HOP_LIMIT, 7 packets: the hop limit ran out (RFC 7915 4.1)',
        '  2026-11-21T02:00:00.000Z  tcp [2001:db8:1::5]:4711 → [64:ff9b::c000:221]:80, 60 bytes, lost at translate',
      ],
    ])
  })

  it('follow packets, each with what every step made of it', async () => {
    stage.gateway.traceFilters.length = 0
    const { code, out, err } = await there('trace', '--from', '2001:DB8:1::5', '--protocol', 'tcp', '--limit', '2')
    expect(stage.gateway.traceFilters).toEqual([{ from: '2001:db8:1::5', protocol: 'tcp' }])
    expect([code, out.trimEnd().split('\n')]).toEqual([
      0,
      [
        '2026-11-21T02:00:00.000Z  tcp [2001:db8:1::5]:4711 → [64:ff9b::c000:221]:80, 60 bytes',
        '  session: new, V6_INIT',
        '  translate: tcp 198.51.100.64:4711 → 192.0.2.33:80, 40 bytes',
        '  route: sent',
        '2026-11-21T02:00:00.001Z  tcp [2001:db8:1::5]:4712 → [64:ff9b::c000:221]:80, 60 bytes',
        '  session: lost, no free port (NO_PORT, RFC 6146 3.5.1.1); its sender was told by ICMP',
      ],
    ])
    expect(err).toBe(
      'following; Ctrl-C ends it\nthe limit is reached: 2 packets, 3 more came too fast or too late to be shown\n',
    )
    const json = await there('trace', '--limit', '1', '--json')
    const lines = json.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toEqual([{ started: expect.any(String) }, TRACED[0], { ended: 'limit', packets: 1, missed: 4 }])
    expect(stage.gateway.openTraces).toBe(0)
  })

  it('tell what would become of a packet, given as words or in hexadecimal', async () => {
    const { foreseen } = stage.gateway
    const words = await there('trace', '--inject', 'tcp [2001:db8:1::5]:4711 [64:ff9b::192.0.2.33]:80')
    expect(words.out.trimEnd().split('\n')).toEqual([
      'tcp [2001:db8:1::5]:4711 → [64:ff9b::c000:221]:80, 60 bytes',
      '  session: new, V6_INIT',
      '  session: a new binding would be made; its port, 0 below, is not known before',
      '  translate: tcp 198.51.100.64:4711 → 192.0.2.33:80, 40 bytes',
      '  route: it would be sent',
    ])
    const addresses = '20010db8000100000000000000000005' + '0064ff9b0000000000000000c0000221'
    expect(foreseen.at(-1)).toBe(`6000000000140640${addresses}126700500000000000000000500200000000` + '0000')
    await there('trace', '--inject', '45 00 00 1c')
    expect(foreseen.at(-1)).toBe('4500001c')
    await there('trace', '--inject', 'icmp 192.0.2.33 198.51.100.64')
    // RFC 1071: the header's words add up to 0xffff
    const words4 =
      foreseen
        .at(-1)
        ?.slice(0, 40)
        .match(/..../g)
        ?.map((word) => Number.parseInt(word, 16)) ?? []
    expect(words4.reduce((sum, word) => sum + word, 0) % 0xffff).toBe(0)
    for (const bad of ['4500001', 'sctp ::1 ::2', 'tcp ::1 192.0.2.1', 'tcp [::1]:1 [::2]:2 X', 'tcp ::1'])
      expect((await there('trace', '--inject', bad)).err, bad).toMatch(/^sixgate: The request is not valid: /)
  })

  it('refuse to follow what the API refuses', async () => {
    expect((await there('trace', '--from', 'nowhere')).err).toMatch(/^sixgate: Not an IP address/)
    expect((await there('trace', '--limit', '0')).err).toContain('/querystring/limit')
  })

  it('refuse a filter as the API does', async () => {
    const { code, err } = await there('show', 'sessions', '--limit', '0')
    expect([code, err]).toEqual([1, expect.stringContaining('/querystring/limit')])
    expect((await there('show', 'sessions', '--protocol', 'sctp')).err).toContain('Write one of tcp, udp, icmp.')
  })

  it('apply, diff, confirm and roll back', async () => {
    const path = file(text.replace('version: 1', 'version: 1\nlog: { level: warn }'))
    const diff = await there('diff', path)
    expect(diff.out).toMatch(/^-\s+level: info$/m)
    expect(diff.out).toMatch(/^\+\s+level: warn$/m)
    expect(JSON.parse((await there('diff', path, '--json')).out)).toMatchObject({ equal: false })

    const tried = await there('apply', path, '--confirm', '2m')
    expect(tried).toEqual({ code: 0, out: `applied ${path} for 120 s; keep it with \`sixgate confirm\`\n`, err: '' })
    expect((await there('show', 'status')).out).toMatch(/^A change is undone in 120 s/)
    expect((await there('apply', path)).err).toMatch(/^sixgate: A change waits for its confirmation: until /)
    expect((await there('diff', path)).out).toContain('no difference')
    expect((await there('diff')).out).toContain('level: info')
    expect((await there('rollback')).code).toBe(0)
    expect(stage.gateway.config.log.level).toBe('info')
    expect((await there('confirm')).code).toBe(1)

    await there('apply', path, '--confirm', '2m')
    expect(JSON.parse((await there('confirm', '--json')).out)).toMatchObject({ pending: null })
    expect(stage.store.pending).toBeUndefined()
    expect((await there('apply', path)).out).toBe(`applied ${path}\n`)
  })

  it('apply what is hardly meant, and say so', async () => {
    const path = file(text.replace('dns64: {', 'dns64: { clients: ["::/0"],'))
    const { code, out, err } = await there('apply', path)
    expect([code, out]).toEqual([0, `applied ${path}\n`])
    expect(err).toMatch(/^warning: \/dns64\/clients\/0 \(line \d+\): .*\n {4}Write /)
    expect((await there('show', 'status')).out).toContain('! /dns64/clients/0: ::/0 lets anyone ask')
    expect((await there('apply', file(text))).err).toBe('')
  })

  it('refuse a faulty file before it is sent, and pass on what the daemon refuses', async () => {
    const { code, err } = await there('apply', file('version: 1\nlog: { level: loud }\n'))
    expect([code, err]).toEqual([1, expect.stringContaining('/log/level (line 2)')])
    stage.gateway.failure = new GatewayError('NO_TUN', { detail: 'ENOENT' })
    const refused = await there('apply', file(text))
    stage.gateway.failure = undefined
    expect(refused.code).toBe(1)
    expect(refused.err).toBe(
      'sixgate: /dev/net/tun cannot be opened: ENOENT. Load the tun module, or give the container --device /dev/net/tun.\n',
    )
  })
})

describe('run', () => {
  let running: ReturnType<typeof start> | undefined
  afterEach(async () => {
    running?.child.kill('SIGKILL')
    await running?.result
    running = undefined
  })
  const directories = () => ['--run-directory', join(directory, 'run'), '--state-directory', join(directory, 'state')]

  async function ready(config: string): Promise<void> {
    running = start(['run', '-c', config, ...directories()])
    await logged('ready')
  }

  /** Resolves when the daemon has logged the message, rejects when it ends before. */
  function logged(message: string): Promise<void> {
    return new Promise((resolve, reject) => {
      let log = ''
      running?.child.stderr?.on('data', (chunk) => {
        log += chunk
        if (log.includes(`"msg":"${message}"`)) resolve()
      })
      void running?.result.then(({ err }) => reject(new Error(err)))
    })
  }

  it('says in one line that the file is missing, and what to do', async () => {
    const { code, err } = await spawned('run', '-c', join(directory, 'none.yaml'), ...directories())
    expect([code, err.trimEnd().split('\n').length]).toEqual([1, 1])
    expect(err).toContain('none.yaml does not exist')
  })

  it.each([
    ['a directory', '/', 'is a directory'],
    ['an endless file', '/dev/zero', 'is larger than 4 MiB'],
  ])('refuses %s as its file', async (_, path, reason) => {
    const { code, err } = await sixgate('check', path)
    expect([code, err]).toEqual([1, expect.stringContaining(`cannot be read: ${path} ${reason}`)])
  })

  it('refuses a file that is no text, rather than guess at it', async () => {
    const path = join(directory, 'latin1.yaml')
    writeFileSync(path, Buffer.from('version: 1 # für Elise\n', 'latin1'))
    expect((await sixgate('check', path)).err).toContain('is not UTF-8 text')
  })

  it('refuses a faulty file with its faults', async () => {
    const { code, err } = await spawned('run', '-c', file('version: 2\n'), ...directories())
    expect([code, err]).toEqual([1, expect.stringContaining('/version (line 1)')])
  })

  it('starts, answers, reads the file again at SIGHUP, and ends in order at Ctrl-C', async () => {
    const config = file(`version: 1\napi: { listen: ["[::1]:${await freePort()}"] }\n`)
    await ready(config)
    expect((await sixgate('show', 'status', ...directories())).code).toBe(0)
    writeFileSync(config, `${readFileSync(config, 'utf8')}log: { level: debug }\n`)
    const changed = logged('configuration changed')
    running?.child.kill('SIGHUP')
    await changed
    expect((await sixgate('diff', ...directories())).out).toContain('no difference')
    for (let times = 0; times < 3; times++) running?.child.kill('SIGINT') // as a terminal, a shell and npm pass it on
    const { code, err } = await (running?.result ?? Promise.reject())
    expect(code).toBe(0)
    for (const line of err.trimEnd().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
    expect(existsSync(join(directory, 'run', 'api.sock'))).toBe(false)
  })

  it('reads the file again after the start when SIGHUP comes during it', async () => {
    const config = join(directory, 'sixgate.yaml')
    execFileSync('mkfifo', [config])
    running = start(['run', '-c', config, ...directories()])
    const changed = logged('configuration changed')
    const pipe = await open(config, 'w') // opens when the gateway opens the other end
    rmSync(config)
    file('version: 1\nlog: { level: debug }\n', 'sixgate.yaml')
    running.child.kill('SIGHUP')
    await pipe.writeFile('version: 1\n')
    await pipe.close()
    await changed
  })

  it('starts again after it was killed, with the unconfirmed change undone', async () => {
    const config = file(`version: 1\napi: { listen: ["[::1]:${await freePort()}"] }\n`)
    await ready(config)
    const edited = file(`${readFileSync(config, 'utf8')}log: { level: warn }\n`, 'edited.yaml')
    expect((await sixgate('apply', edited, '--confirm', '1h', ...directories())).code).toBe(0)
    running?.child.kill('SIGKILL')
    await running?.result
    await ready(config)
    const { config: state } = JSON.parse((await sixgate('show', 'status', '--json', ...directories())).out)
    expect(state.pending).toBeNull()
    expect((await sixgate('diff', ...directories())).out).toContain('no difference')
  })

  it('says which port is in use, in one line besides the log', async () => {
    const taken = createServer().listen(0, '::1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const { code, err } = await spawned(
      'run',
      '-c',
      file(`version: 1\napi: { listen: ["[::1]:${port}"] }\n`),
      ...directories(),
    )
    taken.close()
    expect(code).toBe(1)
    const said = err.split('\n').filter((line) => line.startsWith('sixgate: '))
    expect(said).toEqual([expect.stringContaining(`[::1]:${port} is in use`)])
    expect(existsSync(join(directory, 'state', 'last-good.yaml')), 'what never ran is not the last good').toBe(false)
  })

  it('says what builds the translator when nobody has', () => {
    const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
    for (const path of ['src', 'package.json']) cpSync(at(path), join(directory, 'checkout', path), { recursive: true })
    symlinkSync(at('node_modules'), join(directory, 'checkout', 'node_modules'))
    const program =
      "import { loadAddon } from './src/system/addon.ts'; try { loadAddon() } catch (error) { console.log(error.code) }"
    const options = { cwd: join(directory, 'checkout'), encoding: 'utf8' } as const
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', program], options)).toBe('NOT_BUILT\n')
  })

  it('refuses a second daemon in the run directory', async () => {
    const config = file(`version: 1\napi: { listen: ["[::1]:${await freePort()}"] }\n`)
    await ready(config)
    const second = await spawned('run', '-c', file('version: 1\n', 'other.yaml'), ...directories())
    expect([second.code, second.err]).toEqual([1, expect.stringContaining('Another daemon runs')])
    expect((await sixgate('show', 'status', ...directories())).code).toBe(0)
  })
})

describe('what is printed', () => {
  it('has no control characters and nothing that reorders text', () => {
    expect(printable('a\x1b[31mb\r\n\tc\x7f\u009b\u202ed')).toBe('a\\x1b[31mb\\x0d\\x0a c\\x7f\\x9b\\u202ed')
    expect(table(['name'], [['\x1b]0;x\x07']])[1]).toBe('\\x1b]0;x\\x07')
  })

  it('aligns columns, numbers to the right', () => {
    const rows = [
      ['tcp', 5],
      ['icmp', 12345],
    ]
    expect(table(['proto', 'count'], rows)).toEqual(['proto  count', 'tcp        5', 'icmp   12345'])
  })

  it('writes bytes with a unit', () => {
    expect([0, 1023, 1536, 5 * 2 ** 30].map(bytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '5.0 GiB'])
  })

  it('tells an unforeseen error in one line', () => {
    expect(errorLines(new Error('first\nsecond'))).toEqual(['sixgate: first second'])
  })

  it('shows the difference of two texts as an independent reader expects it', () => {
    const [a, b] = [
      ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12'],
      ['1', '2', '3', '4', '5', 'six', '7', '8', '9', '10', '11', '12', '13'],
    ]
    const lines = diffLines(a, b)
    expect(lines.filter(({ kind }) => kind !== '+').map(({ text }) => text)).toEqual(a)
    expect(lines.filter(({ kind }) => kind !== '-').map(({ text }) => text)).toEqual(b)
    expect(lines.filter(({ kind }) => kind !== ' ').map(({ kind, text }) => kind + text)).toEqual(['-6', '+six', '+13'])
    expect(hunks(lines).filter((line) => line.startsWith('@@'))).toEqual(['@@ line 3 running, line 3 wanted @@'])
    expect(diffLines(['x'], [])).toEqual([{ kind: '-', text: 'x' }])
    expect(diffLines([], [])).toEqual([])
  })

  it('is logged at the level that was set last, by every part', () => {
    const lines: string[] = []
    const log = createLog('info', { write: (line) => void lines.push(line) })
    const part = log.child({ part: 'dns64' }).child({ listener: 1 })
    part.debug('before')
    setLevel(log, 'debug')
    part.debug('after')
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['after'])
  })
})
