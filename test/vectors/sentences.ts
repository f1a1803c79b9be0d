// SPDX-License-Identifier: Apache-2.0
/**
 * The sentences of the RFCs and the packets that show them: reads test/vectors/sentences/rfcNNNN.txt, finds what they
 * name, and makes test/vectors/README.md of them.
 *
 *     # RFC 7915: IP/ICMP Translation Algorithm
 *     count: §4.1 MUST 9, SHOULD 4
 *
 *     §4.1 MUST, SHOULD  What the sentence asks for;
 *         a line of four spaces goes on.
 *       vector: plain.txt: RFC 7915 §4.1: an unexpired * source route is refused
 *       none: why there is no packet for it
 *
 * `count` is how often a section of the RFC's text has each key word (count.ts knows); the entries add up to it. An
 * entry without a key word `says` what it says. A `*` in a name is any text.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readVectors } from '../unit/xlat.ts'
import { readSessionVectors } from './session/read.ts'

const root = join(import.meta.dirname, '../..')

/** RFC 2119; MAY and OPTIONAL are listed where we do what they allow, and not counted. */
export const COUNTED = ['MUST NOT', 'MUST', 'SHALL NOT', 'SHALL', 'SHOULD NOT', 'SHOULD', 'REQUIRED', 'RECOMMENDED']
const WORDS = [...COUNTED, 'NOT RECOMMENDED', 'MAY', 'OPTIONAL', 'says']

/** What can show a sentence, and where it is. */
export const KINDS = {
  vector: 'test/vectors',
  session: 'test/unit/session',
  unit: 'test/unit',
  story: 'test/net',
} as const

export type Kind = keyof typeof KINDS

export interface Evidence {
  readonly kind: Kind
  readonly file: string
  readonly name: string
}

export interface Sentence {
  readonly section: string
  readonly words: readonly string[]
  readonly text: string
  readonly shownBy: readonly Evidence[]
  /** Why there is no packet. */
  readonly none?: string
}

export interface Rfc {
  readonly number: number
  readonly title: string
  /** By section, how often each key word is in the RFC's text. */
  readonly counts: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly sentences: readonly Sentence[]
}

function parseCounts(text: string): Map<string, number> {
  const pairs = text.split(', ').map((part) => /^([A-Z ]+) (\d+)$/.exec(part))
  return new Map(pairs.map((pair) => [pair?.[1] ?? text, Number(pair?.[2])]))
}

function parseEvidence(line: string): Evidence | { readonly none: string } {
  const [, kind = '', value = ''] = /^ {2}(\w+): (.+)$/.exec(line) ?? []
  if (kind === 'none') return { none: value }
  const [, file, name] = /^(\S+): (.+)$/.exec(value) ?? []
  if (!Object.hasOwn(KINDS, kind) || !file || !name) throw new Error(`neither evidence nor a reason: ${line}`)
  return { kind: kind as Kind, file, name }
}

function parseSentence(head: string, rest: readonly string[]): Sentence {
  const [, section = '', words = '', text] = /^§(\S+) (\S.*?) {2}(\S.*)$/.exec(head) ?? []
  const found = words.split(', ')
  if (!text || found.some((word) => !WORDS.includes(word))) throw new Error(`not the head of a sentence: ${head}`)
  const parts = rest.map(parseEvidence)
  const none = parts.flatMap((part) => ('none' in part ? part.none : []))
  const shownBy = parts.flatMap((part) => ('none' in part ? [] : part))
  if (none.length > 1 || none.length > 0 === shownBy.length > 0)
    throw new Error(`wants vectors or tests, or else one reason why there are none: ${head}`)
  return { section, words: found, text, shownBy, ...(none[0] !== undefined && { none: none[0] }) }
}

export function parse(number: number, text: string): Rfc {
  const title = new RegExp(`^# RFC ${number}: (.*)$`, 'm').exec(text)?.[1]
  if (!title) throw new Error(`rfc${number}.txt: no line "# RFC ${number}: TITLE"`)
  const counts = new Map<string, Map<string, number>>()
  const sentences: Sentence[] = []
  const lines = text.replace(/\n {4,}/g, ' ').split('\n')
  const isEntry = (line = '') => line.startsWith('  ')
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const [, section, count] = /^count: §(\S+) (.*)$/.exec(line) ?? []
    if (line === '' || line.startsWith('#')) continue
    if (section && count) counts.set(section, parseCounts(count))
    else {
      const rest: string[] = []
      while (isEntry(lines[at + 1])) rest.push(lines[++at] ?? '')
      sentences.push(parseSentence(line, rest))
    }
  }
  return { number, title, counts, sentences }
}

export function readSentences(): Rfc[] {
  const directory = join(import.meta.dirname, 'sentences')
  const numbers = readdirSync(directory).map((name) => Number(/^rfc(\d+)\.txt$/.exec(name)?.[1]))
  return numbers
    .sort((a, b) => a - b)
    .map((number) => parse(number, readFileSync(join(directory, `rfc${number}.txt`), 'utf8')))
}

