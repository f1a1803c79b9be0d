// SPDX-License-Identifier: Apache-2.0
/** Who may do what: the unix socket may do all, a bearer token (RFC 6750) what its role says. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { ApiConfig } from '../config/schema.ts'
import { GatewayError } from '../errors.ts'

/** `open` needs no token. */
export type Role = 'open' | 'viewer' | 'admin'

export interface Principal {
  readonly name: string
  readonly role: 'viewer' | 'admin'
}

export const LOCAL: Principal = { name: 'local', role: 'admin' }

/** Every token is compared, each in constant time, so the time tells nothing about which one came close. */
export function authenticate(header: string | undefined, tokens: ApiConfig['tokens']): Principal {
  const [, token] = /^Bearer +([\x21-\x7e]+)$/i.exec(header ?? '') ?? []
  if (token === undefined) throw new GatewayError('UNAUTHENTICATED')
  const hash = createHash('sha256').update(token).digest()
  let found: Principal | undefined
  for (const { name, role, sha256 } of tokens)
    if (timingSafeEqual(hash, Buffer.from(sha256, 'hex'))) found = { name, role }
  if (!found) throw new GatewayError('UNAUTHENTICATED', { detail: 'the token is not known' })
  return found
}

export function authorize(principal: Principal, needed: Role): void {
  if (needed === 'admin' && principal.role !== 'admin') throw new GatewayError('FORBIDDEN')
}
