// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { METRICS, renderMetrics } from '../../src/api/metrics.ts'
import { ask, configText, freePort, POLICY, SIIT, type Stage, setUp } from './api-fake.ts'

interface Family {
  readonly type: string
  readonly help: string
  readonly samples: { readonly labels: Record<string, string>; readonly value: number }[]
}

/** Reads the text format strictly, by its own grammar: HELP, TYPE, then the samples of that family. */
function parse(text: string): Map<string, Family> {
  expect(text.endsWith('\n')).toBe(true)
  const families = new Map<string, Family>()
  let help: [string, string] | undefined
  let current: [string, Family] | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-z_][a-z0-9_]*) (.+)$/.exec(line)
    if (comment) {
      const [, kind, name = '', rest = ''] = comment
      if (kind === 'HELP') help = [name, rest]
      else {
        expect(help?.[0]).toBe(name)
        expect(rest).toMatch(/^(counter|gauge)$/)
        expect(families.has(name), `${name} once`).toBe(false)
        current = [name, { type: rest, help: help?.[1] ?? '', samples: [] }]
        families.set(...current)
      }
      continue
    }
    const sample = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    expect(sample, line).not.toBeNull()
    const [, name, labels = '', value = ''] = sample ?? []
    expect(name).toBe(current?.[0])
    expect(Number.isFinite(Number(value)), line).toBe(true)
    current?.[1].samples.push({ labels: parseLabels(labels), value: Number(value) })
  }
  return families
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
    expect(match, rest).not.toBeNull()
    const [all = rest, name = '', value = ''] = match ?? []
    labels[name] = value.replace(/\\(.)/g, (_, one) => (one === 'n' ? '\n' : one))
    rest = rest.slice(all.length)
  }
  return labels
}

let stage: Stage

beforeAll(async () => {
  stage = await setUp(configText([`[::1]:${await freePort()}`], SIIT + POLICY))
})

afterAll(() => stage.close())

const scrape = async () => {
  const answer = await ask(stage.socket, '/metrics')
  expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parse(answer.text)
}

describe('metrics', () => {
  it('have every name of the table, counters named by their unit and _total', async () => {
    const families = await scrape()
    expect([...families.keys()]).toEqual(METRICS.map(({ name }) => name))
    for (const [name, { type }] of families) expect(name.endsWith('_total'), name).toBe(type === 'counter')
    for (const name of families.keys()) expect(name).toMatch(/^(sixgate|process)_/)
  })

  it('are labelled by pool, prefix, reason and client', async () => {
    const families = await scrape()
    const samples = (name: string) => families.get(name)?.samples
    expect(samples('sixgate_policy_dropped_packets_total')).toEqual([
      { labels: { node: 'no mail' }, value: 2 },
      { labels: { node: '#2' }, value: 2 },
    ])
    expect(samples('sixgate_pool_ports_used')).toEqual([{ labels: { pool: '198.51.100.64/28' }, value: 1 }])
    expect(samples('sixgate_nat64_prefix_info')).toEqual([{ labels: { prefix: '64:ff9b::/96' }, value: 1 }])
    expect(samples('sixgate_nat64_packets_total')).toEqual([
      { labels: { direction: '6to4' }, value: 4 },
      { labels: { direction: '4to6' }, value: 3 },
    ])
    expect(samples('sixgate_siit_bytes_total')).toEqual([
      { labels: { direction: '6to4' }, value: 500 },
      { labels: { direction: '4to6' }, value: 6000 },
    ])
    expect(samples('sixgate_siit_prefix_info')).toEqual([{ labels: { prefix: '2001:db8:100::/40' }, value: 1 }])
    expect(samples('sixgate_siit_mappings')?.[0]?.value).toBe(1)
    expect(samples('sixgate_dropped_packets_total')).toEqual([{ labels: { reason: 'HOP_LIMIT' }, value: 7 }])
    expect(samples('sixgate_client_bytes_total')).toEqual([
      { labels: { client: '2001:db8:1::5', direction: '6to4' }, value: 400 },
      { labels: { client: '2001:db8:1::5', direction: '4to6' }, value: 4000 },
    ])
    expect(samples('sixgate_binding_log_target_up')).toEqual([
      { labels: { target: '/var/log/bindings.jsonl' }, value: 0 },
    ])
    expect(samples('sixgate_dns64_upstream_up')).toEqual([
      { labels: { upstream: '[2001:db8::53]:53' }, value: 1 },
      { labels: { upstream: '192.0.2.53:53' }, value: 0 },
    ])
  })

  it('escape what stands in a label', () => {
    const version = 'a"b\\c\nd'
    const text = renderMetrics({ gateway: stage.gateway, store: stage.store, version })
    expect(parse(text).get('sixgate_build_info')?.samples[0]?.labels).toEqual({ version })
  })

  it('leave out what does not run', () => {
    const { config } = stage.store
    const { gateway: fake } = stage
    const gateway = {
      config,
      check: () => fake.check(),
      status: () => fake.status(),
      dataplane: undefined,
      dns64: undefined,
    }
    const names = [...parse(renderMetrics({ gateway, store: stage.store, version: '1' })).keys()]
    expect(names.filter((name) => /dns64|pool|sessions|siit/.test(name))).toEqual([])
    expect(names).toContain('sixgate_config_pending')
  })
})
