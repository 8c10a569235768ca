export * from './runtime/span-runtime.ts'
export * from './graph/span-graph.ts'
export * from './checkpoint/model.ts'
export { nodeCommand } from './cli/node-options.ts'
export { collect, integerParser, numberParser, parseBlocks } from './cli/parsers.ts'
export { exitCodes, isOff, runCommand } from './cli/run-command.ts'
export type { CommandFailure, RunCommandOptions } from './cli/run-command.ts'
export { CheckpointError, CheckpointErrorCode } from './checkpoint/errors.ts'
export type { HashProgress, Manifest, ManifestTensor } from './checkpoint/manifest.ts'
export { openCheckpoint, type OpenCheckpointOptions, type OpenedCheckpoint } from './checkpoint/open-checkpoint.ts'
export {
  defaultGroupBlocks,
  defaultLanes,
  prepareHead,
  prepareSpan,
  type PrepareOptions,
  type PrepareProgress,
  type PrepareSpanOptions
} from './graph/convert.ts'
export type { ConvertProgress } from './graph/convert-job.ts'
export { loadEmbedding, type Embedding } from './graph/embedding.ts'
export { ConversionError, ConversionErrorCode } from './graph/errors.ts'
export { knownFamilies } from './graph/families/registry.ts'
export { defaultCacheDir } from './util/files.ts'
