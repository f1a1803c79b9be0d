// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { loadConfig, renderConfig, validateConfig } from '../../src/config/load.ts'
import { GatewayError } from '../../src/errors.ts'

const MINIMAL = 'version: 1\nnat64: { allowNonGlobal: true, pools: [{ addresses: [198.51.100.64/28] }] }\n'

function refusal(action: () => unknown): GatewayError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    return error as GatewayError
  }
  throw new Error('nothing was refused')
}

/** `PATH: MESSAGE | REMEDY` of each fault. */
function faults(text: string): string[] {
  const error = refusal(() => loadConfig(text))
  expect(error.code).toBe('CONFIG_INVALID')
  return error.faults.map(({ path, message, remedy }) => `${path}: ${message} | ${remedy}`)
}

describe('a configuration that is loaded', () => {
  it('has its defaults filled in', () => {
    const config = loadConfig(MINIMAL)
    expect(config.nat64?.prefixes).toEqual(['64:ff9b::/96'])
    expect(config.nat64?.timeouts.tcpEstablished).toBe('2h4m')
    expect(config.nat64?.pools[0]).toEqual({
      addresses: ['198.51.100.64/28'],
      ports: '1024-65535',
      blockSize: 0,
      blocksPerClient: 0,
      deterministic: false,
      clients: ['::/0'],
      announce: false,
    })
    expect(config.translation.lowestIpv6Mtu).toBe(1280)
    expect(config.api.listen).toEqual(['[::1]:8064'])
    expect(config.log.level).toBe('info')
    expect('dns64' in config).toBe(false)
  })

  it('needs no more than its version', () => {
    expect(loadConfig('version: 1').interfaces).toEqual([])
  })

  it('holds canonical text, so that two spellings compare equal', () => {
    const one = loadConfig(`
version: 1
interfaces: [{ name: lan0, role: inside, addresses: ["2001:0DB8:1:0::1/64"], routes: ["::/0  via  FE80::1"] }]
nat64:
  allowNonGlobal: true
  prefixes: ["64:FF9B:0::0.0.0.0/96"]
  pools: [{ addresses: [198.51.100.64], ports: "2000", clients: ["2001:DB8:7::/48"] }]
  static: [{ protocol: tcp, inside: "[2001:DB8:0::5]:80", outside: "198.51.100.64:2000" }]
  timeouts: { tcpEstablished: 124m, udp: 300s }
dns64: { upstreams: ["[2001:DB8:0::53]:53"], clients: ["::ffff:192.0.2.0/120"], cacheSize: 65536KiB, bypass: [Example.NET.] }
api: { tokens: [{ name: a, role: admin, sha256: "${'AB'.repeat(32)}" }] }
`)
    expect(one.interfaces[0]).toMatchObject({ addresses: ['2001:db8:1::1/64'], routes: ['::/0 via fe80::1'] })
    expect(one.nat64?.prefixes).toEqual(['64:ff9b::/96'])
    expect(one.nat64?.pools[0]).toMatchObject({
      addresses: ['198.51.100.64/32'],
      ports: '2000-2000',
      clients: ['2001:db8:7::/48'],
    })
    expect(one.nat64?.static[0]?.inside).toBe('[2001:db8::5]:80')
    expect(one.nat64?.timeouts).toMatchObject({ tcpEstablished: '2h4m', udp: '5m' })
    expect(one.dns64).toMatchObject({
      upstreams: ['[2001:db8::53]:53'],
      clients: ['192.0.2.0/24'],
      cacheSize: '64MiB',
      bypass: ['example.net'],
    })
    expect(one.api.tokens[0]?.sha256).toBe('ab'.repeat(32))
  })

  it('takes a mapping without a length for one of a host (RFC 7757 section 3.2)', () => {
    const { siit } = loadConfig('version: 1\nsiit: { map: [{ ipv6: "2001:db8::1", ipv4: 192.0.2.1 }] }')
    expect(siit?.map).toEqual([{ ipv6: '2001:db8::1/128', ipv4: '192.0.2.1/32' }])
  })

  it('is frozen to its depth', () => {
    const config = loadConfig(MINIMAL)
    expect(() => (config.nat64?.pools[0]?.addresses as string[]).push('x')).toThrow(TypeError)
    expect(() => Object.assign(config.log, { level: 'debug' })).toThrow(TypeError)
  })

  it('does not share its defaults with the next', () => {
    expect(loadConfig(MINIMAL).translation).not.toBe(loadConfig(MINIMAL).translation)
  })

  it('renders to YAML that loads as the same', () => {
    const config = loadConfig(MINIMAL)
    expect(loadConfig(renderConfig(config))).toEqual(config)
    const tricky = {
      ...config,
      api: { ...config.api, tokens: [{ name: 'no: # "x"\n\u2028', sha256: '1'.repeat(64), role: 'viewer' }] },
    }
    expect(loadConfig(renderConfig(validateConfig(tricky)))).toEqual(tricky)
  })

  it('is the same from JSON, and again from itself', () => {
    const config = loadConfig(MINIMAL)
    expect(validateConfig(JSON.parse(JSON.stringify(config)))).toEqual(config)
    expect(validateConfig(config)).toEqual(config)
  })

  it('leaves the input as it was', () => {
    const input = { version: 1, log: { level: 'warn' } }
    validateConfig(input)
    expect(input).toEqual({ version: 1, log: { level: 'warn' } })
    expect(Object.isFrozen(input)).toBe(false)
  })
})

