// SPDX-License-Identifier: Apache-2.0
/*
 *   client ── lan0 gateway wan0 ── server
 *                  │ its own programs          192.0.2.80
 */
import { expect, it } from 'vitest'
import { Host, streamHash } from './host.ts'
import { story, useScene } from './story.ts'

const SERVER = '64:ff9b::192.0.2.80'

story("The gateway host's own traffic", ['ping'], () => {
  const scene = useScene('own')

  it('is translated like anyone else', async () => {
    const server = await Host.start(scene.now.server)
    const host = await Host.start(scene.now.router)
    const bytes = 8 << 20
    await server.do('source', { host: '192.0.2.80', port: 19, seed: 'own', bytes })
    await server.do('udpEcho', { host: '192.0.2.80', port: 7 })
    const handle = await host.do('download', { host: SERVER, port: 19 })
    expect(await host.do('finish', { handle })).toMatchObject({ bytes, sha256: streamHash('own', bytes) })
    expect((await host.do('udpAsk', { host: SERVER, port: 7, sizes: [100, 4000] })).sizes).toEqual([100, 4000])
    expect(await scene.now.router.run('ping', ['-6', '-c', '1', '-W', '3', SERVER])).toMatch(/ 1 received/)
  })
})
