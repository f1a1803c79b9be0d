// SPDX-License-Identifier: Apache-2.0
/**
 * Every error an operator can see, in one table: exit code, HTTP status, sentence and remedy. The CLI, the
 * REST API's problem documents and config/ERRORS.md derive from it. `{name}` is filled from the details.
 */
interface ErrorRow {
  /** HTTP status of the problem document (RFC 9457). */
  readonly status: number
  readonly title: string
  /** What to do; shown with the title. */
  readonly remedy: string
}

export const ERRORS = {
  CONFIG_INVALID: {
    status: 422,
    title: 'The configuration is not valid',
    remedy: 'Mend each fault listed; the running configuration stays.',
  },
  CONFIG_UNREADABLE: {
    status: 422,
    title: 'The configuration file cannot be read',
    remedy: 'Check the path and its permissions.',
  },
  CONFIG_SYNTAX: { status: 400, title: 'The configuration is not YAML', remedy: 'Mend the line that is named.' },
  ADDRESS_INVALID: { status: 422, title: 'Not an IP address', remedy: 'Write an IPv4 or IPv6 address.' },
  CONFLICT_ETAG: {
    status: 412,
    title: 'The configuration has changed since it was read',
    remedy: 'Read it again and repeat the change.',
  },
  ETAG_REQUIRED: {
    status: 428,
    title: 'A change must say which configuration it changes',
    remedy: 'Send `If-Match` with the ETag of the configuration that was read, or `If-Match: *`.',
  },
  CONFLICT_PENDING: {
    status: 409,
    title: 'A change waits for its confirmation',
    remedy: 'Confirm it or roll it back first.',
  },
  NOTHING_PENDING: { status: 409, title: 'No change waits for confirmation', remedy: 'Nothing is to be done.' },
  UNAUTHENTICATED: {
    status: 401,
    title: 'A valid bearer token is needed',
    remedy: 'Send `Authorization: Bearer TOKEN`.',
  },
  FORBIDDEN: { status: 403, title: 'The token may only read', remedy: 'Use a token of role admin.' },
  NOT_FOUND: { status: 404, title: 'No such resource', remedy: 'See /openapi.json for what there is.' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The resource has no such method', remedy: 'Use {methods}.' },
  REQUEST_INVALID: { status: 400, title: 'The request is not valid', remedy: 'See /openapi.json for its form.' },
  TRACE_BUSY: { status: 429, title: 'Too many traces run already', remedy: 'End one of them, or wait.' },
  BODY_TOO_LARGE: { status: 413, title: 'The request body is too large', remedy: 'Send at most 1 MiB.' },
  BODY_TYPE: {
    status: 415,
    title: 'The type of the request body is not understood',
    remedy: 'Send application/json or application/yaml.',
  },
  STATE_UNWRITABLE: {
    status: 500,
    title: 'The state directory {directory} cannot be written',
    remedy: 'Make room or mend its permissions, or name another with --state-directory.',
  },
  LISTEN_FAILED: {
    status: 500,
    title: 'Cannot listen on {endpoint}',
    remedy: 'Choose an address of this host, or mend the permissions.',
  },
  LOG_UNWRITABLE: {
    status: 500,
    title: '{file} cannot be opened for the log of bindings',
    remedy: 'Mend its permissions, or name another in log.bindings.files.',
  },
  START_FAILED: {
    status: 500,
    title: 'The gateway cannot start',
    remedy: 'See the cause; what was set has been taken back.',
  },
  APPLY_FAILED: {
    status: 500,
    title: 'The change could not be applied and was undone',
    remedy: 'See the cause; the previous configuration runs.',
  },
  DAEMON_UNREACHABLE: {
    status: 503,
    title: 'The daemon does not answer',
    remedy: 'Start it with `sixgate run`, or name its run directory.',
  },
  ALREADY_RUNNING: {
    status: 409,
    title: 'Another daemon runs in this run directory',
    remedy: 'Stop it, or give this one an --instance NAME.',
  },
  DIRECTORY_UNWRITABLE: {
    status: 500,
    title: '{directory} cannot be written',
    remedy: 'Run as root, or name another with --run-directory.',
  },
  NEED_ROOT: {
    status: 500,
    title: 'The capability {capability} is missing',
    remedy: 'Run as root or add the capability.',
  },
  NOT_BUILT: {
    status: 500,
    title: 'The translator cannot be loaded',
    remedy: 'Start with `npm run -s sixgate -- run` or `npm start`, which build it.',
  },
  NO_TUN: {
    status: 500,
    title: '/dev/net/tun cannot be opened',
    remedy: 'Load the tun module, or give the container --device /dev/net/tun.',
  },
  PORT_IN_USE: {
    status: 500,
    title: '{endpoint} is in use',
    remedy: 'Stop the other service or change the listen key.',
  },
  ADDRESS_NOT_LOCAL: {
    status: 500,
    title: '{endpoint} is not an address of this host',
    remedy: 'Add the address to an interface or change the listen key.',
  },
  SYSCTL_READONLY: {
    status: 500,
    title: 'sysctl {name} is {actual}, must be {wanted}, and cannot be written',
    remedy: 'Give the container {flags}.',
  },
  COMMAND_FAILED: { status: 500, title: '{command} failed', remedy: 'See its message.' },
  COMMAND_MISSING: { status: 500, title: '{command} is not installed', remedy: 'apt-get install {package}' },
  INTERNAL: { status: 500, title: 'Internal error', remedy: 'Report it with the log.' },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** One fault of an input: the JSON pointer of the value, what is wrong, and what to write instead. */
export interface Fault {
  readonly path: string
  readonly message: string
  readonly remedy?: string
  /** The line of the file it was read from. */
  readonly line?: number
}

export interface ErrorDetails {
  readonly faults?: readonly Fault[]
  /** Values for the `{name}` places of title and remedy. */
  readonly values?: Readonly<Record<string, string | number>>
  /** A sentence that says what this occurrence is about. */
  readonly detail?: string
  readonly cause?: unknown
}

export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly faults: readonly Fault[]
  readonly remedy: string
  readonly detail: string | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const row: ErrorRow = ERRORS[code]
    const fill = (sentence: string) =>
      sentence.replace(/\{(\w+)\}/g, (_, name) => String(details.values?.[name] ?? name))
    super(details.detail ? `${fill(row.title)}: ${details.detail}` : fill(row.title), { cause: details.cause })
    this.name = 'GatewayError'
    this.code = code
    this.faults = details.faults ?? []
    this.remedy = fill(row.remedy)
    this.detail = details.detail
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}
