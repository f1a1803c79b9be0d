// SPDX-License-Identifier: Apache-2.0
/** What a story in the virtual machine needs of the real one. */
import { describe } from 'vitest'
import { lacks } from '../net/story.ts'

/** For a hook that boots: the first on a checkout makes the image from Debian packages. */
export const BOOT_MS = 900_000

/** Declares a story; a skip carries its reason in its name. */
export function machineStory(title: string, tell: () => void): void {
  const needs = ['root', 'tun', 'x86_64', 'qemu-system-x86_64', 'mmdebstrap', 'mke2fs']
  const missing = needs.find((need) => lacks(need) !== undefined)
  if (missing === undefined) describe(title, tell)
  else describe.skip(`${title} SKIP: ${lacks(missing)} (needs ${missing})`, tell)
}
