// SPDX-License-Identifier: Apache-2.0
/*
 *   client ───────── lan0 gateway wan0 ───────── server
 *   2001:db8:1::10                                192.0.2.80
 *   2001:db8:1:1::10                              a block of 100 ports for each /64, by arithmetic
 */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { clientOf, portsOf } from '../../src/deterministic.ts'
import { parseAddress, parseEndpoint } from '../../src/net/address.ts'
import { until } from '../lab/process.ts'
import { story, useScene } from './story.ts'

const CLIENTS = ['2001:db8:1::10', '2001:db8:1:1::10']

/** Sends an echo request with each of 100 identifiers. */
const PING = `
import socket, struct, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.bind((sys.argv[1], 0))
for identifier in range(5000, 5100):
    raw.sendto(struct.pack("!BBHHH", 128, 0, 0, identifier, 1), ("64:ff9b::192.0.2.80", 0))
`

story('Ports that follow from the client', ['/usr/bin/python3'], () => {
  const pool = {
    addresses: ['198.51.100.64/31'],
    ports: '2000-65535',
    blockSize: 100,
    deterministic: true,
    clients: ['2001:db8:1::/60'],
  }
  const scene = useScene('determined', {
    config: { nat64: { pools: [pool] } },
    extend: async ({ client, router }) => {
      await client.ip('address', 'add', `${CLIENTS[1]}/64`, 'dev', 'eth0', 'nodad')
      await router.ip('-6', 'route', 'add', '2001:db8:1:1::/64', 'dev', 'lan0')
    },
  })

  it('are those that the configuration tells', async () => {
    const { gateway, client, configFile } = scene.now
    const nat64 = loadConfig(readFileSync(configFile, 'utf8')).nat64
    if (!nat64) throw new Error('no nat64')
    for (const source of CLIENTS) {
      await client.run('/usr/bin/python3', ['-c', PING, source])
      const list = async () => (await gateway.api(`/api/v1/bindings?address=${source}`)).body.bindings
      await until('all identifiers are bound', async () => (await list()).length === 100)
      const bindings = await list()
      const [own] = portsOf(nat64, parseAddress(source))
      for (const { outside } of bindings) {
        const { address, port } = parseEndpoint(outside)
        expect(clientOf(nat64, address, port)).toEqual([own])
      }
    }
  })
})
