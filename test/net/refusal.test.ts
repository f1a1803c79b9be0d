// SPDX-License-Identifier: Apache-2.0
/*
 *   client ── lan0 gateway wan0 ── server        starts that must fail, each with one line
 */
import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { Gateway } from '../lab/gateway.ts'
import { Host } from './host.ts'
import { configuration, type Overrides, story, useScene } from './story.ts'

story('A gateway that cannot start', ['setpriv'], () => {
  const scene = useScene('refuse', { idle: true })
  let count = 0

  async function refused(config: Overrides, wrapper: string[] = []): Promise<string> {
    const { topology, router } = scene.now
    const file = topology.ownPath(`/run/sixgate-lab/refuse-${topology.id}-${count}.yaml`)
    writeFileSync(file, configuration(config))
    const gateway = new Gateway(router, file, `r${topology.id}${count++}`)
    const process = gateway.launch(wrapper)
    const { code } = await process.exited
    expect(code).toBe(1)
    return process.output
      .split('\n')
      .filter((line) => line && !line.startsWith('{'))
      .join('\n')
  }

  it('says which port is in use', async () => {
    const host = await Host.start(scene.now.router)
    await host.do('echo', { host: '::', port: 8064 })
    const text = await refused({ api: { listen: ['[::1]:8064'] } })
    expect(text).toMatch(/^sixgate: \[::1\]:8064 is in use[^\n]*listen/)
    expect(text.split('\n')).toHaveLength(1)
  })

  it('says which capability is missing', async () => {
    const text = await refused({ api: { listen: ['[::1]:8065'] } }, [
      ...['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'],
    ])
    expect(text).toMatch(/^sixgate: The capability CAP_NET_ADMIN is missing/)
    expect(text.split('\n')).toHaveLength(1)
  })

  it('names each fault of the file with its path and what to write', async () => {
    const text = await refused({
      nat64: { pools: [{ addresses: ['198.51.100.0/24'] }, { addresses: ['198.51.100.9'] }] },
    })
    expect(text).toMatch(/\/nat64\/pools\/1/)
  })

  it('refuses a pool that is an address of the host without ports to share', async () => {
    const text = await refused({ nat64: { pools: [{ addresses: ['192.0.2.1'] }] } })
    expect(text).toMatch(/\/nat64\/pools\/0/)
    expect(text).toMatch(/192\.0\.2\.1/)
  })

  it('leaves nothing behind', async () => {
    const { router } = scene.now
    expect(await router.ip('-o', 'link')).not.toMatch(/sixgate/)
    expect(await router.run('nft', ['list', 'ruleset'])).not.toMatch(/sixgate/)
    expect(await router.ip('-6', 'route', 'show', 'table', 'all')).not.toMatch(/64:ff9b/)
  })
})
