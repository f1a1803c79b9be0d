// SPDX-License-Identifier: Apache-2.0
/** What the API is made of and what its routes work with. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { ConfigStore } from '../config/store.ts'
import type { Log } from '../log.ts'
import type { Principal, Role } from './auth.ts'
import type { Gateway } from './gateway.ts'
import type { RouteRecord } from './openapi.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route; admin unless it says otherwise. */
    role?: Role
  }
  interface FastifyRequest {
    principal: Principal | undefined
  }
}

export interface ApiOptions {
  readonly gateway: Gateway
  readonly store: ConfigStore
  readonly log: Log
  readonly version: string
  /** Path of the unix socket. */
  readonly socket?: string
}

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

export interface RouteContext extends ApiOptions {
  readonly routes: readonly RouteRecord[]
  endpoints(): readonly string[]
}
