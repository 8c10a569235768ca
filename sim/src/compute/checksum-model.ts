import type { ClientEnds } from '@skein/coordinator'
import { parseModelId } from '@skein/protocol'
import type { ScenarioModel } from '../scenario/scenario.ts'
import { drawPrompt, modelledText, tokensOfText, vocabularySize } from '../workload/text.ts'
import { BytePool } from '../kernel/byte-pool.ts'
import { checksumBytes, embedToken, ReferenceMachine, rowWords } from './checksum-row.ts'
import { ChecksumRuntime } from './checksum-runtime.ts'
import type { WorldModel } from './world-model.ts'

/** The token that a word of a row of the last block's output names: its first word the most likely one, its second the runner-up. */
function tokenOf(word: number): number {
  return (word >>> 0) % vocabularySize
}

/** A word of rows that may begin anywhere in their memory; little-endian, as all of the simulator's machines are. */
function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

const embedded = new BytePool()
const logitsPool = new BytePool()

const ends: ClientEnds = {
  embed(tokens) {
    const bytes = embedded.take(tokens.length * checksumBytes)
    const rows = new Int32Array(bytes.buffer, bytes.byteOffset, tokens.length * rowWords)
    tokens.forEach((token, index) => embedToken(token, rows, index * rowWords))
    return Promise.resolve(bytes)
  },
  logits(body, rows) {
    const bytes = logitsPool.take(4 * rows * vocabularySize)
    const logits = new Float32Array(bytes.buffer, bytes.byteOffset, rows * vocabularySize)
    for (let row = 0; row < rows; row++) {
      const at = row * checksumBytes
      logits[row * vocabularySize + tokenOf(wordAt(body, at + 4))] = 5
      logits[row * vocabularySize + tokenOf(wordAt(body, at))] = 10
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
    cachesOf: (runtime) => (runtime instanceof ChecksumRuntime ? [...runtime.cacheKeys()] : []),
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
    const token = tokenOf(row[0]!)
    tokens.push(token)
    if (tokens.length < count) row = machine.next(token)
  }
  return tokens
}
