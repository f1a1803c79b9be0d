// SPDX-License-Identifier: Apache-2.0
/** test/vectors/session, played on a packet thread of the translator. */
import { afterAll, describe, expect, it } from 'vitest'
import { build, Player } from '../vectors/session/play.ts'
import {
  milliseconds,
  parseVectors,
  readSessionVectors,
  type SessionVector,
  type Step,
} from '../vectors/session/read.ts'

const vectors = readSessionVectors()
const player = new Player(await build())
afterAll(() => player.close())

describe('session vectors', () => {
  for (const vector of vectors)
    it(`${vector.topic}: ${vector.name}`, async () => {
      expect(await player.play(vector)).toEqual([])
    })

  it('have each a name of its own', () => {
    const names = vectors.map(({ topic, name }) => `${topic}: ${name}`)
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  })
})

/** The step with one thing wrong in it; undefined when it expects nothing. */
function spoil(step: Step): Step | undefined {
  if (step.do === 'drop') return { ...step, packets: step.packets + 1 }
  if (step.do === 'count') return { ...step, number: step.number + 1 }
  if (step.do === 'session') return { ...step, ms: step.ms + 1000 }
  if (step.do !== 'out') return undefined
  const { packet } = step
  const hop = Number(packet.words.get('hop') ?? 63)
  return { ...step, packet: { ...packet, words: new Map([...packet.words, ['hop', String(hop - 1)]]) } }
}

/** The vector with each of its expectations spoilt, or left out, in turn. */
function spoilt(vector: SessionVector): { what: string; vector: SessionVector }[] {
  return vector.steps.flatMap((step, at) => {
    const wrong = spoil(step)
    const named = (what: string, steps: readonly Step[]) => ({
      what: `${vector.name}: step ${at} ${what}`,
      vector: { ...vector, steps: [...vector.steps.slice(0, at), ...steps, ...vector.steps.slice(at + 1)] },
    })
    if (!wrong) return []
    const left = step.do === 'out' || step.do === 'drop' ? [named('left out', [])] : []
    return [named('spoilt', [wrong]), ...left]
  })
}

describe('the player of session vectors', () => {
  it('finds, in each vector, an expectation that is spoilt or left out', async () => {
    const unseen: string[] = []
    const chosen = vectors.flatMap((vector, turn) => {
      const all = spoilt(vector)
      return all.slice((turn * 7) % all.length).slice(0, 1)
    })
    expect(chosen.length).toBe(vectors.length)
    for (const { what, vector } of chosen) {
      // what is learnt from a packet that is no longer expected is missing later on
      const faults = await player.play(vector).catch((error: Error) => [error.message])
      if (faults.length === 0) unseen.push(what)
    }
    expect(unseen).toEqual([])
  })

  it.each([
    ['a step that is none', 'at 0s 6> udp C1:1 > S1:2\nwait', 'not a step'],
    ['a packet without arrow', 'at 0s 6> udp C1:1 S1:2', 'not a packet'],
    ['a word that no packet has', 'at 0s 6> udp C1:1 > S1:2 hopp=3', 'not a word'],
    ['a time without unit', 'at 5 6> udp C1:1 > S1:2', 'not a time'],
  ])('refuses %s', (_, steps, message) => {
    expect(() => parseVectors('x', `# a name\n${steps}`)).toThrow(message)
  })

  it('reads times', () => {
    expect([milliseconds('2h4m'), milliseconds('5.9s'), milliseconds('128ms')]).toEqual([7_440_000, 5900, 128])
  })
})
