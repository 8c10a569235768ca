import assert from 'node:assert/strict'
import { workerArguments } from './worker-arguments.ts'

describe('arguments of workers', () => {
  it('are those of the process, but for the kind of text that -e runs', () => {
    assert.deepEqual(workerArguments(['--input-type=module', '--max-old-space-size=100']), ['--max-old-space-size=100'])
    assert.deepEqual(workerArguments(['--input-type', 'module', '--trace-warnings']), ['--trace-warnings'])
  })
})
