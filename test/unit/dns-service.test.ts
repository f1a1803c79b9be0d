// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { startDns64 } from '../../src/dns64/server.ts'
import {
  A,
  AAAA,
  buildQuery,
  exchange,
  exchangeTcp,
  frame,
  freePort,
  Gateway,
  gatewayOptions,
  table,
} from './dns-fake.ts'
import { closing, upstreamOf, WEB } from './dns-setup.ts'

describe('the DNS64 service', () => {
  it('logs each query when told to, with the canonical client, and none otherwise', async () => {
    const lines: unknown[] = []
    let wake = () => {}
    const info = (line: unknown) => {
      lines.push(line)
      wake()
    }
    const options = gatewayOptions(await freePort(), [await upstreamOf(table(WEB))], { queryLog: true })
    const server = await startDns64({ ...options, log: { info, warn: info } })
    closing(server)
    const port = Number(options.config.listen[0]!.split(':').at(-1))
    await exchange(buildQuery('Web.example', AAAA), port)
    await exchange(buildQuery('web.example', 65), port, '::1')
    await exchange(buildQuery('a.example', 4711), port)
    while (lines.length < 3) await new Promise<void>((resolve) => (wake = resolve))
    expect(lines).toEqual([
      { client: '127.0.0.1', name: 'Web.example.', type: 'AAAA' },
      { client: '::1', name: 'web.example.', type: 'HTTPS' },
      { client: '127.0.0.1', name: 'a.example.', type: 'TYPE4711' },
    ])
    await server.update({ ...options, config: { ...options.config, queryLog: false }, log: { info, warn: info } })
    await exchange(buildQuery('web.example', AAAA), port)
    await new Promise((resolve) => setImmediate(resolve))
    expect(lines).toHaveLength(3)
  })

  it('counts queries, answers by RCODE, synthesis and cache hits', async () => {
    const gateway = await Gateway.start([await upstreamOf(table(WEB))])
    closing(gateway)
    await gateway.ask('web.example', AAAA)
    await gateway.ask('web.example', AAAA)
    await exchangeTcp(frame(buildQuery('web.example', A)), gateway.port)
    await gateway.ask('gone.example', A)
    await gateway.send(Buffer.concat([buildQuery('web.example', A), Buffer.from([0])]))
    const stats = gateway.server.stats()
    expect(stats.queries).toEqual({ udp: 4, tcp: 1 })
    expect(stats.answers).toMatchObject({ NOERROR: 3, NXDOMAIN: 1, FORMERR: 1, SERVFAIL: 0 })
    expect([stats.synthesised, stats.cache.hits, stats.cache.misses]).toEqual([2, 2, 2])
    expect([stats.outstanding, stats.dropped.malformed]).toEqual([0, 1])
  })

  it('reads no more from a client that reads no answers, and serves the others', async () => {
    const gateway = await Gateway.start([await upstreamOf(table(WEB))])
    closing(gateway)
    const socket = connect(gateway.port, '127.0.0.1')
    socket.pause()
    const closed = once(socket, 'close')
    socket.on('error', () => {})
    const query = frame(buildQuery('ipv4only.arpa', A))
    const many = Buffer.concat(Array.from({ length: 2000 }, () => query))
    const write = () => {
      while (!socket.destroyed && socket.write(many)) {}
    }
    socket.on('drain', write)
    write()
    for (let number = 0; number < 200; number++) {
      expect((await gateway.ask('ipv4only.arpa', A)).answers).toHaveLength(2)
    }
    // What it does not read fills the buffers between, and then ours.
    expect(socket.writableNeedDrain).toBe(true)
    expect(gateway.server.stats().queries.tcp).toBeLessThan(200_000)
    socket.destroy()
    await closed
  })

  it('frees its ports when the environment that had them ends', async () => {
    const options = gatewayOptions(await freePort(), [await upstreamOf(table(WEB))], {})
    const { log: _, ...data } = options
    const url = new URL('../../src/dns64/server.ts', import.meta.url).href
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      const log = { info() {}, warn() {} }
      import(workerData.url).then(({ startDns64 }) => startDns64({ ...workerData.data, log })).then(() => parentPort.postMessage('up'))`
    const worker = new Worker(code, { eval: true, workerData: { url, data } })
    await once(worker, 'message')
    await expect(startDns64(options)).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    await worker.terminate()
    const server = await startDns64(options)
    closing(server)
  })

  it('leaves nothing open behind close()', async () => {
    const options = gatewayOptions(await freePort(), [await upstreamOf(table(WEB))], {})
    for (let turn = 0; turn < 3; turn++) {
      const server = await startDns64(options)
      await server.close()
    }
  })
})
