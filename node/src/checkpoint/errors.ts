import { SkeinError, type SkeinErrorOptions } from '@skein/protocol'

/** What can be wrong with a checkpoint. */
export const CheckpointErrorCode = {
  /** A file or folder is not there or cannot be read. The detail has `file`. */
  MissingFile: 'ERR_SKEIN_CHECKPOINT_MISSING_FILE',
  /** A file ends before its own header says. The detail has `file`. */
  Truncated: 'ERR_SKEIN_CHECKPOINT_TRUNCATED',
  /** A header or an index cannot be understood. The detail has `file`. */
  BadHeader: 'ERR_SKEIN_CHECKPOINT_BAD_HEADER',
  /** `config.json` lacks a value, or has one that is impossible or not supported. */
  BadConfig: 'ERR_SKEIN_CHECKPOINT_BAD_CONFIG',
  /** `tokenizer.json` is no tokenizer. The detail has `file`. */
  BadTokenizer: 'ERR_SKEIN_CHECKPOINT_BAD_TOKENIZER',
  /** `model_type` is none that skein knows. The detail has `known`. */
  UnknownFamily: 'ERR_SKEIN_UNKNOWN_FAMILY',
  /** A tensor that the model needs is in none of the files. The detail has `tensor`. */
  MissingTensor: 'ERR_SKEIN_CHECKPOINT_MISSING_TENSOR',
  /** A tensor has another shape than the configuration says. */
  WrongShape: 'ERR_SKEIN_CHECKPOINT_WRONG_SHAPE',
  /** A tensor has a dtype that skein cannot read. */
  UnknownDtype: 'ERR_SKEIN_CHECKPOINT_UNKNOWN_DTYPE',
  /** A tensor's bytes do not have the hashes of the manifest. */
  WrongHash: 'ERR_SKEIN_CHECKPOINT_WRONG_HASH'
} as const

export type CheckpointErrorCode = (typeof CheckpointErrorCode)[keyof typeof CheckpointErrorCode]

/** A checkpoint is missing, incomplete or wrong. The text names the file and, where there is one, the tensor. */
export class CheckpointError extends SkeinError<CheckpointErrorCode> {
  constructor(code: CheckpointErrorCode, message: string, options?: SkeinErrorOptions) {
    super(code, message, options)
  }
}
