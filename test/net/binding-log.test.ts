// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   logs bindings               192.0.2.80 says whom it sees
 */
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

interface Line {
  readonly time: string
  readonly event: string
  readonly protocol?: string
  readonly inside?: string
  readonly outside?: string
  readonly since?: string
}

story('The log of bindings', [], () => {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-binding-log-'))
  const file = join(directory, 'log/bindings.jsonl')
  const scene = useScene('bindlog', {
    config: {
      nat64: { timeouts: { tcpTransitory: '1s' } },
      log: { bindings: { files: [file] } },
    },
  })
  let client: Host

  const lines = (of = file): Line[] =>
    readFileSync(of, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const about = (outside: string, of?: string) => lines(of).filter((line) => line.outside === outside)
  const greet = (port: number) =>
    client.do('greet', { host: SERVER, port: 8000, text: 'who am I?', localPort: port }).then(({ seen }) => seen)

  beforeAll(async () => {
    const server = await Host.start(scene.now.server)
    await server.do('echo', { host: '192.0.2.80', port: 8000 })
    client = await Host.start(scene.now.client)
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it('says whom the server saw, from the first packet to the release of the port', async () => {
    const before = Date.now()
    const seen = await greet(40_001)
    await until('the port is released', async () => about(seen).length === 2)
    const [created, deleted] = about(seen)
    const facts = { protocol: 'tcp', inside: '[2001:db8:1::10]:40001', outside: seen }
    expect(created).toMatchObject({ event: 'binding-created', ...facts })
    expect(deleted).toMatchObject({ event: 'binding-deleted', ...facts })
    expect(created).not.toHaveProperty('since')
    // the age of a binding is counted in ticks of 128 ms, from the batch its first packet came in
    const times = [before - 1000, deleted?.since, created?.time, deleted?.time, Date.now()]
    const order = times.map((time) => (typeof time === 'number' ? time : Date.parse(time ?? '')))
    expect(order).toEqual(order.toSorted((a, b) => a - b))
  })

  it('follows a rotation by rename without a signal', async () => {
    renameSync(file, `${file}.1`)
    const seen = await greet(40_002)
    await until('the new file has the binding', async () => {
      try {
        return about(seen).length > 0
      } catch {
        return false
      }
    })
    expect(about(seen, `${file}.1`)).toEqual([])
  })

  it('is counted in the status and the metrics', async () => {
    const { body } = await scene.now.gateway.api('/api/v1/status')
    expect(body.bindingLog).toMatchObject({ lost: 0, targets: [{ target: file, format: 'json', lost: 0, error: '' }] })
    const { text } = await scene.now.gateway.api('/metrics')
    const written = Number(/^sixgate_binding_log_target_written_total\{.*\} (\d+)$/m.exec(text)?.[1])
    expect(written).toBeGreaterThanOrEqual(3)
  })

  it('starts, changes its events and ends with a change of the configuration', async () => {
    const { gateway } = scene.now
    const change = async (edit: (log: Record<string, unknown>) => void) => {
      const { body, headers } = await gateway.api('/api/v1/config')
      edit(body.log)
      const answer = await gateway.api('/api/v1/config', {
        method: 'PUT',
        body,
        headers: { 'if-match': String(headers.etag) },
      })
      expect(answer.status, answer.text).toBe(200)
    }
    await change((log) => {
      log.bindings = { files: [file], events: 'sessions' }
    })
    const seen = await greet(40_003)
    await until('the session is logged', async () => about(seen).length > 0)
    expect(about(seen)[0]).toMatchObject({ event: 'session-created', remote: '192.0.2.80:8000' })
    await change((log) => {
      delete log.bindings
    })
    expect(lines().at(-1)?.event).toBe('stop')
    const { body } = await gateway.api('/api/v1/status')
    expect(body.bindingLog).toBeNull()
  })
})
