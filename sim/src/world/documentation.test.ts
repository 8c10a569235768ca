import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = fileURLToPath(new URL('.', import.meta.url))
const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')

/** What a reader would do: a file with the example in it, and mocha. */
async function runExample(example: string): Promise<void> {
  const folder = await mkdtemp(join(here, 'documented-'))
  try {
    const file = join(folder, 'example.test.mjs')
    await writeFile(file, `import assert from 'node:assert/strict'\n${example}`)
    await promisify(execFile)(process.execPath, [mocha, '--no-config', '--no-package', file], { cwd: here })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe('the documented test of a world', function () {
  this.timeout(60_000)

  it('passes as it stands in docs/simulation.md', async () => {
    const text = await readFile(new URL('../../../docs/simulation.md', import.meta.url), 'utf8')
    const [, example = ''] = /```ts\n([^]*?)```/.exec(text) ?? []
    assert.match(example, /simulate\(/)
    await runExample(example)
  })

  it('passes as it stands in the docstring of simulate', async () => {
    const source = await readFile(new URL('../../src/world/simulate.ts', import.meta.url), 'utf8')
    const [, example = ''] = /```ts\n([^]*?) \* ```/.exec(source) ?? []
    const body = example.replaceAll(/^ \* /gm, '')
    assert.match(body, /simulate\(/)
    await runExample(`import { defineScenario, simulate } from '@skein/sim'\nit('is documented', async () => {\n${body}})\n`)
  })

  it('would fail if the example were wrong', async () => {
    await assert.rejects(runExample("it('fails', () => assert.equal(1, 2))"), { code: 1, stdout: /1 failing/ })
  })
})
