// SPDX-License-Identifier: Apache-2.0
/**
 * The IPv4-only side of the lab: a page and the name server of its zone, which has nothing but A records.
 * `node origin.ts PAGE-ADDRESS DNS-ADDRESS ZONE`.
 */
import { createServer } from 'node:http'
import DNS from 'dns2'

const { Packet } = DNS
const [page = '', dns = '', zone = ''] = process.argv.slice(2)

const SOA = {
  name: zone,
  type: Packet.TYPE.SOA,
  class: Packet.CLASS.IN,
  ttl: 60,
  primary: `ns.${zone}`,
  admin: `hostmaster.${zone}`,
  serial: 1,
  refresh: 3600,
  retry: 600,
  expiration: 86400,
  minimum: 60,
}
const HOSTS: Record<string, string> = { [zone]: page, [`www.${zone}`]: page, [`ns.${zone}`]: dns }

const names = DNS.createServer({
  udp: true,
  tcp: true,
  handle(request, send) {
    const response = Packet.createResponseFromRequest(request)
    response.header.aa = 1
    const question = request.questions[0]
    const name = question?.name.toLowerCase() ?? ''
    const address = HOSTS[name]
    if (question && address && question.type === Packet.TYPE.A)
      response.answers.push(Packet.createResourceFromQuestion(question, { ttl: 300, address }))
    else {
      if (!address) response.header.rcode = Packet.RCODE.NXDOMAIN
      response.authorities.push(SOA as never)
    }
    send(response)
  },
})
await names.listen({ udp: { port: 53, address: dns }, tcp: { port: 53, address: dns } })

const web = createServer((request, response) => {
  const from = `${request.socket.remoteAddress}:${request.socket.remotePort}`
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Hello from ${request.headers.host}, which has IPv4 only. You reached it from ${from}.\n`)
})
await new Promise<void>((resolve) => web.listen(80, page, resolve))
process.send?.('ready')
