// SPDX-License-Identifier: Apache-2.0
/**
 * How many cases pass, by RFC and section: the vectors run through the core, the cases of the stateful machine
 * through its own program. With `--all` also the tests and stories that the sentences name, by vitest, as root.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build as buildSession, execute } from '../unit/session-program.ts'
import { build, readVectors, type Vector } from '../unit/xlat.ts'
import { COUNTED, type Evidence, KINDS, means, type Rfc, readSentences } from '../vectors/sentences.ts'
import { build as buildPlayer, Player } from '../vectors/session/play.ts'
import { readSessionVectors } from '../vectors/session/read.ts'
import { machine, teller } from './measure.ts'

const root = join(import.meta.dirname, '../..')

type Outcome = 'passed' | 'failed' | 'skipped'

/** A case by the name under which it is counted once, whoever names it. */
type Outcomes = Map<string, Outcome>

interface Tally {
  readonly passed: number
  readonly total: number
  readonly skipped: number
}

interface Line extends Tally {
  readonly rfc: number
  readonly title?: string
  readonly sections: readonly (Tally & { readonly section: string })[]
  /** Sentences with MUST, SHOULD …, and how many of them have a case. */
  readonly binding?: number
  readonly shown?: number
  /** Tests and stories that sentences name and that only --all runs. */
  readonly more?: number
}

const vectors = readVectors()
const keyOf = ({ topic, name }: Vector) => `vector ${topic}.txt: ${name}`

async function runVectors(outcomes: Outcomes): Promise<void> {
  const program = await build('gcc', 'run.c', ['-std=c11', '-O2'])
  const input = vectors.map(({ command }) => `${command}\n`).join('')
  const { stdout } = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 26 })
  const lines = stdout.split('\n')
  for (const [i, vector] of vectors.entries())
    outcomes.set(keyOf(vector), lines[i] === vector.expected ? 'passed' : 'failed')
}

const evidence = (rfcs: readonly Rfc[], ...kinds: readonly Evidence['kind'][]) =>
  rfcs
    .flatMap(({ sentences }) => sentences.flatMap(({ shownBy }) => shownBy))
    .filter(({ kind }) => kinds.includes(kind))

async function runTimed(outcomes: Outcomes): Promise<void> {
  const player = new Player(await buildPlayer())
  for (const vector of readSessionVectors()) {
    const faults = await player.play(vector)
    outcomes.set(`vector session/${vector.topic}.txt: ${vector.name}`, faults.length === 0 ? 'passed' : 'failed')
  }
  await player.close()
}

async function runSession(rfcs: readonly Rfc[], outcomes: Outcomes): Promise<void> {
  const cases = evidence(rfcs, 'session')
  if (cases.length === 0) return
  const program = await buildSession()
  for (const { file, name } of cases) {
    const key = `session ${file}: ${name}`
    if (outcomes.has(key)) continue
    const told = await execute(program, [name]).then(
      ({ stdout, stderr }) => stdout + stderr,
      () => 'failed',
    )
    outcomes.set(key, told === '' ? 'passed' : 'failed')
  }
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[]
  }[]
}

/** Each test that a sentence names; a test that its title does not find has failed. */
function runTests(rfcs: readonly Rfc[], outcomes: Outcomes): void {
  const named = evidence(rfcs, 'unit', 'story')
  const scratch = mkdtempSync(join(tmpdir(), 'sixgate-conformance-'))
  const report = join(scratch, 'report.json')
  const files = [...new Set(named.map(({ kind, file }) => `${KINDS[kind]}/${file}`))]
  const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...files]
  spawnSync('vitest', args, { cwd: root, stdio: ['ignore', process.stderr, process.stderr] })
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  rmSync(scratch, { recursive: true })
  for (const { kind, file, name } of named) {
    const results = testResults.find((each) => each.name.endsWith(`/${KINDS[kind]}/${file}`))?.assertionResults ?? []
    const found = results.filter(({ title }) => means(name, title))
    if (found.length === 0) outcomes.set(`${kind} ${file}: ${name}`, 'failed')
    for (const { title, status } of found) {
      const outcome = status === 'passed' || status === 'failed' ? status : 'skipped'
      outcomes.set(`${kind} ${file}: ${title}`, outcome)
    }
  }
}

// ── counting ────────────────────────────────────────────────────────────────

function tally(keys: Iterable<string>, outcomes: Outcomes): Tally {
  const known = [...new Set(keys)].flatMap((key) => outcomes.get(key) ?? [])
  const count = (outcome: Outcome) => known.filter((each) => each === outcome).length
  return { passed: count('passed'), total: known.length, skipped: count('skipped') }
}

