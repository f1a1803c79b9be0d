// SPDX-License-Identifier: Apache-2.0
/** What the API needs of the daemon; startDaemon's result has it, and so have the fakes of the tests. */
import type { BindingLogStats } from '../binding-log.ts'
import type { Config } from '../config/schema.ts'
import type { Status } from '../daemon.ts'
import type { Fault } from '../errors.ts'
import type { Dataplane } from '../system/dataplane.ts'
import type { TunnelsReport } from '../tunnel-service.ts'

export interface Gateway {
  readonly config: Config
  /** What of a valid configuration cannot work on this host. */
  check(config: Config): Promise<readonly Fault[]>
  status(): Status
  readonly dataplane?: Omit<Dataplane, 'configure' | 'close'> | undefined
  readonly dns64?: { stats(): unknown } | undefined
  readonly tunnels?: { report(): TunnelsReport | undefined }
  readonly bindingLog?: { stats(): BindingLogStats | undefined }
}
