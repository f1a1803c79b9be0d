// SPDX-License-Identifier: Apache-2.0
/*
 *   The lab of `npm start`, as a user sees it.
 */
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { attempt, Background, run } from '../lab/process.ts'
import { story } from './story.ts'

const bootstrap = fileURLToPath(new URL('../../src/bootstrap.mjs', import.meta.url))

/** What there is of the lab whose output this is. */
async function traces(output: string): Promise<string[]> {
  const id = /sixgate-lab-([0-9a-f]+)-client/.exec(output)?.[1]
  if (!id) throw new Error(`the lab did not name its client:\n${output}`)
  const namespaces = (await run('ip', ['netns', 'list'])).split('\n')
  const links = (await run('ip', ['-o', 'link'])).split('\n')
  const files = ['/run', '/var/lib', '/run/sixgate-lab', '/etc/netns'].flatMap((path) =>
    existsSync(path) ? readdirSync(path) : [],
  )
  return [...namespaces, ...links, ...files].filter((line) => line.includes(id))
}

story('The lab', [], () => {
  it('proves the way once and exits 0, leaving nothing behind', async () => {
    const { code, stdout } = await attempt(process.execPath, [bootstrap, 'lab', '--once'], { timeout: 100 })
    expect(code).toBe(0)
    expect(stdout).toMatch(/AAAA 64:ff9b::c000:250/)
    expect(stdout).toMatch(/pool address 198\.51\.100\.\d+:\d+/)
    expect(stdout).toMatch(/Hello from www\.example\.net/)
    expect(await traces(stdout)).toEqual([])
  })

  it('stays until it is interrupted, and its API is reached from the host', async () => {
    const lab = new Background(process.execPath, [bootstrap, 'lab'])
    try {
      await lab.waitFor(/The lab stays up/, 100)
      const base = /http:\/\/\[[0-9a-f:]+\]:8064/.exec(lab.output)?.[0]
      const answer = await fetch(`${base}/api/v1/status`, { headers: { authorization: 'Bearer sixgate-lab' } })
      expect(answer.status).toBe(200)
      expect(await answer.json()).toMatchObject({ nat64: { datapath: 'tc' } })
    } finally {
      expect(await lab.stop('SIGINT', 30)).toEqual({ code: 0, signal: null })
    }
    expect(await traces(lab.output)).toEqual([])
  })

  it('takes away what a killed lab has left', async () => {
    const lab = new Background(process.execPath, [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), 'lab'])
    await lab.waitFor(/The lab stays up/, 100)
    await lab.stop('SIGKILL')
    expect(await traces(lab.output)).not.toEqual([])
    expect((await attempt(process.execPath, [bootstrap, 'lab', '--once'], { timeout: 100 })).code).toBe(0)
    expect(await traces(lab.output)).toEqual([])
  })
})
