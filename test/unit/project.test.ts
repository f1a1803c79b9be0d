// SPDX-License-Identifier: Apache-2.0
/** What the repository promises about itself. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { loadConfig } from '../../src/config/load.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8')
// what is not committed yet counts too, so that the test fails before the commit and not after it
const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
// root may test the checkout of somebody else, which git refuses without a word for it
const files = execFileSync('git', ['-c', 'safe.directory=*', ...listing], { cwd: root })
  .toString()
  .split('\0')
  .filter((path) => path && existsSync(`${root}${path}`))
const readme = read('README.md')

describe('each source file', () => {
  const sources = files.filter((path) => /\.(?:ts|mjs|c|cc|h|py|sh)$/.test(path) || path === '.ci/run')

  it('says its license first', () => {
    expect(sources.length).toBeGreaterThan(50)
    const without = sources.filter((path) => !/^(?:#!.*\n)?(?:\/\/|\/\*|#) SPDX-License-Identifier: /.test(read(path)))
    expect(without).toEqual([])
  })

  it('names a license whose text is here', () => {
    const named = sources.flatMap((path) => /SPDX-License-Identifier: (.*?)(?: \*\/)?\n/.exec(read(path))?.[1] ?? [])
    const identifiers = new Set(named.flatMap((text) => text.split(' OR ')))
    const texts: Record<string, string> = { 'GPL-2.0-or-later': 'GPL-2.0-only' }
    for (const identifier of identifiers)
      expect(files, identifier).toContain(`LICENSES/${texts[identifier] ?? identifier}.txt`)
  })
})

describe('the README', () => {
  it('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json'))
    const named = [...readme.matchAll(/npm (?:run (?:-s )?)?(start|test|[a-z]+)\b/g)].map((match) => match[1])
    expect(named.length).toBeGreaterThan(5)
    for (const name of new Set(named)) if (name !== 'run') expect(Object.keys(scripts)).toContain(name)
  })

  it('shows npm start and npm test before anything else', () => {
    expect(/```sh\n([\s\S]*?)```/.exec(readme)?.[1]).toMatch(/^npm start .*\nnpm test .*\n$/)
  })

  it('lists the commands as the command table does', () => {
    const listed = /<!-- commands:[^>]*-->\n([\s\S]*?)<!-- end -->/.exec(readme)?.[1]
    const rows = Object.values(COMMANDS).map(
      ({ usage, summary }) => `| \`${usage.replaceAll('|', '\\|')}\` | ${summary.replaceAll('|', '\\|')} |\n`,
    )
    expect(listed).toBe(['| command | what it does |\n', '|---|---|\n', ...rows].join(''))
  })

  it('names only paths that exist', () => {
    const named = [...readme.matchAll(/`((?:src|native|test|config)\/[\w./-]*)`/g)].map((match) => match[1] ?? '')
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter((path) => !existsSync(`${root}${path}`))).toEqual([])
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map((match) => match[1] ?? '')
    expect(links.filter((path) => !existsSync(`${root}${path}`))).toEqual([])
  })

  it('fits a page', () => {
    expect(readme.split('\n').length).toBeLessThan(125)
  })
})

describe('the scripts', () => {
  it('CI runs is the one the README names', () => {
    expect(read('.ci/run').trim().split('\n').at(-1)).toBe('npm test')
    expect(statSync(`${root}.ci/run`).mode & 0o111).not.toBe(0)
  })

  // npm 9 starts them in a shell, which would keep the signals that npm passes on
  it('of package.json become purposes that the bootstrap knows', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const bootstrap = read('src/bootstrap.mjs')
    for (const script of Object.values(scripts)) {
      const purpose = /^exec node src\/bootstrap\.mjs (\w+)$/.exec(script)?.[1]
      expect(bootstrap).toMatch(new RegExp(`^  ${purpose}: \\{ needs:`, 'm'))
    }
  })
})

describe('the lock', () => {
  it('lists every optional package, also of other platforms: npm ci of npm 11 wants each', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>
    }
    const named = Object.values(packages).flatMap((each) => Object.keys(each.optionalDependencies ?? {}))
    expect(named.length).toBeGreaterThan(20)
    expect(named.filter((name) => !packages[`node_modules/${name}`])).toEqual([])
  })
})

describe('each configuration of the repository', () => {
  it.each(['config/example.yaml', 'config/lab.yaml'])('%s is valid', (path) => {
    expect(loadConfig(read(path), path).version).toBe(1)
  })
})
