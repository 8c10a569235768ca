import { SkeinError, type SkeinErrorOptions } from '@skein/protocol'

/** What can go wrong while weights are converted into the cache folder. */
export const ConversionErrorCode = {
  /** The disk of the cache folder has no room. The detail has `folder` and `neededBytes`. */
  DiskFull: 'ERR_SKEIN_DISK_FULL',
  /** The cache folder cannot be written or read. The detail has `folder`. */
  CacheFolder: 'ERR_SKEIN_CACHE_FOLDER',
  /** A weight is NaN or infinite. The detail has `tensor`. */
  BadWeight: 'ERR_SKEIN_BAD_WEIGHT',
  /** The conversion failed for a reason that is not foreseen. */
  Failed: 'ERR_SKEIN_CONVERSION_FAILED'
} as const

export type ConversionErrorCode = (typeof ConversionErrorCode)[keyof typeof ConversionErrorCode]

/** Weights could not be converted. Nothing half-written is left behind. */
export class ConversionError extends SkeinError<ConversionErrorCode> {
  constructor(code: ConversionErrorCode, message: string, options?: SkeinErrorOptions) {
    super(code, message, options)
  }
}
