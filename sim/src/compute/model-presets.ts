import type { ScenarioModel } from '../scenario/scenario.ts'

interface Shape {
  readonly blocks: number
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly contextTokens: number
  /** Parameters of the matrices of one block. */
  readonly parametersPerBlock: number
  /** Width of K, and of V: KV heads times the head's size. */
  readonly kvSize: number
  readonly bitsPerWeight: number
  readonly bytesPerActivation: number
}

/** KV caches are f16; a multiplication and an addition for each parameter. */
function preset(name: string, shape: Shape): ScenarioModel {
  const { blocks, hiddenSize, vocabSize, contextTokens, parametersPerBlock, kvSize, bitsPerWeight, bytesPerActivation } = shape
  return {
    name,
    blocks,
    hiddenSize,
    vocabSize,
    contextTokens,
    weightBytesPerBlock: Math.round((parametersPerBlock * bitsPerWeight) / 8),
    kvBytesPerTokenPerBlock: 2 * 2 * kvSize,
    flopsPerTokenPerBlock: 2 * parametersPerBlock,
    rowBytes: Math.round(hiddenSize * bytesPerActivation)
  }
}

/** Q and O, K and V, and a gated MLP: the matrices of a block of the Llama family. */
function llamaParameters(hidden: number, kvSize: number, mlp: number): number {
  return 2 * hidden * hidden + 2 * hidden * kvSize + 3 * hidden * mlp
}

/** 4-bit blocks of 128 with scales, as MatMulNBits packs them. */
const q4 = 4.5

/**
 * Models by name. Shapes are those of the published `config.json` files.
 *
 * - `bloom-176b`: 12 h^2 parameters a block, 8-bit weights (LLM.int8), activations in blockwise 8 bits, as in Petals
 *   (arXiv 2209.01188)
 * - `llama-3-*`: meta-llama/Meta-Llama-3-70B, -8B and Llama-3.2-1B, 4-bit weights, f16 activations
 * - `skein-tiny`: the demo model of this repository, f32
 */
export const modelPresets: Readonly<Record<string, ScenarioModel>> = {
  'bloom-176b': preset('bloom-176b', {
    blocks: 70,
    hiddenSize: 14_336,
    vocabSize: 250_880,
    contextTokens: 2048,
    parametersPerBlock: 12 * 14_336 ** 2,
    kvSize: 14_336,
    bitsPerWeight: 8,
    // One byte and a 4-byte scale for each 4096 values.
    bytesPerActivation: 1 + 4 / 4096
  }),
  'llama-3-70b': preset('llama-3-70b', {
    blocks: 80,
    hiddenSize: 8192,
    vocabSize: 128_256,
    contextTokens: 8192,
    parametersPerBlock: llamaParameters(8192, 1024, 28_672),
    kvSize: 1024,
    bitsPerWeight: q4,
    bytesPerActivation: 2
  }),
  'llama-3-8b': preset('llama-3-8b', {
    blocks: 32,
    hiddenSize: 4096,
    vocabSize: 128_256,
    contextTokens: 8192,
    parametersPerBlock: llamaParameters(4096, 1024, 14_336),
    kvSize: 1024,
    bitsPerWeight: q4,
    bytesPerActivation: 2
  }),
  'llama-3.2-1b': preset('llama-3.2-1b', {
    blocks: 16,
    hiddenSize: 2048,
    vocabSize: 128_256,
    contextTokens: 8192,
    parametersPerBlock: llamaParameters(2048, 512, 8192),
    kvSize: 512,
    bitsPerWeight: q4,
    bytesPerActivation: 2
  }),
  'skein-tiny': preset('skein-tiny', {
    blocks: 8,
    hiddenSize: 128,
    vocabSize: 1024,
    contextTokens: 1024,
    parametersPerBlock: llamaParameters(128, 64, 384),
    kvSize: 64,
    bitsPerWeight: 32,
    bytesPerActivation: 2
  })
}
