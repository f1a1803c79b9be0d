// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10   2001:db8:1::1  192.0.2.1    192.0.2.80
 *                    pool 198.51.100.64/28
 */
import { beforeAll, expect, it } from 'vitest'
import { Host, streamHash } from './host.ts'
import { drops, story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'
const MEGABYTE = 1 << 20

for (const datapath of ['tun', 'tc'] as const)
  story(`TCP through the gateway by ${datapath}`, [], () => {
    const scene = useScene(`tcp-${datapath}`, { config: { datapath } })
    let client: Host
    let server: Host

    beforeAll(async () => {
      client = await Host.start(scene.now.client)
      server = await Host.start(scene.now.server)
      await server.do('echo', { host: '192.0.2.80', port: 7 })
      await server.do('sink', { host: '192.0.2.80', port: 9 })
      await server.do('source', { host: '192.0.2.80', port: 19, seed: 'down', bytes: 64 * MEGABYTE })
    })

    it('lets the server see a pool address, which the session names', async () => {
      const { seen, local, text } = await client.do('greet', { host: SERVER, port: 7, text: 'hello' })
      expect(text).toBe('hello')
      expect(seen).toMatch(/^198\.51\.100\.(6[4-9]|7\d):\d+$/)
      const { body } = await scene.now.gateway.api('/api/v1/sessions?protocol=tcp&address=2001:db8:1::10')
      expect(body.sessions).toContainEqual(
        expect.objectContaining({
          client6: local,
          server6: '[64:ff9b::c000:250]:7',
          pool4: seen,
          server4: '192.0.2.80:7',
        }),
      )
    })

    it('keeps one pool address for one client', async () => {
      const greetings = [1, 2, 3, 4, 5, 6].map(() => client.do('greet', { host: SERVER, port: 7, text: 'x' }))
      const addresses = (await Promise.all(greetings)).map(({ seen }) => seen.split(':')[0])
      expect(new Set(addresses).size).toBe(1)
    })

    it('keeps the parity and the range of the source port', async () => {
      const even = await client.do('greet', { host: SERVER, port: 7, text: 'x', localPort: 40_000 })
      const odd = await client.do('greet', { host: SERVER, port: 7, text: 'x', localPort: 40_001 })
      expect(Number(even.seen.split(':')[1]) % 2).toBe(0)
      expect(Number(odd.seen.split(':')[1]) % 2).toBe(1)
    })

    it('carries four large downloads at once, unchanged', async () => {
      const handles = await Promise.all([1, 2, 3, 4].map(() => client.do('download', { host: SERVER, port: 19 })))
      const results = await Promise.all(handles.map((handle) => client.do('finish', { handle })))
      const sha256 = streamHash('down', 64 * MEGABYTE)
      for (const result of results) expect(result).toMatchObject({ bytes: 64 * MEGABYTE, sha256 })
    })

    it('carries four large uploads at once, unchanged', async () => {
      const seeds = ['a', 'b', 'c', 'd']
      const upload = (seed: string) => client.do('upload', { host: SERVER, port: 9, seed, bytes: 64 * MEGABYTE })
      const results = await Promise.all(seeds.map(upload))
      expect(results.map(({ sha256 }) => sha256)).toEqual(seeds.map((seed) => streamHash(seed, 64 * MEGABYTE)))
    })

    it('passes on the refusal of a closed port', async () => {
      await expect(client.do('greet', { host: SERVER, port: 4, text: 'x' })).rejects.toThrow(/ECONNREFUSED/)
    })

    it('loses no packet for a reason of its own', async () => {
      expect(await drops(scene.now.gateway)).not.toMatchObject({ BAD_CHECKSUM: expect.anything() })
      const { body } = await scene.now.gateway.api('/api/v1/status')
      expect(body.nat64.packets64).toBeGreaterThan(0)
      expect(body.nat64.packets46).toBeGreaterThan(0)
    })
  })
