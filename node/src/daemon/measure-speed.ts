import { type Clock, rowBytes, type TensorEncoding } from '@skein/protocol'
import type { SpanRuntime } from '../runtime/span-runtime.ts'

/** What a node says of its speed. */
export interface MeasuredSpeed {
  /** One decode step of one session through the whole span, median. */
  readonly stepMs: number
  /** Rows a second in chunks of a prefill. */
  readonly rowsPerSecond: number
}

export interface MeasureSpeedOptions {
  readonly decodeSteps: number
  readonly chunkRows: number
}

const measureSpeedDefaults: MeasureSpeedOptions = {
  // A start waits for this: three steps and one chunk take half a second for each GB of weights on one thread.
  decodeSteps: 3,
  chunkRows: 32
}

const cache = 'measure-speed'

/**
 * Measures the runtime by itself, with rows of zeros, before the node serves. It also warms up the kernels and pages in
 * the weights, so that the first session does not pay for it.
 *
 * @throws WireError `ERR_SKEIN_KV_FULL` when the runtime has no room for `chunkRows + decodeSteps` rows
 */
export async function measureSpeed(
  components: { readonly runtime: SpanRuntime; readonly clock: Clock },
  encoding: TensorEncoding,
  options: MeasureSpeedOptions = measureSpeedDefaults
): Promise<MeasuredSpeed> {
  const { runtime } = components
  const { span, hiddenSize, contextTokens, kvTokens } = runtime.info
  const chunkRows = Math.max(1, Math.min(options.chunkRows, contextTokens - options.decodeSteps, kvTokens - options.decodeSteps))
  await runtime.reserve(cache, chunkRows + options.decodeSteps, span)
  try {
    const timeMs = async (position: number, rows: number): Promise<number> => {
      const startMs = components.clock.monotonicMs()
      const input = new Uint8Array(rows * rowBytes(encoding, hiddenSize))
      await runtime.run([{ cache, position, rows, span, exact: false, encoding, input }])
      return components.clock.monotonicMs() - startMs
    }
    // The first step pages in the weights and prepares the kernels; it is not counted.
    await timeMs(0, 1)
    const chunkMs = await timeMs(0, chunkRows)
    const stepsMs: number[] = []
    for (let step = 0; step < options.decodeSteps; step++) stepsMs.push(await timeMs(chunkRows + step, 1))
    stepsMs.sort((a, b) => a - b)
    return { stepMs: stepsMs[stepsMs.length >> 1] ?? 0, rowsPerSecond: chunkMs > 0 ? (chunkRows * 1000) / chunkMs : 0 }
  } finally {
    await runtime.release(cache)
  }
}
