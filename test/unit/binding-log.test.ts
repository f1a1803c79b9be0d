// SPDX-License-Identifier: Apache-2.0
import { appendFileSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Ascii } from '../../src/binding-log/ascii.ts'
import { JsonFile } from '../../src/binding-log/json-file.ts'
import { JsonLines } from '../../src/binding-log/json-lines.ts'
import { RECORD_SIZE } from '../../src/binding-log/record.ts'
import { BindingLogService } from '../../src/binding-log.ts'
import { ManualClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { GatewayError } from '../../src/errors.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { addressFromBytes } from '../../src/net/address.ts'
import { EVENTS, type Event, record, TIME } from './binding-log-records.ts'

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-log-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  return directory
}

/** A log that keeps what it is told. */
function listening() {
  const told: string[] = []
  const log = { child: () => log, info: (_: unknown, text: string) => told.push(text) } as unknown as Log
  Object.assign(log, { error: log.info, warn: log.info })
  return { log, told }
}

const binding: Event = { ...(EVENTS[0] as Event) }
const read = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
const events = (file: string) => read(file).map(({ event }) => event)

describe('a line of the log of bindings', () => {
  it('is one JSON object with canonical addresses, for each kind of event', () => {
    const lines = new JsonLines()
    lines.setPools([['192.0.2.0/31'], ['198.51.100.64/28', '198.51.100.80/32']])
    const text = String(lines.lines(Buffer.concat(EVENTS.map(record)), EVENTS.length))
    const objects = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const { time } of objects) expect(time).toBe(TIME)
    const inside = '[2001:db8:1::10]:40000'
    const outside = '198.51.100.64:50000'
    expect(objects.map(({ time: _, ...rest }) => rest)).toEqual([
      { event: 'binding-created', protocol: 'tcp', inside, outside },
      {
        event: 'binding-deleted',
        protocol: 'udp',
        inside: '[2001:db8:1::11]:53',
        outside: '198.51.100.65:1053',
        since: TIME,
      },
      {
        event: 'session-created',
        protocol: 'icmp',
        inside: '[2001:db8:1::10]:7',
        outside: '198.51.100.64:8',
        remote: '192.0.2.80',
      },
      {
        event: 'session-deleted',
        protocol: 'tcp',
        inside,
        outside,
        remote: '192.0.2.80:443',
        since: '2026-02-03T03:05:06.007Z',
      },
      { event: 'block-allocated', inside: '2001:db8:1::/64', outside: '198.51.100.64', ports: '1024-1151' },
      { event: 'block-released', inside: '2001:db8:1::10', outside: '198.51.100.64', ports: '1024-1151' },
      { event: 'addresses-exhausted', protocol: 'udp', pool: ['198.51.100.64/28', '198.51.100.80/32'] },
      { event: 'ports-exhausted', protocol: 'tcp', outside: '198.51.100.64' },
      { event: 'quota-exceeded', quota: 'sessions', limit: 1_048_576 },
      { event: 'quota-exceeded', quota: 'client', limit: 40, inside: '2001:db8:1::10' },
    ])
  })

  it('keeps its millisecond over the turn of a second and of many clients', () => {
    const lines = new JsonLines()
    const times = ['2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00.000Z', '2027-01-01T00:00:00.001Z']
    const records = Array.from({ length: 40_000 }, (_, index) =>
      record({ ...binding, time: times[index % 3] ?? '', inside: `[2001:db8::${index.toString(16)}]:9` }),
    )
    const text = String(lines.lines(Buffer.concat(records), records.length))
      .trimEnd()
      .split('\n')
    const last = JSON.parse(text[39_999] ?? '')
    expect(last.time).toBe('2026-12-31T23:59:59.999Z')
    expect(last.inside).toBe('[2001:db8::9c3f]:9')
    expect(JSON.parse(text[2] ?? '').time).toBe(times[2])
  })
})

