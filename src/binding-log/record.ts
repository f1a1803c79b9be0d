// SPDX-License-Identifier: Apache-2.0
/**
 * An event of the log of bindings as native/session_log.cc writes it: fixed places, network byte order, the fields in
 * the order of RFC 8158's templates.
 */
export const RECORD_SIZE = 59

export const AT = {
  /** Milliseconds since the epoch, 8 bytes. */
  time: 0,
  event: 8,
  protocol: 9,
  client: 10,
  clientPort: 26,
  pool: 28,
  poolPort: 32,
  /** The last port of a block. */
  lastPort: 34,
  remote: 36,
  remotePort: 40,
  quota: 42,
  /** The limit that was reached, or the number of the pool without a free address. */
  value: 46,
  /** When what ended began; 0 for other events. */
  since: 50,
  /** Of what counts as one client. */
  clientLength: 58,
} as const

/** natEvent, RFC 8158 section 4.3. */
export const EVENT = {
  addressesExhausted: 3,
  sessionCreated: 6,
  sessionDeleted: 7,
  bindingCreated: 10,
  bindingDeleted: 11,
  portsExhausted: 12,
  quotaExceeded: 13,
  blockAllocated: 16,
  blockReleased: 17,
} as const

/** natQuotaExceededEvent, RFC 8158 section 4.4. */
export const QUOTA = { sessions: 1, client: 3 } as const

/** The 8 bytes hold milliseconds, which 48 bits count until the year 10889. */
export function readTime(records: Buffer, at: number): number {
  return records.readUIntBE(at + 2, 6)
}
