// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { COUNTED, documents, everyVector, find, KINDS, means, parse, readSentences } from '../vectors/sentences.ts'

const rfcs = readSentences()
const vectors = everyVector()

describe.each(rfcs.map((rfc) => ({ name: `RFC ${rfc.number}`, rfc })))('the sentences of $name', ({ rfc }) => {
  it('name vectors and tests that are there', () => {
    const lost = rfc.sentences.flatMap(({ section, shownBy }) =>
      shownBy.filter((each) => !find(each)).map(({ kind, file, name }) => `§${section} ${kind}: ${file}: ${name}`),
    )
    expect(lost).toEqual([])
  })

  it('have each key word as often as the text of the RFC', () => {
    for (const [section, counts] of rfc.counts) {
      const words = rfc.sentences.filter((each) => each.section === section).flatMap((each) => each.words)
      for (const word of COUNTED)
        expect(`§${section} ${word} ${words.filter((each) => each === word).length}`).toBe(
          `§${section} ${word} ${counts.get(word) ?? 0}`,
        )
    }
  })

  it('bind in no section that is not counted', () => {
    const binding = rfc.sentences.filter(({ words }) => words.some((word) => COUNTED.includes(word)))
    expect(binding.filter(({ section }) => !rfc.counts.has(section)).map(({ text }) => text)).toEqual([])
  })

  it('list each vector that names a passage of it, at that passage', () => {
    const named = vectors.filter(({ name }) => name.startsWith(`RFC ${rfc.number} §`))
    const unlisted = named.filter(({ topic, name }) => {
      const section = /§([\d.]*\d)/.exec(name)?.[1]
      const there = rfc.sentences.filter((sentence) => sentence.section === section)
      return !there.some(({ shownBy }) =>
        shownBy.some((each) => each.kind === 'vector' && each.file === `${topic}.txt` && means(each.name, name)),
      )
    })
    expect(unlisted.map(({ topic, name }) => `${topic}.txt: ${name}`)).toEqual([])
  })
})

describe('a file of sentences', () => {
  const of = (...lines: string[]) => ['# RFC 1: Host Software', ...lines].join('\n')

  it('is read', () => {
    const text = of(
      'count: §2 MUST 1',
      '',
      '§2 MUST, MAY  One',
      '    thing.',
      '  vector: a.txt: b: *',
      '§3 says  X.',
      '  none: y',
    )
    expect(parse(1, text).sentences).toEqual([
      {
        section: '2',
        words: ['MUST', 'MAY'],
        text: 'One thing.',
        shownBy: [{ kind: 'vector', file: 'a.txt', name: 'b: *' }],
      },
      { section: '3', words: ['says'], text: 'X.', shownBy: [], none: 'y' },
    ])
  })

  it.each([
    ['a key word that is none', of('§2 MUSS  X.', '  none: y'), 'not the head'],
    ['neither evidence nor reason', of('§2 MUST  X.'), 'wants vectors'],
    ['both', of('§2 MUST  X.', '  vector: a.txt: b', '  none: y'), 'wants vectors'],
    ['evidence of no kind', of('§2 MUST  X.', '  packet: a.txt: b'), 'neither evidence'],
    ['no title', '§2 MUST  X.\n  none: y', 'no line'],
  ])('with %s is refused', (_, text, message) => expect(() => parse(1, text)).toThrow(message))

  it('may mean many names by one, and no others', () => {
    expect(means('a * (b)', 'a whole (b)')).toBe(true)
    expect(means('go out %s', 'go out in order')).toBe(true)
    expect(means('a * (b)', 'a whole b')).toBe(false)
    expect(find({ kind: 'vector', file: 'plain.txt', name: 'no such vector' })).toBe(0)
    for (const kind of Object.keys(KINDS))
      if (kind !== 'vector') expect(() => find({ kind: kind as 'unit', file: 'none.ts', name: 'x' })).toThrow()
  })
})

it.each(Object.entries(documents()))('%s is what the sentences say; `npm run generate` writes it', (path, text) => {
  expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')).toBe(text)
})