describe('text written byte by byte', () => {
  it('is the canonical text of every shape of IPv6 address', () => {
    const out = new Ascii(64)
    const groups = [0, 0, 0, 1, 0xf, 0x10, 0xff, 0x100, 0xfff, 0x1000, 0xffff]
    const mapped = Buffer.from('00000000000000000000ffffc0000221', 'hex')
    const all = [mapped, Buffer.alloc(16), Buffer.alloc(16, 255)]
    // each pattern of zero groups, the others of changing length
    for (let pattern = 0; pattern < 1 << 8; pattern++) {
      const address = Buffer.alloc(16)
      for (let group = 0; group < 8; group++)
        if (pattern & (1 << group))
          address.writeUInt16BE(groups[(pattern * 7 + group * 5) % groups.length] || 1, 2 * group)
      all.push(address)
    }
    for (const address of all) expect(String(out.ipv6(address, 0).take())).toBe(String(addressFromBytes(address)))
  })

  it('has numbers with all their digits', () => {
    const out = new Ascii(64)
    for (const value of [0, 9, 10, 99, 100, 65_535, 99_999, 100_000, 2 ** 31, 2 ** 32 - 1])
      expect(String(out.number(value).take())).toBe(String(value))
    for (const value of [0, 7, 42, 999, 1000])
      expect(String(out.number(value, 3).take())).toBe(String(value).padStart(3, '0'))
  })
})

describe('a file of the log of bindings', () => {
  it('is appended to, from a line about its start to one about its end', async () => {
    const file = join(scratch(), 'new/directory/bindings.jsonl')
    for (const existing of [0, 7]) {
      const target = await JsonFile.open(file, silentLog, existing)
      target.write(record(binding), 1)
      target.missed(5)
      await target.close()
      expect(target.stats()).toMatchObject({ target: file, format: 'json', written: 1, lost: 0, error: '' })
    }
    expect(events(file)).toEqual([
      ...['start', 'binding-created', 'lost', 'stop'],
      ...['start', 'binding-created', 'lost', 'stop'],
    ])
    expect(read(file)[4]?.bindings).toBe(7)
    expect(read(file)[2]?.events).toBe(5)
  })

  it('is made anew when it was renamed or deleted, and nothing is written to the old one', async () => {
    const directory = scratch()
    const file = join(directory, 'bindings.jsonl')
    const target = await JsonFile.open(file, silentLog, 0)
    await expect.poll(() => events(file)).toEqual(['start'])
    renameSync(file, `${file}.1`)
    target.write(record(binding), 1)
    await expect.poll(() => existsSync(file) && events(file)).toEqual(['binding-created'])
    rmSync(file)
    target.write(record(binding), 1)
    await target.close()
    expect(events(file)).toEqual(['binding-created', 'stop'])
    expect(events(`${file}.1`)).toEqual(['start'])
  })

  it('that takes nothing costs a counter, and one sentence for each time it begins', async () => {
    const directory = scratch()
    const file = join(directory, 'bindings.jsonl')
    const { log, told } = listening()
    symlinkSync('/dev/full', file)
    const target = await JsonFile.open(file, log, 0)
    for (let count = 1; count <= 3; count++) {
      target.write(record(binding), 1)
      await expect.poll(() => target.stats().lost).toBe(count)
    }
    expect(target.stats().error).toMatch(/ENOSPC/)
    expect(told).toEqual(['the log of bindings loses events'])
    rmSync(file)
    target.write(record(binding), 1)
    await expect.poll(() => target.stats().written).toBe(1)
    expect(target.stats().error).toBe('')
    expect(told[1]).toBe('the log of bindings is written again')
    await target.close()
    expect(events(file)).toEqual(['binding-created', 'stop'])
  })
})

/** A data plane that has events to tell. */
class Plane {
  waiting: Buffer[] = []
  counters = { events: 0, lost: 0 }

  note(count: number): void {
    for (let index = 0; index < count; index++) this.waiting.push(record({ ...binding, value: index }))
    this.counters = { ...this.counters, events: this.counters.events + count }
  }
  readLog(buffer: Buffer): number {
    const batch = this.waiting.splice(0, Math.floor(buffer.length / RECORD_SIZE))
    Buffer.concat(batch).copy(buffer)
    return batch.length
  }
  logCounters = () => this.counters
  status = () => ({ bindings: 3 }) as never
}

const configOf = (...files: string[]) =>
  loadConfig(`
version: 1
nat64: { allowNonGlobal: true, pools: [{ addresses: ["198.51.100.64/28"] }] }
${files.length > 0 ? `log: { bindings: { files: ${JSON.stringify(files)} } }` : ''}
`)

function service(plane: Plane | undefined = new Plane()) {
  const clock = new ManualClock()
  const box: { plane: Plane | undefined } = { plane }
  const log = new BindingLogService(() => box.plane, clock, silentLog)
  onTestFinished(() => log.close())
  return { plane, clock, box, log }
}

