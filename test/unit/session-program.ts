// SPDX-License-Identifier: Apache-2.0
/** Compiles the tests of the stateful machine (native/session*, pool, fragment) into a program. */
import { basename, join } from 'node:path'
import { buildProgram, files, native } from './native-program.ts'

export { execute } from './native-program.ts'

const tests = join(import.meta.dirname, 'session')

/**
 * The program: `--list` prints the sentences of its cases, a sentence runs that case and prints nothing when all is
 * well.
 */
export function build(): Promise<string> {
  const ours = (file: string) => /^(session|pool|fragment)[a-z_]*\./.test(basename(file))
  return buildProgram({
    name: 'session',
    sources: [...files(native, /\.cc$/).filter(ours), ...files(tests, /\.cc$/)],
    headers: [
      ...files(native, /\.h$/).filter(ours),
      ...files(join(native, 'xlat'), /^(types|reason|checksum)\.h$/),
      ...files(tests, /\.h$/),
    ],
  })
}
