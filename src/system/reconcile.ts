// SPDX-License-Identifier: Apache-2.0
/**
 * Makes the kernel agree with what the features want, touching nothing else: desired and actual state in, a list
 * of changes out, and their undoing when one of them fails.
 */
import { GatewayError } from '../errors.ts'
import type { Entries, Entry, Ledger } from './ledger.ts'
import { deviceOf } from './sysctl.ts'
import { type Change, ChangeFailed, isLink, keyOf, type Resource, type System, satisfies } from './system.ts'

export interface Desired {
  /** In the order in which they are set. */
  readonly present: readonly Resource[]
  /** What must not be there, removed last and put back first. */
  readonly absent: readonly Resource[]
}

export const NOTHING: Desired = { present: [], absent: [] }

export function union(parts: readonly Desired[]): Desired {
  return { present: parts.flatMap(({ present }) => present), absent: parts.flatMap(({ absent }) => absent) }
}

/** What was seen of each resource that is wanted or remembered, by key. */
export type Actual = ReadonlyMap<string, Resource>

export interface Plan {
  readonly changes: readonly Change[]
  /** The ledger once all changes are made. */
  readonly entries: Entries
}

function change(before: Resource | undefined, after: Resource | undefined): Change {
  return { ...(before && { before }), ...(after && { after }) }
}

function entry(original: Resource | undefined, set: Resource | undefined): Entry {
  return { ...(original && { original }), ...(set && { set }) }
}

/** Two features may want the same thing, but not two things of one. */
function distinct(resources: readonly Resource[]): Map<string, Resource> {
  const result = new Map<string, Resource>()
  for (const resource of resources) {
    const key = keyOf(resource)
    const other = result.get(key)
    if (other && !(satisfies(other, resource) && satisfies(resource, other))) {
      throw new GatewayError('APPLY_FAILED', {
        detail: `${key} is wanted twice: ${JSON.stringify(other)} and ${JSON.stringify(resource)}`,
      })
    }
    result.set(key, resource)
  }
  return result
}

/** How to take back one entry. What somebody else changed since then is theirs. */
function takeBack(key: string, { original, set }: Entry, actual: Actual): Change | undefined {
  const now = actual.get(key)
  if (set === undefined) return now === undefined && original ? change(undefined, original) : undefined
  if (!satisfies(now, set)) return undefined
  if (original === undefined) return set.kind === 'sysctl' || set.kind === 'link' ? undefined : change(now, undefined)
  return change(now, original)
}

function deviceUnder(resource: Resource): string {
  return resource.kind === 'sysctl' ? deviceOf(resource.name) : 'dev' in resource ? resource.dev : ''
}

/** Links that are made anew, for they are there and not as wanted: what stood on them is gone then. */
function remade(present: ReadonlyMap<string, Resource>, actual: Actual): Set<string> {
  const names = [...present].flatMap(([key, resource]) => {
    const now = actual.get(key)
    return isLink(resource) && now && !satisfies(now, resource) ? [resource.dev] : []
  })
  return new Set(names)
}

/** A link goes after what stands on it, and before a link that may need its place. */
function staleLinksFirst(removals: readonly Change[]): [first: Change[], rest: Change[]] {
  const links = new Set(
    removals.flatMap(({ before, after }) => (before && isLink(before) && !after ? [before.dev] : [])),
  )
  const standsOn = ({ before, after }: Change) => {
    return links.has(deviceUnder((before ?? after) as Resource))
  }
  return [removals.filter(standsOn), removals.filter((removal) => !standsOn(removal))]
}