describe('the log of bindings', () => {
  it('is not there, and fetches nothing, unless it is configured', async () => {
    const { plane, clock, log } = service()
    await log.update(configOf())
    plane.note(1)
    clock.advance(10_000)
    expect(log.status()).toBeUndefined()
    expect(plane.waiting).toHaveLength(1)
    expect(clock.waiting).toBe(0)
  })

  it('fetches what was noted, also before it was opened, in batches while others have their turn', async () => {
    const file = join(scratch(), 'a.jsonl')
    const { plane, clock, log } = service()
    plane.note(10_000)
    await log.update(configOf(file))
    clock.advance(100)
    expect(plane.waiting).toHaveLength(0)
    await log.close()
    expect(read(file)).toHaveLength(10_002)
    expect(read(file)[0]).toMatchObject({ event: 'start', bindings: 3 })
  })

  it('says in each file how many events were lost, once', async () => {
    const file = join(scratch(), 'a.jsonl')
    const { plane, clock, log } = service()
    await log.update(configOf(file))
    plane.counters = { events: 5, lost: 2 }
    clock.advance(1000)
    plane.counters = { events: 5, lost: 9 }
    clock.advance(1000)
    expect(log.status()).toMatchObject({ events: 5, lost: 9 })
    await log.close()
    expect(read(file).flatMap(({ event, events }) => (event === 'lost' ? [events] : []))).toEqual([2, 7])
  })

  it('takes over files that stay, adds and ends others without losing an event', async () => {
    const directory = scratch()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(directory, `${name}.jsonl`)) as [string, string, string]
    const { plane, clock, log } = service()
    await log.update(configOf(a, b))
    plane.note(2)
    await log.update(configOf(b, c))
    plane.note(3)
    clock.advance(100)
    await log.update(configOf())
    const count = (file: string) => events(file).filter((event) => event === 'binding-created').length
    expect([a, b, c].map(count)).toEqual([2, 5, 3])
    expect(events(b).filter((event) => event === 'start')).toHaveLength(1)
    expect(log.status()).toBeUndefined()
  })

  it('refuses a file that cannot be opened and goes on as it was', async () => {
    const directory = scratch()
    const [good, other] = [join(directory, 'good'), join(directory, 'other')]
    appendFileSync(join(directory, 'file'), '')
    const { plane, clock, log } = service()
    await log.update(configOf(good))
    const refusal = await log.update(configOf(other, join(directory, 'file/below'))).catch((error) => error)
    expect(refusal).toBeInstanceOf(GatewayError)
    expect(refusal).toMatchObject({ code: 'LOG_UNWRITABLE' })
    expect(refusal.message).toContain(join(directory, 'file/below'))
    plane.note(1)
    clock.advance(100)
    await log.close()
    expect(events(good)).toEqual(['start', 'binding-created', 'stop'])
  })

  it('still has what a data plane noted before it closed, and counts over several', async () => {
    const file = join(scratch(), 'a.jsonl')
    const { plane, box, log } = service()
    await log.update(configOf(file))
    plane.note(4)
    plane.counters.lost = 1
    box.plane = undefined
    log.over(plane)
    box.plane = new Plane()
    box.plane.note(1)
    expect(log.status()).toMatchObject({ events: 5, lost: 1 })
    log.over(box.plane)
    await log.close()
    expect(events(file).filter((event) => event === 'binding-created')).toHaveLength(5)
    expect(events(file).filter((event) => event === 'lost')).toHaveLength(1)
  })
})

describe('the section log.bindings', () => {
  const faults = (text: string) => {
    try {
      loadConfig(`version: 1\n${text}`)
      return []
    } catch (error) {
      return (error as GatewayError).faults.map(({ path, message }) => `${path} ${message}`)
    }
  }
  const nat64 = 'nat64: { pools: [{ addresses: ["198.51.100.64/28"] }], prefixes: ["2001:db8:64::/96"] }\n'

  it('needs a place to write to and something to write about', () => {
    expect(faults(`${nat64}log: { bindings: {} }`)).toEqual(['/log/bindings has nowhere to write'])
    expect(faults('log: { bindings: { files: ["/a"] } }')).toEqual([
      '/log/bindings is there, but no nat64 that makes bindings',
    ])
    expect(faults(`${nat64}log: { bindings: { files: ["/a", "/b/../a"] } }`)).toEqual([
      '/log/bindings/files/1 /a stands already at /log/bindings/files/0',
    ])
    expect(faults(`${nat64}log: { bindings: { files: ["a"] } }`)).toEqual([
      '/log/bindings/files/0 "a" is no absolute path',
    ])
    expect(faults(`${nat64}log: { bindings: { files: ["/a/"] } }`)).toEqual([
      '/log/bindings/files/0 "/a/" names a directory',
    ])
  })
})