/** The cases that a sentence names and that were run. */
const casesOf = (shownBy: readonly Evidence[], outcomes: Outcomes): string[] =>
  shownBy.flatMap(({ kind, file, name }) =>
    [...outcomes.keys()].filter((key) => {
      const start = `${kind} ${file}: `
      return key.startsWith(start) && means(name, key.slice(start.length))
    }),
  )

function lineOf(rfc: Rfc, outcomes: Outcomes): Line {
  const listed = rfc.sentences.map((sentence) => ({ sentence, cases: casesOf(sentence.shownBy, outcomes) }))
  const binding = listed.filter(({ sentence }) => sentence.words.some((word) => COUNTED.includes(word)))
  const sections = [...Map.groupBy(listed, ({ sentence }) => sentence.section)].map(([section, each]) => ({
    section,
    ...tally(
      each.flatMap(({ cases }) => cases),
      outcomes,
    ),
  }))
  return {
    ...{ rfc: rfc.number, title: rfc.title },
    ...tally(
      listed.flatMap(({ cases }) => cases),
      outcomes,
    ),
    more: new Set(
      evidence([rfc], 'unit', 'story')
        .filter((each) => casesOf([each], outcomes).length === 0)
        .map(({ file, name }) => `${file}: ${name}`),
    ).size,
    ...{ binding: binding.length, shown: binding.filter(({ sentence }) => sentence.none === undefined).length },
    sections,
  }
}

/** RFCs that vectors name and that have no file of sentences. */
function others(rfcs: readonly Rfc[], outcomes: Outcomes): Line[] {
  const named = vectors.map((vector) => {
    const [, rfc, section = ''] = /^RFC (\d+)(?: §([\d.]*\d))?/.exec(vector.name) ?? []
    return { rfc: Number(rfc), section, key: keyOf(vector) }
  })
  const rest = named.filter(({ rfc }) => !rfcs.some(({ number }) => number === rfc))
  return [...Map.groupBy(rest, ({ rfc }) => rfc)].map(([rfc, list]) => ({
    rfc,
    ...tally(
      list.map(({ key }) => key),
      outcomes,
    ),
    sections: [...Map.groupBy(list, ({ section }) => section)].map(([section, each]) => ({
      section,
      ...tally(
        each.map(({ key }) => key),
        outcomes,
      ),
    })),
  }))
}

// ── telling ─────────────────────────────────────────────────────────────────

const show = ({ passed, total, skipped }: Tally) =>
  `${`${passed}/${total}`.padStart(9)}${skipped ? `, ${skipped} skipped` : ''}${passed + skipped < total ? '  FAILED' : ''}`

function print(lines: readonly Line[], all: Tally, failed: readonly string[]): void {
  console.log(`\nconformance: cases passed of those run; ${machine()}`)
  for (const { rfc, title, sections, binding, shown, more, ...sum } of lines) {
    const rest = more ? `, ${more} more with --all` : ''
    const note = binding === undefined ? '' : `${rest}  ${shown} of ${binding} binding sentences have a case`
    console.log(`  RFC ${String(rfc).padEnd(6)}${show(sum)}${note}${title ? `  (${title})` : ''}`)
    for (const { section, ...each } of sections)
      if (section && each.total > 0) console.log(`    §${section.padEnd(7)}${show(each)}`)
  }
  console.log(`  all       ${show(all)}`)
  for (const key of failed) console.log(`  FAILED ${key}`)
}

export async function run(args: string[]): Promise<number> {
  const tell = teller()
  const outcomes: Outcomes = new Map()
  const rfcs = readSentences()
  tell(`${vectors.length} vectors`)
  await runVectors(outcomes)
  tell('the timed vectors of the packet thread')
  await runTimed(outcomes)
  tell('the cases of the session machine')
  await runSession(rfcs, outcomes)
  if (args.includes('--all')) runTests(rfcs, outcomes)
  const lines = [...rfcs.map((rfc) => lineOf(rfc, outcomes)), ...others(rfcs, outcomes)].sort((a, b) => a.rfc - b.rfc)
  const failed = [...outcomes].filter(([, outcome]) => outcome === 'failed').map(([key]) => key)
  const all = tally(outcomes.keys(), outcomes)
  if (args.includes('--json'))
    console.log(JSON.stringify({ bench: 'conformance', ...all, rfcs: lines, failed, machine: machine() }, null, 2))
  else print(lines, all, failed)
  return failed.length > 0 ? 1 : 0
}
