// SPDX-License-Identifier: Apache-2.0
/** The difference of two texts by lines, as diff(1) writes it. */

export interface DiffLine {
  readonly kind: ' ' | '-' | '+'
  readonly text: string
}

const CONTEXT = 3

/** Beyond it the changed middle is shown as one replacement. */
const LARGEST_TABLE = 16_000_000

/** By the longest common subsequence, after the common head and tail, so that the table stays small. */
export function diffLines(before: readonly string[], after: readonly string[]): DiffLine[] {
  let head = 0
  while (head < before.length && head < after.length && before[head] === after[head]) head++
  let tail = 0
  const most = Math.min(before.length, after.length) - head
  while (tail < most && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  const same = (text: string): DiffLine => ({ kind: ' ', text })
  return [
    ...before.slice(0, head).map(same),
    ...middle(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...before.slice(before.length - tail).map(same),
  ]
}

function middle(a: readonly string[], b: readonly string[]): DiffLine[] {
  if (a.length * b.length > LARGEST_TABLE) {
    return [...a.map((text) => ({ kind: '-' as const, text })), ...b.map((text) => ({ kind: '+' as const, text }))]
  }
  const lengths = commonLengths(a, b)
  const at = (i: number, j: number) => lengths[i * (b.length + 1) + j] ?? 0
  const lines: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: ' ', text: a[i] ?? '' })
      i++
      j++
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1)))
      lines.push({ kind: '-', text: a[i++] ?? '' })
    else lines.push({ kind: '+', text: b[j++] ?? '' })
  }
  return lines
}

/** Row i, column j: the longest common subsequence of a from i and b from j. */
function commonLengths(a: readonly string[], b: readonly string[]): Uint32Array {
  const width = b.length + 1
  const lengths = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        a[i] === b[j]
          ? (lengths[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0)
  return lengths
}

/** The changed lines with their surroundings; `@@` heads tell the line numbers. */
export function hunks(lines: readonly DiffLine[]): string[] {
  const near = lines.map((_, index) =>
    lines.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).some(({ kind }) => kind !== ' '),
  )
  const output: string[] = []
  let [before, after] = [1, 1]
  for (const [index, { kind, text }] of lines.entries()) {
    if (near[index] && !near[index - 1]) output.push(`@@ line ${before} running, line ${after} wanted @@`)
    if (near[index]) output.push(`${kind}${text}`)
    if (kind !== '+') before++
    if (kind !== '-') after++
  }
  return output
}
