// SPDX-License-Identifier: Apache-2.0
/**
 * `npm test` runs the checks and every test; `npm test -- WORD…` only the test files with a WORD in their path.
 * The last line is `N passed, N failed, N skipped`. With CI set, a skip that this machine has no excuse for is
 * a failure.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sweep } from './lab/netns.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const report = `${root}.cache/vitest-${process.pid}.json`

/** What the build machine's kernel cannot do (it has no such modules); everything else must run there. */
const EXCUSED = /\(needs (?:kvm|sit|ip6tnl)\)/

interface Tally {
  passed: number
  failed: number
  skipped: number
  /** Full names of the skipped tests; a story's name ends in its reason. */
  skips: string[]
}

interface Report {
  readonly success: boolean
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message?: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
  }[]
}

function check(title: string, command: string, args: string[], tally: Tally): void {
  const started = Date.now()
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status === 0) tally.passed++
  else tally.failed++
  console.log(`${status === 0 ? '✓' : '✗'} ${title} (${Date.now() - started} ms)`)
}

function count({ testResults }: Report, tally: Tally): void {
  for (const file of testResults) {
    // A file that cannot be loaded has no tests to fail.
    if (file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed')) {
      tally.failed++
      console.log(`✗ ${relative(root, file.name)}: ${file.message ?? 'failed outside its tests'}`)
    }
    for (const { fullName, status } of file.assertionResults) {
      if (status === 'passed') tally.passed++
      else if (status === 'failed') tally.failed++
      else {
        tally.skipped++
        tally.skips.push(fullName)
      }
    }
  }
}

function vitest(files: string[], tally: Tally): void {
  mkdirSync(`${root}.cache`, { recursive: true })
  const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...files]
  const { status } = spawnSync('vitest', args, { cwd: root, stdio: 'inherit' })
  const before = tally.failed
  try {
    count(JSON.parse(readFileSync(report, 'utf8')), tally)
  } catch (error) {
    tally.failed++
    console.log(`✗ vitest left no report: ${(error as Error).message}`)
  } finally {
    rmSync(report, { force: true })
  }
  // An error outside any test (an unhandled rejection, a dead worker) is only in the exit code.
  if (status !== 0 && tally.failed === before) tally.failed++
}

function judgeSkips(tally: Tally): void {
  for (const name of tally.skips) {
    const forbidden = process.env.CI && !EXCUSED.test(name)
    if (forbidden) tally.failed++
    console.log(`${forbidden ? '✗ skipped, which CI does not allow' : '- SKIP'}: ${name}`)
  }
}

/** The test files whose path has one of the words; all of them without words. */
function choose(words: string[]): string[] {
  const files = globSync('test/**/*.test.ts', { cwd: root })
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort()
  if (files.length > 0) return files
  console.error(`no test file has ${words.join(' or ')} in its path`)
  process.exit(1)
}

const words = process.argv.slice(2).filter((word) => word !== '--checks')
const checksOnly = process.argv.includes('--checks')
const files = choose(words)
const tally: Tally = { passed: 0, failed: 0, skipped: 0, skips: [] }
const clean = () => process.getuid?.() === 0 && sweep()
// Ctrl-C ends vitest, which shares the terminal; what it could not clean up is cleaned up here.
process.on('SIGINT', () => {})
clean()
if (words.length === 0) {
  check('tsc', 'tsc', ['--noEmit'], tally)
  check('biome', 'biome', ['check', '--error-on-warnings', '.'], tally)
}
if (!checksOnly) {
  vitest(words.length === 0 ? [] : files, tally)
  judgeSkips(tally)
}
clean()
console.log(`\n${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`)
process.exitCode = tally.failed > 0 ? 1 : 0
