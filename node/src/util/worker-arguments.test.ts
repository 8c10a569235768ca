import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../testing/random-span.ts'
import { workerArguments } from './worker-arguments.ts'

const folder = temporaryFolder()

/** Starts a worker as skein does, in a process with these arguments, and waits for its word. */
function startWorker(...execArgv: readonly string[]): { stdout: string; stderr: string } {
  const source = `
    import { Worker } from 'node:worker_threads'
    import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../testing/random-span.ts'
import { workerArguments } from '${new URL('./worker-arguments.js', import.meta.url).href}'
    const module = new URL('data:text/javascript,import { parentPort } from "node:worker_threads"; parentPort.postMessage("here")')
    new Worker(module, { execArgv: workerArguments() }).on('message', console.log)`
  const script = join(folder.path, 'start.mjs')
  writeFileSync(script, source)
  const args = [...execArgv, ...(execArgv.includes('--input-type=module') ? ['-e', source] : [script])]
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return { stdout: stdout.trim(), stderr }
}

describe('arguments of workers', () => {
  after(() => folder.remove())

  it('are those of the process, or none with a kind of text that -e runs', () => {
    assert.equal(workerArguments(['--max-old-space-size=100']), undefined)
    assert.deepEqual(workerArguments(['--input-type=module', '--max-old-space-size=100']), [])
    assert.deepEqual(workerArguments(['--input-type', 'module']), [])
  })

  it('start a worker, whatever the process was started with', () => {
    const cases = [['--max-semi-space-size=128'], ['--input-type=module'], ['--max-semi-space-size=128', '--input-type=module']]
    for (const execArgv of cases) {
      assert.deepEqual(startWorker(...execArgv), { stdout: 'here', stderr: '' }, execArgv.join(' '))
    }
  })
})
