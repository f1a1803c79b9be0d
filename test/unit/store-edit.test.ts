// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { addStatic, putTunnel, removeStatic, removeTunnel, type StaticBinding } from '../../src/config/edit.ts'
import { loadConfig } from '../../src/config/load.ts'

const HEAD = `# my gateway
version:   1 # odd spaces
nat64:
    # the pool of the office
    allowNonGlobal: true
`
const POOLS = `    pools: [{addresses: ["198.51.100.64/28"]}] # leased
`
const TAIL = `
# below
log: {level: debug}
`

const binding: StaticBinding = { protocol: 'udp', inside: '[2001:db8:1::6]:53', outside: '198.51.100.65:2053' }
const other: StaticBinding = { protocol: 'tcp', inside: '[2001:db8:1::5]:2000', outside: '198.51.100.64:2000' }

const add = (text: string) => addStatic(text, loadConfig(text), binding)
const remove = (text: string, which: StaticBinding) => removeStatic(text, loadConfig(text), which)
const listOf = (text: string) => loadConfig(text).nat64?.static
/** The lines of one text that the other does not have. */
const beyond = (text: string, other: string) => text.split('\n').filter((line) => !other.split('\n').includes(line))

const LISTS: Record<string, string> = {
  'no list': '',
  'an empty list': '    static: []\n',
  'a flow list': '    static: [{ protocol: tcp, inside: "[2001:db8:1::5]:2000", outside: "198.51.100.64:2000" }]\n',
  'a block list': `    static: # for the office
      - protocol: tcp   # web
        inside: "[2001:db8:1::5]:2000"
        outside: 198.51.100.64:2000
`,
  'a list without further indentation': `    static:
    - { protocol: tcp, inside: "[2001:db8:1::5]:2000", outside: "198.51.100.64:2000" }
`,
}

describe.each(Object.entries(LISTS))('editing %s', (_, list) => {
  it.each([
    ['at the end of its section', HEAD + POOLS + list + TAIL],
    ['amid its section', HEAD + list + POOLS + TAIL],
    ['at the end of the file', `log: {level: debug}\n${HEAD}${POOLS}${list}`],
    ['at the end of the file without a line feed', `${HEAD}${POOLS}${list}`.trimEnd()],
  ])('%s leaves every other line as it was', (_, text) => {
    const before = listOf(text) ?? []
    const added = add(text)
    expect(listOf(added)).toEqual([...before, binding])
    expect(beyond(text, `${added}\n${list}`)).toEqual([])
    expect(beyond(added, text).length).toBeLessThanOrEqual(2 + 3 * (before.length + 1))

    const removed = remove(added, binding)
    expect(listOf(removed)).toEqual(before)
    expect(beyond(text, `${removed}\n${list}`)).toEqual([])
    if (before.length > 0) expect(listOf(remove(added, other))).toEqual([binding])
  })
})

describe('editing a list', () => {
  it('keeps the comments inside it', () => {
    expect(add(HEAD + POOLS + LISTS['a block list'])).toContain('# web')
  })

  it('of a section in flow style changes the meaning no further', () => {
    const text = 'version: 1\nnat64: { allowNonGlobal: true, pools: [{ addresses: ["198.51.100.64/28"] }] }\n'
    const before = loadConfig(text)
    expect(loadConfig(add(text))).toEqual({ ...before, nat64: { ...before.nat64, static: [binding] } })
  })

  it('is refused without NAT64 and for a binding that is not there', () => {
    expect(() => add('version: 1\n')).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }))
    expect(() => remove(HEAD + POOLS, binding)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  })
})

describe('a tunnel in the text', () => {
  const TUNNEL = { name: 'he0', mode: '6in4', local: '192.0.2.2', remote: '192.0.2.33' }
  const put = (text: string, tunnel: Record<string, unknown>) => putTunnel(text, loadConfig(text), tunnel)

  it('comes, is replaced and goes, and leaves every other line as it was', () => {
    const text = `${HEAD}${POOLS}${TAIL}`
    const added = put(text, TUNNEL)
    expect(beyond(text, added)).toEqual([])
    expect(loadConfig(added).tunnels).toMatchObject([TUNNEL])
    const second = put(added, { ...TUNNEL, name: 'he1', remote: '192.0.2.34' })
    const replaced = put(second, { ...TUNNEL, ttl: 9 })
    expect(loadConfig(replaced).tunnels.map(({ name, ttl }) => [name, ttl])).toEqual([
      ['he0', 9],
      ['he1', 64],
    ])
    const left = removeTunnel(replaced, loadConfig(replaced), 'he0')
    expect(loadConfig(left).tunnels.map(({ name }) => name)).toEqual(['he1'])
    expect(beyond(text, left)).toEqual([])
    expect(() => removeTunnel(left, loadConfig(left), 'he0')).toThrow('no tunnel is called he0')
  })
})
