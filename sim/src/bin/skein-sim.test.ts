import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('skein-sim.js', import.meta.url))

describe('the command skein-sim', () => {
  it('fails when what it prints cannot be written', function () {
    if (!existsSync('/dev/full')) this.skip()
    const full = openSync('/dev/full', 'w')
    try {
      const { status, stderr } = spawnSync(process.execPath, [program, 'list'], { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' })
      assert.equal(status, 1, stderr)
      assert.match(stderr, /what was to be written is lost: .*ENOSPC/)
    } finally {
      closeSync(full)
    }
  })
})
