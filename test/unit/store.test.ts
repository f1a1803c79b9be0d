// SPDX-License-Identifier: Apache-2.0
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../../src/clock.ts'
import type { DiskStep } from '../../src/config/durable.ts'
import type { Config } from '../../src/config/schema.ts'
import { ConfigStore, type StoreOptions } from '../../src/config/store.ts'
import { GatewayError } from '../../src/errors.ts'
import { createLog, silentLog } from '../../src/log.ts'

const A = 'version: 1\nlog: { level: info } # as it was\n'
const B = 'version: 1\nlog: { level: debug } # as it shall be\n'
const C = 'version: 1\nlog: { level: warn }\n'
const FAULTY = 'version: 1\nlog: { level: loud }\n'

let directory: string
let clock: ManualClock
let applied: string[]
let apply: (config: Config) => Promise<void>

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sixgate-store-'))
  clock = new ManualClock()
  applied = []
  apply = async (config) => void applied.push(config.log.level)
  write(A)
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

const file = () => join(directory, 'sixgate.yaml')
const state = (name: string) => join(directory, 'state', name)
const read = (path: string) => readFileSync(path, 'utf8')
const write = (text: string) => writeFileSync(file(), text)

/** A store as the daemon opens it; `at` is another directory with the same content. */
function open(options: Partial<StoreOptions> = {}): ConfigStore {
  return new ConfigStore({ file: file(), stateDirectory: join(directory, 'state'), log: silentLog, clock, ...options })
}

function start(options: Partial<StoreOptions> = {}): ConfigStore {
  const store = open(options)
  store.started((config) => apply(config))
  return store
}

const refusal = async (action: Promise<unknown>) => {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof GatewayError ? error.code : error
}

/** Lets the turn that a timer began come to its end. */
const settle = (store: ConfigStore) =>
  store
    .edit((text) => text)
    .then(
      () => {},
      () => {},
    )

it('logs what is hardly meant, at the start and with each change', async () => {
  const lines: { path?: string; level: number }[] = []
  const log = createLog('warn', { write: (line) => void lines.push(JSON.parse(line)) })
  const open = 'version: 1\ndns64: { upstreams: ["[::1]:5353"], prefixes: ["64:ff9b::/96"], clients: ["::/0"] }\n'
  write(open)
  const store = start({ log })
  const warning = expect.objectContaining({ path: '/dns64/clients/0', line: 2, remedy: expect.any(String) })
  expect(lines).toEqual([warning])
  await store.change(A)
  expect(lines).toEqual([warning])
  await store.change(open)
  expect(lines).toEqual([warning, warning])
  expect(store.warnings).toHaveLength(1)
})

describe('what runs at start', () => {
  it('runs the file and keeps it as the last good configuration', () => {
    expect(start().text).toBe(A)
    expect(read(state('last-good.yaml'))).toBe(A)
  })

  it('writes nothing before the daemon has started with it', () => {
    open()
    expect(readdirSync(directory)).toEqual(['sixgate.yaml'])
  })

  it('keeps state where only the owner can read it', () => {
    start()
    expect(statSync(join(directory, 'state')).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(join(directory, 'state'))) expect(statSync(state(name)).mode & 0o777).toBe(0o600)
  })

  it('runs an edit made while the daemon was away', () => {
    start()
    write(B)
    expect(start().text).toBe(B)
  })

  it('refuses a faulty file although there is a last good configuration', () => {
    start()
    write(FAULTY)
    expect(() => open()).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  it('starts with the last good configuration when asked to, and runs the file once it is mended', () => {
    start()
    write(FAULTY)
    const store = start({ lastGood: true })
    expect([store.text, store.origin]).toEqual([A, 'last-good'])
    expect(read(file())).toBe(FAULTY)
    write(B)
    expect(start().text).toBe(B)
  })

  it('says that a missing file is missing, and how to go on without it is to ask for the last good one', () => {
    start()
    rmSync(file())
    expect(() => open()).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }))
    expect(open({ lastGood: true }).text).toBe(A)
  })

  it('runs what was applied while the file could not be written, until the file is edited', async () => {
    const store = start()
    // A directory in the way of the temporary file makes FILE unwritable even for root.
    const obstacle = join(directory, `.sixgate.yaml.${process.pid}.tmp`)
    mkdirSync(obstacle)
    await store.change(B)
    expect(read(file())).toBe(A)
    expect(start().text).toBe(B)
    write(C)
    expect(start().text).toBe(C)
  })

  it('does not take the state of another file for its own', async () => {
    await start().change(B)
    const other = join(directory, 'other.yaml')
    writeFileSync(other, C)
    expect(start({ file: other }).text).toBe(C)
  })

  it('runs although the state directory cannot be written, and refuses changes', async () => {
    writeFileSync(join(directory, 'state'), 'a file is in the way')
    const store = start()
    expect(store.text).toBe(A)
    expect(await refusal(store.change(B))).toBe('STATE_UNWRITABLE')
    expect(applied).toEqual([])
  })

  it('runs the file when the state directory holds rubbish', () => {
    start()
    writeFileSync(state('state.json'), '{"version":')
    writeFileSync(state('last-good.yaml'), '\0')
    expect(start().text).toBe(A)
    expect(read(state('last-good.yaml'))).toBe(A)
  })
})

