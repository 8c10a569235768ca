import { WireError, WireErrorCode, allFinite } from '@skein/protocol'
import { headGraphNames } from '../../graph/span-graph.ts'
import type { PreparedGraph } from '../../graph/span-graph.ts'
import { OrtEnvironment } from './environment.ts'
import { heapMemory } from './memory.ts'
import { OrtSession } from './session.ts'
import type { OrtBinding } from './session.ts'
import { OrtTensor } from './tensor.ts'

export interface HeadEngineInit {
  readonly graph: PreparedGraph
  readonly hiddenSize: number
  readonly vocabSize: number
  /** Threads that one operator may use. */
  readonly threads: number
}

/** Computes the head graph on this thread. */
export class HeadEngine {
  readonly #environment: OrtEnvironment
  readonly #session: OrtSession
  readonly #binding: OrtBinding

  /** @throws OrtError when the graph cannot be loaded */
  constructor(private readonly init: HeadEngineInit) {
    this.#environment = new OrtEnvironment({ threads: init.threads })
    try {
      this.#session = OrtSession.openSync(this.#environment, init.graph.folder, init.graph.modelFile)
    } catch (error) {
      this.#environment.close()
      throw error
    }
    this.#binding = this.#session.bind([headGraphNames.hidden], [headGraphNames.logits])
  }

  /**
   * @param hidden - f32 `[R, hiddenSize]`, `R` at least 1
   * @returns f32 `[R, vocabSize]`, on memory of its own
   * @throws WireError `ERR_SKEIN_MALFORMED` for another size, `ERR_SKEIN_NOT_FINITE` for NaN or infinity in or out
   */
  run(hidden: Float32Array): Float32Array {
    const { hiddenSize, vocabSize } = this.init
    const rows = hidden.length / hiddenSize
    if (!Number.isInteger(rows) || rows < 1) {
      throw new WireError(WireErrorCode.Malformed, `${hidden.length} values are no rows of ${hiddenSize}`)
    }
    if (!allFinite(hidden)) throw new WireError(WireErrorCode.NotFinite, 'the activations that arrived hold NaN or infinity')
    const input = heapMemory(hidden.byteLength)
    const output = heapMemory(4 * rows * vocabSize)
    const tensors = [
      new OrtTensor(this.#environment, input, 'f32', [rows, hiddenSize]),
      new OrtTensor(this.#environment, output, 'f32', [rows, vocabSize])
    ] as const
    try {
      new Float32Array(input.bytes(0, input.byteLength).buffer).set(hidden)
      this.#binding.inputs[0] = tensors[0].handle
      this.#binding.outputs[0] = tensors[1].handle
      this.#binding.run()
    } finally {
      for (const tensor of tensors) tensor.release()
    }
    const logits = new Float32Array(output.bytes(0, output.byteLength).buffer)
    if (!allFinite(logits)) throw new WireError(WireErrorCode.NotFinite, 'the LM head gave NaN or infinity')
    return logits
  }

  close(): void {
    this.#session.release()
    this.#environment.close()
  }
}
