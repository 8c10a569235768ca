/**
 * The embedding, the end before block 0: a table in the checkpoint's own dtype, of which rows are taken.
 *
 * @packageDocumentation
 */
import { InvalidArgumentError } from '@skein/protocol'
import { dtypeBytes, toFloat32 } from '../checkpoint/dtypes.ts'
import type { Checkpoint, TensorDtype } from '../checkpoint/model.ts'
import { missingTensor } from '../checkpoint/tensor-files.ts'
import { familyOf } from './families/registry.ts'

export interface Embedding {
  readonly vocabSize: number
  readonly hiddenSize: number
  /**
   * Rows of the table, f32 `[tokens.length, hiddenSize]`, row-major.
   *
   * @throws InvalidArgumentError when a token is outside the vocabulary
   */
  embeddingRows(tokens: ArrayLike<number>): Float32Array<ArrayBuffer>
}

/** The table as the checkpoint holds it: `[vocabSize, hiddenSize]`, row-major, little-endian. Threads may share its memory. */
export interface EmbeddingTable {
  readonly bytes: Uint8Array
  readonly dtype: TensorDtype
  readonly vocabSize: number
  readonly hiddenSize: number
}

/** Reads the table into memory (`vocabSize * hiddenSize` values, two bytes each in bf16 and f16). @throws CheckpointError */
export async function loadEmbeddingTable({ checkpoint }: { readonly checkpoint: Checkpoint }): Promise<EmbeddingTable> {
  const { vocabSize, hiddenSize } = checkpoint.config
  const { embedding } = familyOf(checkpoint.config.family).endTensors(checkpoint.config)
  const info = checkpoint.tensor(embedding.name)
  if (info === undefined) throw missingTensor(embedding.name, checkpoint.folder)
  return { bytes: await checkpoint.readBytes(embedding.name), dtype: info.dtype, vocabSize, hiddenSize }
}

/** Reads the table and takes rows of it. @throws CheckpointError */
export async function loadEmbedding(components: { readonly checkpoint: Checkpoint }): Promise<Embedding> {
  return embeddingOf(await loadEmbeddingTable(components))
}

/** Takes rows of a table. */
export function embeddingOf(table: EmbeddingTable): Embedding {
  return new TableEmbedding(table)
}

class TableEmbedding implements Embedding {
  readonly #table: EmbeddingTable

  constructor(table: EmbeddingTable) {
    this.#table = table
  }

  get vocabSize(): number {
    return this.#table.vocabSize
  }

  get hiddenSize(): number {
    return this.#table.hiddenSize
  }

  embeddingRows(tokens: ArrayLike<number>): Float32Array<ArrayBuffer> {
    const { bytes, dtype, hiddenSize, vocabSize } = this.#table
    const rows = new Float32Array(tokens.length * hiddenSize)
    const rowBytes = hiddenSize * dtypeBytes[dtype]
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index] as number
      if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
        throw new InvalidArgumentError(`token ${token} is outside the vocabulary of ${vocabSize}`)
      }
      rows.set(toFloat32(bytes.subarray(token * rowBytes, (token + 1) * rowBytes), dtype), index * hiddenSize)
    }
    return rows
  }
}