describe('a change', () => {
  it('reaches the gateway, the last good file and the operator’s file, comments and all', async () => {
    const store = start()
    await store.change(B)
    expect(applied).toEqual(['debug'])
    expect([read(state('last-good.yaml')), read(file()), read(state('previous.yaml'))]).toEqual([B, B, A])
  })

  it('keeps mode of the file and follows a symbolic link', async () => {
    const target = join(directory, 'target.yaml')
    writeFileSync(target, A)
    chmodSync(target, 0o640)
    const link = join(directory, 'link.yaml')
    symlinkSync(target, link)
    await start({ file: link }).change(B)
    expect([read(target), statSync(target).mode & 0o777]).toEqual([B, 0o640])
  })

  it('keeps an edit of the file that was never applied beside it', async () => {
    const store = start()
    write(C)
    await store.change(B)
    expect([read(file()), read(`${file()}.unapplied`)]).toEqual([B, C])
    write(A)
    await store.change(C)
    expect([read(`${file()}.unapplied`), read(`${file()}.unapplied.1`)]).toEqual([C, A])
  })

  it('leaves everything as it was when it is not valid', async () => {
    const store = start()
    expect(await refusal(store.change(FAULTY))).toBe('CONFIG_INVALID')
    expect([applied, store.text, read(state('last-good.yaml')), read(file())]).toEqual([[], A, A, A])
  })

  it('leaves everything as it was when the gateway cannot be brought to it', async () => {
    const store = start()
    apply = () => Promise.reject(new Error('no such device'))
    expect(await refusal(store.change(B))).toBe('APPLY_FAILED')
    expect([store.text, read(state('last-good.yaml')), read(file())]).toEqual([A, A, A])
    expect(readdirSync(join(directory, 'state')).filter((name) => name.endsWith('.tmp'))).toEqual([])
    expect(start().text).toBe(A)
  })

  it('is not made when the state directory cannot take it', async () => {
    const store = start()
    mkdirSync(state(`.last-good.yaml.${process.pid}.tmp`))
    expect(await refusal(store.change(B))).toBe('STATE_UNWRITABLE')
    expect([applied, store.text]).toEqual([[], A])
  })

  it('is taken back from the gateway when it cannot be made durable', async () => {
    let isFull = false
    const step: DiskStep = (name, path) => {
      if (isFull && name === 'rename' && path.endsWith('last-good.yaml')) throw new Error('no space left')
    }
    const store = start({ step })
    isFull = true
    expect(await refusal(store.change(B))).toBe('STATE_UNWRITABLE')
    expect([applied, store.text]).toEqual([['debug', 'info'], A])
  })
})

