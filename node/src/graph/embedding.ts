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

/** Reads the table into memory (`vocabSize * hiddenSize` values, two bytes each in bf16 and f16). @throws CheckpointError */
export async function loadEmbedding({ checkpoint }: { readonly checkpoint: Checkpoint }): Promise<Embedding> {
  const { embedding } = familyOf(checkpoint.config.family).endTensors(checkpoint.config)
  const info = checkpoint.tensor(embedding.name)
  if (info === undefined) throw missingTensor(embedding.name, checkpoint.folder)
  return new TableEmbedding(
    await checkpoint.readBytes(embedding.name),
    info.dtype,
    checkpoint.config.vocabSize,
    checkpoint.config.hiddenSize
  )
}

class TableEmbedding implements Embedding {
  constructor(
    private readonly table: Uint8Array,
    private readonly dtype: TensorDtype,
    readonly vocabSize: number,
    readonly hiddenSize: number
  ) {}

  embeddingRows(tokens: ArrayLike<number>): Float32Array<ArrayBuffer> {
    const { hiddenSize, vocabSize } = this
    const rows = new Float32Array(tokens.length * hiddenSize)
    const rowBytes = hiddenSize * dtypeBytes[this.dtype]
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index] as number
      if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
        throw new InvalidArgumentError(`token ${token} is outside the vocabulary of ${vocabSize}`)
      }
      rows.set(toFloat32(this.table.subarray(token * rowBytes, (token + 1) * rowBytes), this.dtype), index * hiddenSize)
    }
    return rows
  }
}
