// SPDX-License-Identifier: Apache-2.0
/** Writes the documents that derive from the schema: `node src/config/generate.ts`. */
import { writeFileSync } from 'node:fs'
import { documents } from './reference.ts'

for (const [path, text] of Object.entries(documents())) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), text)
  console.log(`wrote ${path}`)
}