describe('entity tags', () => {
  it('are equal for two spellings of one configuration and differ for two configurations', async () => {
    const store = start()
    const before = store.etag
    expect((await store.change(`# a comment\n${A.replace('{ level: info }', '{level: "info"}')}`)).etag).toBe(before)
    expect((await store.change(B)).etag).not.toBe(before)
  })

  it('let one of two concurrent changes of one version through', async () => {
    const store = start()
    const results = await Promise.all([B, C].map((text) => refusal(store.change(text, { ifMatch: store.etag }))))
    expect(results).toEqual([undefined, 'CONFLICT_ETAG'])
    expect(store.text).toBe(B)
  })

  it('match in a list and by *, but never weakly', async () => {
    const store = start()
    expect(await refusal(store.change(A, { ifMatch: `W/${store.etag}` }))).toBe('CONFLICT_ETAG')
    expect(await refusal(store.change(A, { ifMatch: `"x", ${store.etag}` }))).toBeUndefined()
    expect(await refusal(store.change(A, { ifMatch: '*' }))).toBeUndefined()
  })
})

describe('a change that must be confirmed', () => {
  it('is undone when the deadline passes, and the file is left alone', async () => {
    const store = start()
    await store.change(B, { confirm: 60 })
    expect([store.text, read(file()), store.pending?.secondsLeft]).toEqual([B, A, 60])
    clock.advance(59_999)
    await settle(store)
    expect(store.text).toBe(B)
    clock.advance(1)
    await settle(store)
    expect([store.text, store.pending, applied]).toEqual([A, undefined, ['debug', 'info', 'info']])
  })

  it('stays once it is confirmed, and only then reaches the file', async () => {
    const store = start()
    await store.change(B, { confirm: 60 })
    await store.confirm()
    expect([read(state('last-good.yaml')), read(file()), clock.waiting]).toEqual([B, B, 0])
    clock.advance(120_000)
    await settle(store)
    expect(store.text).toBe(B)
    expect(start().text).toBe(B)
  })

  it('refuses another change meanwhile, also of the same text', async () => {
    const store = start()
    await store.change(B, { confirm: 60 })
    expect(await refusal(store.change(C))).toBe('CONFLICT_PENDING')
    expect(await refusal(store.change(B, { confirm: 60 }))).toBe('CONFLICT_PENDING')
    expect(store.text).toBe(B)
  })

  it('can be rolled back at once', async () => {
    const store = start()
    await store.change(B, { confirm: 60 })
    await store.rollback()
    expect([store.text, store.pending, clock.waiting]).toEqual([A, undefined, 0])
    expect(await refusal(store.rollback())).toBe('NOTHING_PENDING')
    expect(await refusal(store.confirm())).toBe('NOTHING_PENDING')
  })

  it.each(['before', 'after'])('is undone by a restart %s the deadline', async (when) => {
    await start().change(B, { confirm: 60 })
    if (when === 'after') clock = new ManualClock(clock.now() + 3_600_000)
    const store = start()
    expect([store.text, store.pending]).toEqual([A, undefined])
    expect(start().text).toBe(A)
  })

  it('is undone by a restart also when it is the operator’s edit of the file', async () => {
    const first = start()
    write(B)
    await first.change(B, { confirm: 60 })
    expect(start().text).toBe(A)
    expect(read(file())).toBe(B)
    expect(start().text, 'the same text does not come back by a second restart').toBe(A)
    write(C)
    expect(start().text).toBe(C)
  })

  it('gives way to the last good configuration before an edit of the file that was never applied', async () => {
    const first = start()
    write(C)
    await first.change(B, { confirm: 60 })
    expect(start().text).toBe(A)
    expect(start().text, 'the next restart takes the edit up').toBe(C)
  })

  it('is forgotten when the gateway cannot be brought to it', async () => {
    const store = start()
    apply = () => Promise.reject(new GatewayError('APPLY_FAILED'))
    expect(await refusal(store.change(B, { confirm: 60 }))).toBe('APPLY_FAILED')
    expect([store.pending, clock.waiting]).toEqual([undefined, 0])
    expect(JSON.parse(read(state('state.json'))).pending).toBeNull()
  })

  it('is tried again to be undone when that fails', async () => {
    const store = start()
    await store.change(B, { confirm: 60 })
    const works = apply
    apply = () => Promise.reject(new Error('busy'))
    clock.advance(60_000)
    await settle(store)
    expect(store.text).toBe(B)
    apply = works
    clock.advance(10_000)
    await settle(store)
    expect(store.text).toBe(A)
  })
})