// ── what a name means ───────────────────────────────────────────────────────

/** Whether a pattern with `*`, or a title of a test with places to fill in, means this name. */
export function means(pattern: string, name: string): boolean {
  const parts = pattern.split(/\*|\$\{.*?\}|\$\w+|%[sd]/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}

const sources = new Map<string, string>()

/** The file as text, with the parts of a split C string put together. */
function source(path: string): string {
  const known = sources.get(path)
  if (known !== undefined) return known
  const text = readFileSync(join(root, path), 'utf8').replace(/"\n\s*"/g, '')
  sources.set(path, text)
  return text
}

/** Of the core, and of the packet thread (test/vectors/session). */
export function everyVector(): { readonly topic: string; readonly name: string }[] {
  const timed = readSessionVectors().map(({ topic, name }) => ({ topic: `session/${topic}`, name }))
  return [...readVectors().map(({ topic, name }) => ({ topic, name })), ...timed]
}

const vectorNames = Map.groupBy(everyVector(), ({ topic }) => `${topic}.txt`)

/** How many vectors are meant, or whether the source has a test of this name: 0 when what is named is not there. */
export function find({ kind, file, name }: Evidence): number {
  if (kind === 'vector') return (vectorNames.get(file) ?? []).filter((vector) => means(name, vector.name)).length
  const text = source(`${KINDS[kind]}/${file}`)
  return ["'", '"', '`'].some((quote) => text.includes(`${quote}${name}${quote}`)) ? 1 : 0
}

// ── the document ────────────────────────────────────────────────────────────

const escape = (text: string) => text.replace(/[*<]/g, '\\$&')

/** A vector's name begins with the passage it is listed under. */
const short = (rfc: Rfc, { section }: Sentence, name: string) => name.replace(`RFC ${rfc.number} §${section}: `, '')

function shown(rfc: Rfc, sentence: Sentence): string[] {
  if (sentence.none !== undefined) return [`  - none: ${escape(sentence.none)}`]
  const files = Map.groupBy(
    sentence.shownBy,
    ({ kind, file }) => `[${file}](${KINDS[kind].replace('test', '..')}/${file})`,
  )
  return [...files].flatMap(([link, list]) =>
    list.map(({ name }) => `  - ${link}: ${escape(short(rfc, sentence, name))}`),
  )
}

function entry(rfc: Rfc, sentence: Sentence): string[] {
  const words = sentence.words.filter((word) => word !== 'says').join(', ')
  return [`- ${words && `**${words}** `}${escape(sentence.text)}`, ...shown(rfc, sentence)]
}

function chapter(rfc: Rfc): string {
  const sections = [...Map.groupBy(rfc.sentences, ({ section }) => section)].map(
    ([section, list]) => `### RFC ${rfc.number} §${section}\n\n${list.flatMap((each) => entry(rfc, each)).join('\n')}`,
  )
  return [`## RFC ${rfc.number}: ${rfc.title}`, ...sections].join('\n\n')
}

function summary(rfcs: readonly Rfc[]): string {
  const rows = rfcs.map((rfc) => {
    const binding = rfc.sentences.filter(({ words }) => words.some((word) => COUNTED.includes(word)))
    const without = binding.filter(({ none }) => none !== undefined).length
    const anchor = `#rfc-${rfc.number}-${rfc.title
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-')}`
    const cells = [rfc.sentences.length, binding.length, binding.length - without, without]
    return `| [RFC ${rfc.number}](${anchor}) | ${cells.join(' | ')} |`
  })
  const head = '| RFC | sentences | with MUST, SHOULD … | of these with a packet | without |\n|---|---|---|---|---|'
  return [head, ...rows].join('\n')
}

/** test/vectors/README.md. */
export function documents(): Record<string, string> {
  const rfcs = readSentences()
  const text = [
    '# Vectors',
    'Generated from `test/vectors/sentences` by `npm run generate`; do not edit.',
    'Each sentence of the translation RFCs that binds a translator, and the packets that show what becomes of it, or ' +
      'why there are none. A vector is one packet in and what must come out, byte for byte, written by hand or by ' +
      'scapy (`make.py`); `npm test -- xlat` runs all of them through the core, and `npm test -- oracle` compares a ' +
      'second translator, slow and written from the RFCs, with the core on them and on generated packets. A `*` in a ' +
      'name is any text. A vector of `session/` is packets with the second they come at, played on a packet thread of ' +
      'the translator whose clock moves when told to: `npm test -- session-vectors`. `npm run bench -- conformance` prints how many pass by RFC and section.',
    'Every MUST, MUST NOT, SHALL, SHOULD, SHOULD NOT, REQUIRED and RECOMMENDED of the sections that a file of ' +
      'sentences counts is here exactly once; `node test/vectors/count.ts DIRECTORY` compares the counts with the ' +
      'texts of the RFCs (`DIRECTORY/rfc7915.txt` …), which are not part of this tree.',
    summary(rfcs),
    ...rfcs.map(chapter),
  ]
  return { 'test/vectors/README.md': `${text.join('\n\n')}\n` }
}
