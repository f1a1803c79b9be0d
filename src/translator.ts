// SPDX-License-Identifier: Apache-2.0
/** The data plane over its life: opened, configured, opened anew around its sessions, closed. */
import type { Log } from './log.ts'
import type { CloseOptions } from './service.ts'
import type { Dataplane, DataplaneOptions, OpenDataplane } from './system/dataplane.ts'

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** What the device and the session file are made with; configure() does not change it. */
function shapeOf(options: DataplaneOptions | undefined): unknown {
  return options && { ...options, config: undefined }
}

export class Translator {
  readonly #open: OpenDataplane
  readonly #log: Log
  readonly #over: (plane: Dataplane) => void
  #plane: Dataplane | undefined
  #options: DataplaneOptions | undefined

  /** `over` is called with each data plane that was closed. */
  constructor(open: OpenDataplane, log: Log, over: (plane: Dataplane) => void = () => {}) {
    this.#open = open
    this.#over = over
    this.#log = log.child({ part: 'nat64' })
  }

  get plane(): Dataplane | undefined {
    return this.#plane
  }

  get options(): DataplaneOptions | undefined {
    return this.#options
  }

  /** Whether configure() is enough to come to these options. */
  fits(options: DataplaneOptions): boolean {
    return same(shapeOf(options), shapeOf(this.#options))
  }

  /** Opens, opens anew or, without options, closes. Opened anew it adopts its own sessions. */
  open(options: DataplaneOptions | undefined): void {
    this.close({ keep: options !== undefined })
    if (!options) return
    this.#plane = this.#open(options)
    this.#options = options
    const { adopted, adoption } = this.#plane.status()
    this.#log.info({ device: options.device, adopted, adoption }, 'the translator is open')
  }

  configure(options: DataplaneOptions): void {
    if (!this.#plane || same(options.config, this.#options?.config)) return
    const ended = this.#plane.configure(options.config)
    this.#options = options
    this.#log.info({ ended }, 'the translator is configured')
  }

  close(options: CloseOptions): void {
    const plane = this.#plane
    this.#plane = undefined
    this.#options = undefined
    if (!plane) return
    plane.close(options)
    this.#over(plane)
  }
}