describe('a power cut', () => {
  /** Copies all there is before each step that reaches the disk; gives the copies and the names of the steps. */
  async function cutEverywhere(
    prepare: (store: ConfigStore) => Promise<unknown>,
    act: (store: ConfigStore) => Promise<unknown>,
  ) {
    const cuts: string[] = []
    const steps: string[] = []
    let isRecording = false
    const step: DiskStep = (name, path) => {
      if (!isRecording) return
      const copy = mkdtempSync(join(tmpdir(), 'sixgate-cut-'))
      cuts.push(copy)
      steps.push(`${name} ${path.slice(directory.length + 1).replace(/\.\d+\.tmp$/, '')}`)
      cpSync(directory, copy, { recursive: true })
    }
    const store = start({ step })
    await prepare(store)
    isRecording = true
    await act(store)
    isRecording = false
    return { steps, cuts }
  }

  /** The text that a daemon started on each copy runs; the path of FILE is the same, as on a real machine. */
  function restartAll(cuts: readonly string[]): string[] {
    return cuts.map((copy) => {
      rmSync(directory, { recursive: true, force: true })
      cpSync(copy, directory, { recursive: true })
      rmSync(copy, { recursive: true, force: true })
      const { text } = start()
      expect(start().text, 'a second restart runs the same').toBe(text)
      return text
    })
  }

  const nothing = async () => {}
  const flips = (texts: readonly string[]) =>
    texts.filter((text, index) => index > 0 && text !== texts[index - 1]).length

  it('during a change leaves the old configuration or the new one', async () => {
    const { cuts, steps } = await cutEverywhere(nothing, (store) => store.change(B))
    const texts = restartAll(cuts)
    expect([texts[0], texts.at(-1)]).toEqual([A, B])
    expect(flips(texts)).toBe(1)
    const at = (step: string) => steps.indexOf(step)
    expect(at('sync state/.last-good.yaml')).toBeGreaterThanOrEqual(0)
    expect(at('rename state/last-good.yaml')).toBeGreaterThan(at('sync state/.last-good.yaml'))
    expect(at('rename sixgate.yaml')).toBeGreaterThan(at('sync directory state'))
  })

  it('during a change that must be confirmed leaves the old configuration', async () => {
    const { cuts } = await cutEverywhere(nothing, (store) => store.change(B, { confirm: 60 }))
    expect(cuts.length).toBeGreaterThan(0)
    expect(new Set(restartAll(cuts))).toEqual(new Set([A]))
  })

  it('during the confirmation leaves the old configuration or the new one', async () => {
    const { cuts } = await cutEverywhere(
      (store) => store.change(B, { confirm: 60 }),
      (store) => store.confirm(),
    )
    const texts = restartAll(cuts)
    expect([texts[0], texts.at(-1), flips(texts)]).toEqual([A, B, 1])
  })

  it('during the rollback leaves the old configuration', async () => {
    const { cuts } = await cutEverywhere(
      (store) => store.change(B, { confirm: 60 }),
      (store) => store.rollback(),
    )
    expect(cuts.length).toBeGreaterThan(0)
    expect(new Set(restartAll(cuts))).toEqual(new Set([A]))
  })

  it('during the change of an edited file never loses the edit', async () => {
    const { cuts } = await cutEverywhere(
      async () => write(C),
      (store) => store.change(B),
    )
    for (const copy of cuts) {
      const texts = readdirSync(copy).filter((name) => name.startsWith('sixgate.yaml'))
      expect(texts.map((name) => read(join(copy, name)))).toContain(C)
    }
    restartAll(cuts)
  })
})
