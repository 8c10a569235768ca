import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { stormHash } from './storm.test-helper.ts'

describe('a run', () => {
  it('is the same from the same seed, here and in another process, and another from another seed', async function () {
    this.timeout(30_000)
    const here = await stormHash(7)
    assert.match(here, /^[0-9a-f]{16} [1-9][0-9]*$/)
    assert.equal(await stormHash(7), here)
    assert.notEqual(await stormHash(8), here)
    const helper = fileURLToPath(new URL('./storm.test-helper.js', import.meta.url))
    const script = `import(${JSON.stringify(helper)}).then(async ({ stormHash }) => console.log(await stormHash(7)))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
    assert.equal(stdout.trim(), here)
  })
})
