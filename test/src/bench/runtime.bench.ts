import { join } from 'node:path'
import { type PreparedSpan, startSpanRuntime } from '@skein/node'
import { openBareRun, randomFloats, temporaryFolder, tinyConfig, writeRandomSpan } from '@skein/node/testing'
import { seededRandom } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import type { Bench, BenchMeasure, BenchOptions, BenchReport, BenchTarget } from './bench.ts'
import { medianRatio, summarize } from './stats.ts'

/** Four blocks of the Llama-1B shape with random weights. */
const config = {
  ...tinyConfig,
  blocks: 4,
  hiddenSize: 2048,
  ffnSize: 8192,
  heads: 32,
  kvHeads: 8,
  headDim: 64,
  contextTokens: 32 * 1024
}
const quickConfig = { ...config, hiddenSize: 256, ffnSize: 1024, heads: 4, kvHeads: 1 }
const threads = 1
const position = 256

export const bench: Bench = {
  name: 'runtime',
  about: 'a node’s runtime against the C API alone: 4 blocks of the Llama-1B shape, one thread',
  async run(options) {
    const folder = temporaryFolder()
    const report: BenchReport = { measures: [], targets: [], notes: [] }
    try {
      for (const dtype of ['f32', 'q8'] as const) {
        options.log(`writing random weights in ${dtype}`)
        const settings = { config: options.quick ? quickConfig : config, dtype, lanes: 2, borders: [0, 1, 2, 3, 4] }
        const prepared = writeRandomSpan(join(folder.path, dtype), settings)
        const { measures, targets } = await measure(prepared, options)
        report.measures.push(...measures)
        report.targets.push(...targets)
      }
    } finally {
      folder.remove()
    }
    return report
  }
}

async function measure(
  prepared: PreparedSpan,
  { quick, log }: BenchOptions
): Promise<{ measures: BenchMeasure[]; targets: BenchTarget[] }> {
  const { shape, dtype, span } = prepared
  const clock = systemClock()
  const random = seededRandom('bench')
  const row = randomFloats(random, shape.hiddenSize, 2)
  const timed = async (act: () => Promise<unknown>): Promise<number> => {
    const startMs = clock.monotonicMs()
    await act()
    return clock.monotonicMs() - startMs
  }
  const startMs = clock.monotonicMs()
  const runtime = await startSpanRuntime({ prepared, kvTokens: 64 * 1024, threads })
  const openMs = [clock.monotonicMs() - startMs]
  const bare = openBareRun(prepared, threads, row, position, 1025)
  try {
    const run = async (cache: string, at: number, rows: number): Promise<void> => {
      const input = new Uint8Array(randomFloats(random, rows * shape.hiddenSize, 2).buffer)
      const { outputs } = await runtime.run([{ cache, position: at, rows, span, exact: false, encoding: 'f32', input }])
      if (outputs[0]?.ok !== true) throw new Error(`the runtime could not compute a step: ${JSON.stringify(outputs[0])}`)
    }
    for (const [cache, tokens] of [
      ['1k', 1024],
      ['32k', 32 * 1024]
    ] as const) {
      await runtime.reserve(cache, tokens, span)
      await run(cache, 0, position)
    }
    const rounds = quick ? 5 : 60
    log(`${rounds} decode steps in ${dtype}`)
    const times = { bare: [] as number[], runtime: [] as number[], large: [] as number[] }
    for (let round = -3; round < rounds; round++) {
      const bareMs = await timed(async () => bare.step())
      const runtimeMs = await timed(() => run('1k', position, 1))
      const largeMs = await timed(() => run('32k', position, 1))
      if (round < 0) continue
      times.bare.push(bareMs)
      times.runtime.push(runtimeMs)
      times.large.push(largeMs)
    }
    const chunks: number[] = []
    for (let round = 0; round < (quick ? 1 : 3); round++) chunks.push((128 * 1000) / (await timed(() => run('1k', 0, 128))))
    return {
      measures: [
        summarize(`${dtype}: opening`, 'ms', openMs),
        summarize(`${dtype}: C API alone`, 'ms', times.bare),
        summarize(`${dtype}: decode step in the worker`, 'ms', times.runtime),
        summarize(`${dtype}: the same, cache of 32k`, 'ms', times.large),
        summarize(`${dtype}: prefill in chunks of 128`, 'tokens/s', chunks)
      ],
      targets: [
        { name: `${dtype}: decode step to the C API alone`, value: medianRatio(times.runtime, times.bare), limit: 1.1, kind: 'at-most' },
        {
          name: `${dtype}: decode step, 32k to 1k rows of capacity`,
          value: medianRatio(times.large, times.runtime),
          limit: 1.2,
          kind: 'at-most'
        }
      ]
    }
  } finally {
    bare.close()
    await runtime.stop()
  }
}
