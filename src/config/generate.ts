// SPDX-License-Identifier: Apache-2.0
/** Writes the documents that derive from the source: `node src/config/generate.ts`. */
import { writeFileSync } from 'node:fs'
import { documents as vectors } from '../../test/vectors/sentences.ts'
import { documents } from './reference.ts'

for (const [path, text] of Object.entries({ ...documents(), ...vectors() })) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), text)
  console.log(`wrote ${path}`)
}
