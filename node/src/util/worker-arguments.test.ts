import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../testing/random-span.ts'
import { workerArguments } from './worker-arguments.ts'

const source = `
  import { Worker } from 'node:worker_threads'
  import { workerArguments } from '${new URL('./worker-arguments.js', import.meta.url).href}'
  const module = new URL('data:text/javascript,import { parentPort } from "node:worker_threads"; parentPort.postMessage("here")')
  new Worker(module, { execArgv: workerArguments() }).on('message', console.log)`

describe('arguments of workers', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  it('are those of the process, or none with a kind of text that -e runs', () => {
    assert.equal(workerArguments(['--max-old-space-size=100']), undefined)
    assert.deepEqual(workerArguments(['--input-type=module', '--max-old-space-size=100']), [])
    assert.deepEqual(workerArguments(['--input-type', 'module']), [])
  })

  it('start a worker, whatever the process was started with', () => {
    const script = join(folder.path, 'start.mjs')
    writeFileSync(script, source)
    const text = ['--input-type=module', '-e', source]
    for (const args of [['--max-semi-space-size=128', script], text, ['--max-semi-space-size=128', ...text]]) {
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      assert.deepEqual([stdout.trim(), stderr], ['here', ''], args[0])
    }
  })
})
