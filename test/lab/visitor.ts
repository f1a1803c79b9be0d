// SPDX-License-Identifier: Apache-2.0
/** What a browser does on the IPv6-only client: look the name up as the system does, then fetch the page. */
import { lookup } from 'node:dns/promises'
import { get } from 'node:http'

const [name = ''] = process.argv.slice(2)
const addresses = await lookup(name, { all: true })
const text = await new Promise<string>((resolve, reject) => {
  const call = get({ host: name, path: '/', agent: false, timeout: 10_000 }, (response) => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', (chunk) => {
      body += chunk
    })
    response.on('end', () => resolve(body))
    response.on('error', reject)
  })
  call.on('error', reject)
  call.on('timeout', () => call.destroy(new Error('the page did not come within 10 s')))
})
process.stdout.write(`${JSON.stringify({ addresses: addresses.map((each) => each.address), page: text.trim() })}\n`)
