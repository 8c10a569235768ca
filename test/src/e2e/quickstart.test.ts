import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Program } from '../harness/program.ts'
import { root } from '../tidy/repository.ts'

interface Report {
  readonly first: { readonly text: string; readonly recoveries: number; readonly chain: readonly unknown[] }
  readonly withKill: { readonly text: string; readonly recoveries: number }
  readonly sameText: boolean
}

describe('the quickstart', function () {
  this.timeout(240_000)

  it('shows the same text with a node killed in the middle of it', async () => {
    const program = new Program(join(root, 'scripts', 'quickstart.mjs'), { args: ['--json'], tethered: false })
    assert.deepEqual(await program.exited, { code: 0, signal: null }, program.logs())
    const { first, withKill, sameText } = JSON.parse(program.stdout().trim().split('\n').at(-1) ?? '') as Report
    assert.equal(sameText, true)
    assert.equal(withKill.text, first.text)
    assert.ok(first.text.length > 20, first.text)
    assert.equal(first.chain.length, 3)
    assert.equal(first.recoveries, 0)
    assert.ok(withKill.recoveries >= 1, program.stderr())
  })
})
