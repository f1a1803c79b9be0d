// SPDX-License-Identifier: Apache-2.0
/**
 * RFC 7915 section 4.5: a UDP datagram that is lost because it has no checksum is an event with its addresses and
 * ports. The packet threads keep the last of them; they are looked at now and then, so that a flood is one line.
 */
import type { Clock } from './clock.ts'
import type { Config } from './config/schema.ts'
import type { Log } from './log.ts'
import type { Service } from './service.ts'
import type { Dataplane } from './system/dataplane.ts'

const REASON = 'UDP_CHECKSUM_ZERO'

/** Milliseconds between two looks. */
const POLL = 10_000

export class ChecksumLog implements Service {
  readonly name = 'checksumLog'
  readonly #plane: () => Pick<Dataplane, 'drops'> | undefined
  readonly #clock: Clock
  readonly #log: Log
  #amends = false
  #told = 0
  #cancel: (() => void) | undefined

  constructor(plane: () => Pick<Dataplane, 'drops'> | undefined, clock: Clock, log: Log) {
    this.#plane = plane
    this.#clock = clock
    this.#log = log.child({ part: 'siit' })
  }

  async update({ siit, translation }: Config): Promise<void> {
    this.#amends = translation.amendUdpChecksumZero
    if (siit) this.#cancel ??= this.#schedule()
    else await this.close()
  }

  #schedule(): () => void {
    return this.#clock.after(POLL, () => {
      this.#look()
      this.#cancel = this.#schedule()
    })
  }

  #look(): void {
    const drop = this.#plane()
      ?.drops()
      .find(({ reason }) => reason === REASON)
    const packets = drop?.packets ?? 0
    // a data plane that was opened anew counts from nothing
    const fresh = packets < this.#told ? packets : packets - this.#told
    this.#told = packets
    if (!drop || fresh === 0) return
    const last = drop.last.slice(-fresh).map(({ time, source, destination }) => ({ time, source, destination }))
    const remedy = this.#amends
      ? 'Of a fragmented datagram none can be computed; have the sender write one.'
      : 'Have the sender write one, or set translation.amendUdpChecksumZero.'
    this.#log.warn(
      { packets: fresh, last, remedy },
      'UDP datagrams without a checksum were lost (RFC 7915 section 4.5)',
    )
  }

  status(): undefined {}

  async close(): Promise<void> {
    if (!this.#cancel) return
    this.#cancel()
    this.#cancel = undefined
    this.#look()
  }
}
