// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vitest/config'

const pool = 'forks' as const

/** Stories own namespaces, ports of the kernel and both processors: one at a time, after the unit tests. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/net/**', 'test/vm/**', 'test/bench/**'],
          pool,
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'net',
          include: ['test/net/**/*.test.ts', 'test/vm/**/*.test.ts'],
          pool,
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
