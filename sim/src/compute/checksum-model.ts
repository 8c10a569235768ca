import type { ClientEnds } from '@skein/coordinator'
import { parseModelId } from '@skein/protocol'
import type { ScenarioModel } from '../scenario/scenario.ts'
import { drawPrompt, modelledText, tokensOfText, vocabularySize } from '../workload/text.ts'
import { checksumBytes, embedToken, ReferenceMachine, rowWords } from './checksum-row.ts'
import { ChecksumRuntime } from './checksum-runtime.ts'
import type { WorldModel } from './world-model.ts'

/** The most likely token after a row of the last block's output, and the runner-up. */
function tokensAfter(row: Int32Array, at: number): readonly [likeliest: number, second: number] {
  return [(row[at]! >>> 0) % vocabularySize, (row[at + 1]! >>> 0) % vocabularySize]
}

const ends: ClientEnds = {
  embed(tokens) {
    const rows = new Int32Array(tokens.length * rowWords)
    tokens.forEach((token, index) => embedToken(token, rows, index * rowWords))
    return Promise.resolve(new Uint8Array(rows.buffer))
  },
  logits(body, rows) {
    const words = new Int32Array(body.slice(0, rows * checksumBytes).buffer)
    const logits = new Float32Array(rows * vocabularySize)
    for (let row = 0; row < rows; row++) {
      const [likeliest, second] = tokensAfter(words, row * rowWords)
      logits[row * vocabularySize + second] = 5
      logits[row * vocabularySize + likeliest] = 10
    }
    return Promise.resolve(logits)
  },
  stop: () => Promise.resolve()
}

/** A model whose activations are checksums, and whose text is printable ASCII: it costs what the scenario's model does. */
export function checksumModel(model: ScenarioModel): WorldModel {
  const numerics = { weights: 'q4', kernels: 'checksum' } as const
  return {
    isReal: false,
    id: parseModelId(`${model.name.replaceAll(/[^A-Za-z0-9._-]/g, '-')}@${'0'.repeat(32)}`),
    numerics,
    text: modelledText(),
    vocabSize: vocabularySize,
    encoding: 'raw',
    rowBytes: checksumBytes,
    exact: false,
    openRuntime: (span, kvTokens) =>
      new ChecksumRuntime({
        span,
        entryPoints: Array.from({ length: span.end - span.start + 1 }, (_, index) => span.start + index),
        hiddenSize: model.hiddenSize,
        numerics,
        contextTokens: model.contextTokens,
        kvTokens
      }),
    cachesOf: (runtime) => (runtime instanceof ChecksumRuntime ? runtime.caches : 0),
    ends,
    drawPrompt,
    encode: tokensOfText,
    reference: (prompt, count) => Promise.resolve(referenceTokens(model.blocks, prompt, count))
  }
}

function referenceTokens(blocks: number, prompt: readonly number[], count: number): number[] {
  const machine = new ReferenceMachine(blocks)
  let row: Int32Array = new Int32Array(rowWords)
  for (const token of prompt) row = machine.next(token)
  const tokens: number[] = []
  while (tokens.length < count) {
    const [token] = tokensAfter(row, 0)
    tokens.push(token)
    if (tokens.length < count) row = machine.next(token)
  }
  return tokens
}
