#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
/** The `sixgate` command. */
import { main } from './cli/dispatch.ts'
import { processIo } from './cli/io.ts'

// A reader that has seen enough (`sixgate show sessions | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

process.exitCode = await main(process.argv.slice(2), processIo)
