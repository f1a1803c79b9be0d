// SPDX-License-Identifier: Apache-2.0
/**
 * nftables tables of the gateway's own. A table is written whole in one transaction, in nft's text form: its JSON
 * form cannot declare sets by `typeof` in Debian 12's version.
 */
import { CommandError, commandFault, run } from './command.ts'
import type { Change, NftTable } from './system.ts'

const NFT_PACKAGE = 'nftables'

function nft(args: readonly string[], input?: string): Promise<string> {
  return run('nft', args, NFT_PACKAGE, input)
}

/** The body of `table inet name { … }` as nft lists it. */
function bodyOf(listing: string): string {
  const open = listing.indexOf('{')
  const close = listing.lastIndexOf('}')
  return listing.slice(open + 1, close)
}

export class NftTables {
  /** What nft printed after a table was written: nft's spelling is not ours, but stays the same. */
  readonly #listed = new Map<string, { rules: string; listing: string }>()

  async #list({ family, name }: NftTable): Promise<string | undefined> {
    try {
      return bodyOf(await nft(['--stateless', '--terse', 'list', 'table', family, name]))
    } catch (error) {
      if (error instanceof CommandError && /No such file or directory/.test(error.stderr)) return undefined
      throw commandFault('nft list table', error)
    }
  }

  async read(wanted: NftTable): Promise<NftTable | undefined> {
    const listing = await this.#list(wanted)
    if (listing === undefined) return undefined
    const known = this.#listed.get(`${wanted.family} ${wanted.name}`)
    return { ...wanted, rules: known?.listing === listing ? known.rules : listing }
  }

  async change({ before, after }: Change): Promise<void> {
    const table = (after ?? before) as NftTable
    const name = `${table.family} ${table.name}`
    // an empty definition first, so that the deletion cannot fail
    const text = `table ${name} {}\ndelete table ${name}\n${after ? `table ${name} {\n${table.rules}\n}\n` : ''}`
    try {
      await nft(['-f', '-'], text)
    } catch (error) {
      throw commandFault('nft', error)
    }
    const listing = after && (await this.#list(table))
    if (listing !== undefined) this.#listed.set(name, { rules: table.rules, listing })
    else this.#listed.delete(name)
  }
}
