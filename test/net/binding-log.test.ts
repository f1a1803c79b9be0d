// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   logs bindings               192.0.2.80 says whom it sees, and collects IPFIX
 */
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { until } from '../lab/process.ts'
import { Host } from './host.ts'
import { capture, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const COLLECTOR = { address: '192.0.2.80:4739', observationDomain: 9 }
const FIELDS = [
  'nat_event',
  'protocol',
  'srcaddrv6',
  'srcport',
  'post_natsource_ipv4_address',
  'post_naptsource_transport_port',
]

interface Line {
  readonly time: string
  readonly event: string
  readonly protocol?: string
  readonly inside?: string
  readonly outside?: string
  readonly since?: string
}

story('The log of bindings', ['tcpdump', 'tshark'], () => {
  const directory = mkdtempSync(join(tmpdir(), 'sixgate-binding-log-'))
  const file = join(directory, 'log/bindings.jsonl')
  const scene = useScene('bindlog', {
    config: {
      nat64: { timeouts: { tcpTransitory: '1s' } },
      log: { bindings: { files: [file], collectors: [COLLECTOR, { ...COLLECTOR, transport: 'udp' }] } },
    },
    extend: async ({ server: namespace }) => {
      wire = await capture(namespace, 'eth0', 'port 4739')
      const server = await Host.start(namespace)
      await server.do('echo', { host: '192.0.2.80', port: 8000 })
      await server.do('sink', { host: '192.0.2.80', port: 4739 })
      await server.do('udpListen', { host: '192.0.2.80', port: 4739 })
    },
  })
  let client: Host
  let wire: Awaited<ReturnType<typeof capture>>

  const lines = (of = file): Line[] =>
    readFileSync(of, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const about = (outside: string, of?: string) => lines(of).filter((line) => line.outside === outside)
  const greet = (port: number) =>
    client.do('greet', { host: SERVER, port: 8000, text: 'who am I?', localPort: port }).then(({ seen }) => seen)

  beforeAll(async () => {
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
    // the age of a binding is counted in ticks of 128 ms, from the batch of its first packet on, and may be 1 ms off
    const times = [before - 1000, deleted?.since, created?.time, deleted?.time, Date.now()]
    const order = times.map((time) => (typeof time === 'number' ? time : Date.parse(time ?? '')))
    order[1] = (order[1] ?? 0) - 1
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
    expect(body.bindingLog).toMatchObject({
      lost: 0,
      targets: [
        { target: file, format: 'json', lost: 0, error: '' },
        { target: 'tcp 192.0.2.80:4739', format: 'ipfix', lost: 0, error: '' },
        { target: 'udp 192.0.2.80:4739', format: 'ipfix', lost: 0, error: '' },
      ],
    })
    const { text } = await scene.now.gateway.api('/metrics')
    const written = Number(/^sixgate_binding_log_target_written_total\{.*\} (\d+)$/m.exec(text)?.[1])
    expect(written).toBeGreaterThanOrEqual(3)
  })

  it('reaches collectors over TCP and UDP, as Wireshark reads them', async () => {
    const seen = await greet(40_004)
    await until('the port is released', async () => about(seen).length === 2)
    const [address, port] = seen.split(':')
    const expected = ['10', '11'].map((event) => [event, '6', '2001:db8:1::10', '40004', address, port])
    const flowsOver = async (proto: string) => {
      const packets = await wire.packets(['ip.proto', 'cflow.od_id', ...FIELDS.map((field) => `cflow.${field}`)], {
        stop: false,
      })
      return packets
        .filter((packet) => packet[0] === proto && packet[1] === '9')
        .flatMap(([, , ...columns]) => {
          const values = columns.map((column) => column.split(','))
          return values[0]?.map((_, row) => values.map((column) => column[row])) ?? []
        })
        .filter((flow) => flow[3] === '40004')
    }
    for (const proto of ['6', '17'])
      await until(`both events went over protocol ${proto}`, async () => (await flowsOver(proto)).length === 2)
    expect(await flowsOver('6')).toEqual(expected)
    expect(await flowsOver('17')).toEqual(expected)
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
