// SPDX-License-Identifier: Apache-2.0
/**
 * Counts the key words of each section of RFC texts: `node test/vectors/count.ts DIRECTORY [NUMBER…]` compares them
 * with the files of sentences, and prints the `count` lines of a NUMBER that has none yet.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { COUNTED, readSentences } from './sentences.ts'

/** Without the page breaks, in which the text is cut anywhere. */
const pages = (text: string) =>
  text.replace(/\n*\n[^\n]*\[Page \d+\]\n\f?\n?RFC \d+ [^\n]*\n+/g, '\n').replaceAll('\f', '')

/** The text of each section by its number; headings stand at the margin, the table of contents does not. */
function sections(text: string): Map<string, string> {
  const found = new Map<string, string>()
  let section = '0'
  for (const line of pages(text).split('\n')) {
    const heading = /^(?:Appendix )?([0-9A-Z](?:[\d.]*\d)?)\.? {1,2}\S/.exec(line)?.[1]
    if (heading && !found.has(heading)) section = heading
    found.set(section, `${found.get(section) ?? ''}${line}\n`)
  }
  return found
}

/** The sentence that introduces the key words uses none of them. */
const withoutTerms = (text: string) => text.replace(/The key words[^.]*\.|"[A-Z ]+"/g, '')

function count(text: string): Map<string, number> {
  const flat = withoutTerms(text.replace(/\s+/g, ' '))
  const counts = new Map<string, number>()
  for (const [word] of flat.matchAll(new RegExp(`\\b(?:NOT RECOMMENDED|${COUNTED.join('|')})\\b`, 'g')))
    counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

const show = (counts: ReadonlyMap<string, number> = new Map()) =>
  [...counts]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([word, times]) => `${word} ${times}`)
    .join(', ')

const [directory = '.', ...wanted] = process.argv.slice(2)
const listed = new Map(readSentences().map((rfc) => [rfc.number, rfc.counts]))
const numbers = wanted.length > 0 ? wanted.map(Number) : [...listed.keys()]
let differences = 0
for (const number of numbers) {
  const path = join(directory, `rfc${number}.txt`)
  if (!existsSync(path)) throw new Error(`${path} is not there; https://www.rfc-editor.org/rfc/rfc${number}.txt`)
  const told = listed.get(number)
  const found = new Map([...sections(readFileSync(path, 'utf8'))].map(([section, text]) => [section, count(text)]))
  for (const [section, counts] of found) {
    // A file of sentences says which sections it is about.
    if (!told && counts.size > 0) console.log(`count: §${section} ${show(counts)}`)
    else if (told?.has(section) && show(told.get(section)) !== show(counts)) {
      differences++
      console.log(`RFC ${number} §${section}: told ${show(told.get(section))}; found ${show(counts)}`)
    } else if (told && !told.has(section) && counts.size > 0)
      console.log(`RFC ${number} §${section}: not told: ${show(counts)}`)
  }
  if (told) console.log(`RFC ${number}: ${told.size} sections compared`)
}
process.exitCode = differences > 0 ? 1 : 0