describe('faults', () => {
  it('come all at once, each with path, line and remedy', () => {
    const text = `version: 1
nat64:
  pools:
    - addresses: ["198.51.100.65/28"]
      prots: "1-2"
  prefixes: ["64:ff9b::/95"]
log: { level: inof }
dns64: { upstreams: [] }
interfaces: [{ name: "eth 0" }]
`
    expect(refusal(() => loadConfig(text)).faults).toEqual([
      { path: '/interfaces/0/name', line: 9, message: '"eth 0" is no interface name', remedy: expect.any(String) },
      { path: '/interfaces/0/role', line: 9, message: 'is missing', remedy: 'Add role: inside' },
      {
        path: '/nat64/prefixes/0',
        line: 6,
        message: expect.stringContaining('the length 95'),
        remedy: expect.stringContaining('32, 40, 48'),
      },
      {
        path: '/nat64/pools/0/prots',
        line: 5,
        message: 'is not a key that is known here',
        remedy: 'Did you mean ports?',
      },
      {
        path: '/nat64/pools/0/addresses/0',
        line: 4,
        message: expect.stringContaining('the prefix is 198.51.100.64/28'),
        remedy: 'Write 198.51.100.64/28.',
      },
      {
        path: '/dns64/upstreams',
        line: 8,
        message: 'is an empty list',
        remedy: 'Write at least one, as in [[2001:db8::1]:53].',
      },
      {
        path: '/log/level',
        line: 7,
        message: 'is "inof"',
        remedy: 'Did you mean info? Write one of trace, debug, info, warn, error.',
      },
    ])
  })

  it('between keys come together with those of other keys', () => {
    const text =
      'version: 1\nfoo: 1\nnat64: { allowNonGlobal: true, pools: [{ addresses: [192.0.2.1, 192.0.2.0/24] }], timeouts: { udp: 1 } }'
    expect(faults(text)).toEqual([
      expect.stringContaining('/foo: is not a key'),
      '/nat64/timeouts/udp: must be text, but is the number 1 | Write 1s, with a unit.',
      expect.stringContaining('/nat64/pools/0/addresses/1: 192.0.2.0/24 shares the ports'),
    ])
  })

  it.each([
    ['an unknown key', 'version: 1\nnat46: {}', '/nat46: is not a key that is known here | Did you mean nat64?'],
    [
      'a key in other letters',
      'version: 1\nNat64: {}',
      '/Nat64: is not a key that is known here | Did you mean nat64?',
    ],
    [
      'a key like no other',
      'version: 1\nlog: { colour: red }',
      '/log/colour: is not a key that is known here | Write one of level, bindings.',
    ],
    ['a key with a slash', 'version: 1\na/b~c: 1', '/a~1b~0c: is not a key that is known here | Write one of version,'],
    ['no version', 'log: {}', '/version: is missing | Add version: 1'],
    ['another version', 'version: 2', '/version: is the number 2 | Write 1.'],
    ['the version as text', 'version: "1"', '/version: is "1" | Write 1.'],
    ['nothing', '', ': has no value | Write at least `version: 1`.'],
    ['only a comment', '# nothing\n', ': has no value | Write at least'],
    ['a list', '- 1', ': must be a section of keys, but is a list | Write keys such as version'],
    ['a text', 'hello', ': must be a section of keys, but is "hello"'],
    ['a key without value', 'version: 1\nnat64:', '/nat64: has no value | Write a value, or leave the key out.'],
    ['a section for a list', 'version: 1\ninterfaces: {}', '/interfaces: must be a list, but is a section of keys'],
    [
      'a text for a list',
      'version: 1\ndns64: { upstreams: "[::1]:53" }',
      '/dns64/upstreams: must be a list, but is "[::1]:53" | Write a list, as in [[2001:db8::1]:53].',
    ],
    [
      'a text for a boolean',
      'version: 1\ndns64: { upstreams: ["[2001:db8::1]:53"], prefixes: ["64:ff9b::/96"], queryLog: yes }',
      '/dns64/queryLog: must be true or false, but is "yes" | Write true or false.',
    ],
    [
      'a text for a number',
      'version: 1\naccounting: { top: "20" }',
      '/accounting/top: must be a whole number, but is "20"',
    ],
    [
      'a fraction',
      'version: 1\naccounting: { top: 2.5 }',
      '/accounting/top: must be a whole number, but is the number 2.5',
    ],
    [
      'infinity',
      'version: 1\naccounting: { top: .inf }',
      '/accounting/top: must be a whole number, but is the number Infinity',
    ],
    [
      'a number out of range',
      'version: 1\naccounting: { top: 0 }',
      '/accounting/top: is 0, out of range | Write a whole number from 1 to 1000.',
    ],
    [
      'a number for an address',
      'version: 1\ntranslation: { icmpSourceV4: [3221225985] }',
      '/translation/icmpSourceV4/0: must be text, but is the number 3221225985 | Write it in quotes, as in "192.0.2.1".',
    ],
    [
      'an empty list item',
      'version: 1\ntranslation: { icmpSourceV4: [~] }',
      '/translation/icmpSourceV4/0: has no value',
    ],
    [
      'the other family',
      'version: 1\ntranslation: { icmpSourceV4: ["2001:db8::1"] }',
      '/translation/icmpSourceV4/0: "2001:db8::1" is not IPv4 | Write IPv4 here.',
    ],
    [
      'a duration below its bound',
      'version: 1\nnat64: { pools: [{ addresses: [1.1.1.0/24] }], timeouts: { udp: 119s } }',
      '/nat64/timeouts/udp: is 1m59s, less than 2m | Write 2m or more.',
    ],
    [
      'a size above its bound',
      'version: 1\ntranslation: { fragmentMemory: 2GiB }',
      '/translation/fragmentMemory: is 2GiB, more than 1GiB | Write 1GiB or less.',
    ],
    [
      'a segment size without unit',
      'version: 1\ntranslation: { mssClamp: 1360 }',
      '/translation/mssClamp: must be text, but is the number 1360 | Write 1360B, with a unit.',
    ],
    [
      'a segment size that no packet has',
      'version: 1\ntranslation: { mssClamp: 100B }',
      '/translation/mssClamp: is 100B, less than 216B | Write 216B or more.',
    ],
    [
      'a size without unit',
      'version: 1\ntranslation: { fragmentMemory: "4" }',
      '/translation/fragmentMemory: "4" has no unit | Write a whole number with a unit',
    ],
    [
      'an empty name',
      `version: 1\napi: { tokens: [{ name: "", role: admin, sha256: "${'0'.repeat(64)}" }] }`,
      '/api/tokens/0/name: is empty',
    ],
    [
      'digits that YAML takes for a number',
      `version: 1\napi: { tokens: [{ name: a, role: admin, sha256: ${'1'.repeat(64)} }] }`,
      '/api/tokens/0/sha256: must be text, but is the number',
    ],
    ['a merge key', 'version: 1\nlog: { <<: { level: info } }', '/log/<<: is not a key that is known here'],
    ['a prototype', 'version: 1\n__proto__: { log: 1 }', '/__proto__: is not a key that is known here'],
    [
      'a key of every object',
      'version: 1\ntoString: 1\nlog: { constructor: 1 }',
      '/toString: is not a key that is known here',
    ],
  ])('%s is told', (_, text, fault) => {
    expect(faults(text)[0]).toContain(fault)
  })

  it('one wrong value is one fault', () => {
    expect(faults('version: 1\nlog: { level: 5 }')).toHaveLength(1)
    expect(faults('version: 1\ninterfaces: [5]')).toHaveLength(1)
    expect(faults('version: 1\nnat64: { pools: x }')).toHaveLength(1)
  })

  it('as many as there are, each with its line', () => {
    const keys = Array.from({ length: 5_000 }, (_, index) => `key${index}: 1`)
    const found = refusal(() => loadConfig(`version: 1\n${keys.join('\n')}`)).faults
    expect(found).toHaveLength(5_000)
    expect(found.at(-1)).toMatchObject({ path: '/key4999', line: 5_001 })
  })

  it('a long list is refused by its length', () => {
    const list = JSON.stringify(Array.from({ length: 5000 }, () => '192.0.2.1'))
    expect(faults(`version: 1\ntranslation: { icmpSourceV4: ${list} }`)).toEqual([
      '/translation/icmpSourceV4: has 5000 entries | Write at most 4096.',
    ])
  })

  it('a __proto__ from JSON is a key like others', () => {
    const error = refusal(() => validateConfig(JSON.parse('{"version":1,"__proto__":{"log":{}}}')))
    expect(error.faults.map(({ path }) => path)).toEqual(['/__proto__'])
  })

  it('values that JSON has not are refused', () => {
    for (const value of [undefined, 5, 'x', [], () => 1, Symbol('x'), 1n, Number.NaN])
      expect(refusal(() => validateConfig(value)).code).toBe('CONFIG_INVALID')
    expect(refusal(() => validateConfig({ version: 1, accounting: { top: 1n } })).faults[0]?.path).toBe(
      '/accounting/top',
    )
  })
})

