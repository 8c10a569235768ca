import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tinyConfig, temporaryFolder, writeRandomHead } from '../../testing/random-span.ts'

/** Computes logits in a process whose home is `home`, in a worker and on its own thread, under a command line of `argument`. */
function compute(home: string, argument: string): string {
  const { hiddenSize, vocabSize } = tinyConfig
  const init = { graph: writeRandomHead(join(home, 'head')), hiddenSize, vocabSize, threads: 1 }
  const source = `
    import { startHeadRuntime } from '${new URL('../head-runtime.js', import.meta.url).href}'
    import { HeadEngine } from '${new URL('./head-engine.js', import.meta.url).href}'
    const init = ${JSON.stringify(init)}
    const head = await startHeadRuntime(init)
    const logits = await head.run(new Float32Array(init.hiddenSize))
    await head.stop()
    const engine = new HeadEngine(init)
    console.log(logits.length, engine.run(new Float32Array(init.hiddenSize)).length)
    engine.close()`
  const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], SystemRoot: process.env['SystemRoot'] }
  for (const name of ['HOME', 'XDG_CACHE_HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'USERPROFILE', 'LOCALAPPDATA', 'APPDATA'])
    env[name] = home
  const script = join(init.graph.folder, 'compute.mjs')
  writeFileSync(script, source)
  const { stdout, stderr, signal } = spawnSync(process.execPath, [script, argument], { env, encoding: 'utf8' })
  assert.equal(signal, null, 'the process was ended by a signal')
  assert.equal(stderr, '')
  return stdout.trim()
}

describe('the telemetry of ONNX Runtime', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  it('is off: nothing appears in the home of whoever computes', () => {
    const home = join(folder.path, 'home')
    mkdirSync(home)
    assert.equal(compute(home, ''), `${tinyConfig.vocabSize} ${tinyConfig.vocabSize}`)
    assert.deepEqual(readdirSync(home), ['head'])
  })

  it('reads no command line: a long one ends no process', () => {
    const home = join(folder.path, 'long')
    mkdirSync(home)
    assert.equal(compute(home, 'the owl flew over the hill and '.repeat(2000)), `${tinyConfig.vocabSize} ${tinyConfig.vocabSize}`)
  })
})