export function plan(desired: Desired, actual: Actual, entries: Entries, marked: readonly Resource[] = []): Plan {
  const present = distinct(desired.present)
  const absent = distinct(desired.absent)
  const next = new Map<string, Entry>()
  const removals: Change[] = []
  for (const [key, remembered] of [...entries].reverse()) {
    if (present.has(key) || absent.has(key)) continue
    const back = takeBack(key, remembered, actual)
    if (back) removals.push(back)
  }
  for (const resource of marked) {
    const key = keyOf(resource)
    if (!present.has(key) && !absent.has(key) && !entries.has(key)) removals.push(change(resource, undefined))
  }
  for (const [key, remembered] of entries) if (present.has(key) || absent.has(key)) next.set(key, remembered)

  const settings: Change[] = []
  const fresh = remade(present, actual)
  for (const [key, resource] of present) {
    const now = fresh.has(deviceUnder(resource)) && !isLink(resource) ? undefined : actual.get(key)
    const remembered = entries.get(key)
    if (satisfies(now, resource)) {
      if (remembered) next.set(key, entry(remembered.original, resource))
      continue
    }
    if (now?.kind === 'route' && now.foreign !== undefined) {
      throw new GatewayError('APPLY_FAILED', {
        detail: `a route to ${now.prefix} with ${now.foreign} stands in the way; remove it`,
      })
    }
    settings.push(change(now, resource))
    // a thing of ours that vanished, or was changed by others, keeps what was there before us
    next.set(key, entry(remembered ? remembered.original : now, resource))
  }
  const absences: Change[] = []
  for (const [key] of absent) {
    const now = actual.get(key)
    if (!now) continue
    absences.push(change(now, undefined))
    next.set(key, entry(now, undefined))
  }
  const [first, last] = staleLinksFirst(removals)
  return { changes: [...first, ...settings, ...absences, ...last], entries: next }
}

async function observe(system: System, desired: Desired, entries: Entries): Promise<Actual> {
  const wanted = new Map<string, Resource>()
  for (const { original, set } of entries.values()) {
    const resource = set ?? original
    if (resource) wanted.set(keyOf(resource), resource)
  }
  for (const resource of [...desired.present, ...desired.absent]) wanted.set(keyOf(resource), resource)
  const resources = [...wanted.values()]
  const values = await system.read(resources)
  const actual = new Map<string, Resource>()
  for (const [index, resource] of resources.entries()) {
    const value = values[index]
    if (value) actual.set(keyOf(resource), value)
  }
  return actual
}

export interface Applied {
  readonly changes: readonly Change[]
  /** Puts everything back as it was before; throws when that fails too. */
  undo(): Promise<void>
}

function reversed(changes: readonly Change[]): Change[] {
  return changes.toReversed().map(({ before, after }) => change(after, before))
}

/** Undoing goes on past what cannot be undone: as much as possible comes back. */
async function undoAll(system: System, changes: readonly Change[]): Promise<void> {
  const failures: unknown[] = []
  let rest = reversed(changes)
  while (rest.length > 0) {
    try {
      await system.change(rest)
      break
    } catch (error) {
      if (!(error instanceof ChangeFailed)) throw error
      failures.push(error.cause)
      rest = rest.slice(error.done + 1)
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'not all changes could be undone')
}

/**
 * Brings the kernel to `desired`. On failure every change made is undone and the ledger is as before.
 */
export async function reconcile(
  system: System,
  ledger: Ledger,
  desired: Desired,
  marked: readonly Resource[] = [],
): Promise<Applied> {
  const previous = ledger.entries
  const actual = await observe(system, desired, previous)
  const { changes, entries } = plan(desired, actual, previous, marked)
  if (changes.length > 0) {
    // everything that may be in force must be remembered, should the daemon be killed in between
    await ledger.save(new Map([...previous, ...entries]))
    try {
      await system.change(changes)
    } catch (error) {
      if (!(error instanceof ChangeFailed)) throw error
      await undoAll(system, changes.slice(0, error.done)).finally(() => ledger.save(previous))
      throw error.cause
    }
  }
  if (changes.length > 0 || entries.size !== previous.size) await ledger.save(entries)
  return {
    changes,
    async undo() {
      await undoAll(system, changes).finally(() => ledger.save(previous))
    },
  }
}