describe('text that is not YAML', () => {
  const syntax = (text: string, origin?: string) => {
    const error = refusal(() => loadConfig(text, origin))
    expect(error.code).toBe('CONFIG_SYNTAX')
    return error.message
  }

  it.each([
    ['an open bracket', 'version: 1\nlog: {', /x\.yaml:2:\d+: /],
    ['a tab for indentation', 'version: 1\nlog:\n\tlevel: info', /x\.yaml:3:1: /],
    ['a key twice', 'version: 1\nlog: {}\nlog: {}', /x\.yaml:3:1: has the key "log" twice/],
    ['a key twice in another spelling', 'version: 1\n"log": {}\nlog: {}', /x\.yaml:3:1: has the key "log" twice/],
    ['two documents', 'version: 1\n---\nversion: 1', /x\.yaml:2:1: begins a second document/],
    ['an unknown tag', 'version: !!js/function 1', /x\.yaml:1:\d+: .*tag/i],
    ['an unknown alias', 'version: *x', /x\.yaml.*alias/i],
    ['an unknown directive', '%FOO bar\n---\nversion: 1', /x\.yaml:1:\d+: /],
    ['a list as a key', '? [a]\n: 1\nversion: 1', /x\.yaml:1:\d+: .*key that is not text/],
  ])('%s is named with line and column', (_, text, message) => {
    expect(syntax(text, 'x.yaml')).toMatch(message)
  })

  it.each([
    ['lists', '[', ']'],
    ['sections', '{ a: ', ' }'],
  ])('%s in each other end somewhere, and are refused before they are parsed', (_, open, close) => {
    const deep = (levels: number) => `version: 1\nlog:\n  level: ${open.repeat(levels)}${close.repeat(levels)}`
    expect(syntax(deep(65), 'x.yaml')).toMatch(/x\.yaml:3:\d+: is nested too deep/)
    expect(syntax(deep(100_000), 'x.yaml')).toMatch(/x\.yaml:3:\d+: is nested too deep/)
    expect(refusal(() => loadConfig(deep(64))).code).toBe('CONFIG_INVALID')
  })

  it('entries of lists in one line end somewhere too', () => {
    const deep = (levels: number) => `version: 1\nadvertise:\n${'- '.repeat(levels)}x`
    expect(syntax(deep(64), 'x.yaml')).toMatch(/x\.yaml:3:1: is nested too deep/)
    expect(refusal(() => loadConfig(deep(63))).code).toBe('CONFIG_INVALID')
  })

  it('brackets in quotes and behind # are no nesting', () => {
    const brackets = '['.repeat(100)
    const text = `version: 1 # ${brackets}\n# ${brackets}\napi: { tokens: [{ name: "${brackets.slice(0, 64)}", role: viewer, sha256: "${'0'.repeat(64)}" }] }\n`
    expect(loadConfig(`${text}# it's ${brackets}`).api.tokens[0]?.name).toBe(brackets.slice(0, 64))
  })

  it('an alias stands for a few nodes, not for millions', () => {
    const laughs = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (let level = 1; level < 9; level++) {
      const [name, below] = [String.fromCharCode(97 + level), String.fromCharCode(96 + level)]
      laughs.push(`${name}: &${name} [${Array(9).fill(`*${below}`).join(',')}]`)
    }
    expect(syntax(laughs.join('\n'))).toMatch(/alias/i)
  })

  it('one alias is welcome', () => {
    const text =
      'version: 1\ntranslation: { icmpSourceV6: &own ["2001:db8::1"] }\nadvertise: [{ interface: lan0, rdnss: *own }]'
    expect(loadConfig(text).advertise[0]?.rdnss).toEqual(['2001:db8::1'])
  })

  it('nesting without end is refused', () => {
    expect(syntax('['.repeat(20_000))).toMatch(/configuration/)
    expect(syntax(`${'a: {'.repeat(5_000)}`)).toMatch(/configuration/)
  })

  it('a huge text is refused unread', () => {
    expect(syntax(' '.repeat(5_000_000))).toContain('is 5000000 characters long')
  })

  it('a text in another encoding is told', () => {
    expect(refusal(() => loadConfig('\u0000\u0001\u0002'))).toBeInstanceOf(GatewayError)
  })
})
