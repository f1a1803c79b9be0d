// SPDX-License-Identifier: Apache-2.0
/*
 *   client ── lan0 gateway wan0 ── server        lan0 and wan0 have addresses of their own beforehand
 */
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { Namespace } from '../lab/netns.ts'
import { until } from '../lab/process.ts'
import { story, useScene } from './story.ts'

/** Everything of a namespace that a gateway could leave behind. */
async function portrait(namespace: Namespace): Promise<Record<string, string>> {
  const strip = (text: string) => text.replace(/expires \d+sec|valid_lft \S+|preferred_lft \S+/g, '')
  const sysctls = await namespace.run('sh', ['-c', 'sysctl -a 2>/dev/null | grep -E "^net\\." || true'])
  return {
    addresses: strip(await namespace.ip('-o', 'address')),
    links: await namespace.ip('-o', 'link'),
    routes4: await namespace.ip('route', 'show', 'table', 'all'),
    routes6: strip(await namespace.ip('-6', 'route', 'show', 'table', 'all')),
    rules4: await namespace.ip('rule'),
    rules6: await namespace.ip('-6', 'rule'),
    neighbours: await namespace.ip('neighbour', 'show', 'proxy'),
    nft: await namespace.run('nft', ['list', 'ruleset']),
    qdisc: await namespace.run('tc', ['qdisc', 'show']),
    sysctls: sysctls
      .split('\n')
      .filter((line) => !/random|nf_conntrack_count|\.stat|tcp_mem|udp_mem/.test(line))
      .join('\n'),
  }
}

/** Link-local addresses appear and lose `tentative` by themselves. */
function settled(namespace: Namespace): Promise<true> {
  return until('both links have their link-local address', async () => {
    const text = await namespace.ip('-6', '-o', 'address', 'show', 'scope', 'link')
    return !/tentative/.test(text) && /lan0/.test(text) && /wan0/.test(text)
  })
}

story('An orderly stop', ['nft', 'tc', 'sysctl'], () => {
  const scene = useScene('stop', {
    idle: true,
    config: {
      nat64: {
        pools: [
          { addresses: ['198.51.100.64/28'], announce: true },
          { addresses: ['192.0.2.1'], ports: '40000-50000' },
        ],
      },
    },
    async extend({ router }) {
      await router.ip('address', 'add', '192.0.2.200/24', 'dev', 'wan0')
      await router.ip('route', 'add', '203.0.113.0/24', 'via', '192.0.2.80')
    },
  })

  it('leaves the namespace as it was', async () => {
    const { router, gateway } = scene.now
    await settled(router)
    const before = await portrait(router)
    await gateway.start()
    const during = await portrait(router)
    expect(during.links).toContain(gateway.device)
    expect(during.nft).toMatch(/table inet sixgate/)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    expect(await portrait(router)).toEqual(before)
    expect(existsSync(`${gateway.runDirectory}/api.sock`)).toBe(false)
  })

  it('does so after a kill and a second life', async () => {
    const { router, gateway } = scene.now
    await settled(router)
    const before = await portrait(router)
    await gateway.start()
    await gateway.stop('SIGKILL')
    await gateway.start()
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    expect(await portrait(router)).toEqual(before)
  })
})
