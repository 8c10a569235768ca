export * from './runtime/span-runtime.ts'
export * from './graph/span-graph.ts'
export * from './checkpoint/model.ts'
export { nodeCommand } from './cli/node-options.ts'
export { defaultDataFolder } from './cli/data-folder.ts'
export { defaultText } from './cli/help.ts'
export { collect, integerParser, numberParser, parseBlocks, parsePath } from './cli/parsers.ts'
export { exitCodes, runCommand, wantsJson } from './cli/run-command.ts'
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
export { StageMachine } from './session/stage-machine.ts'
export type { StageSnapshot } from './session/stage-machine.ts'
export type { StageEffect, StageEvent } from './session/stage-events.ts'
export type { StageMachineInit, StageMachineOptions } from './session/stage-options.ts'
// What a coordinator needs for the model's two ends, each in a worker.
export { startEmbeddingRuntime, type EmbeddingRuntime } from './runtime/embedding-runtime.ts'
export { startHeadRuntime, type HeadRuntime } from './runtime/head-runtime.ts'
export { transferable } from './runtime/worker/messages.ts'
export { OrtUnavailableError, ortVersion } from './runtime/ort/library.ts'
export { OrtError } from './runtime/ort/api.ts'
export { kernelClass } from './runtime/ort/kernel-class.ts'
export { HeadEngine, type HeadEngineInit } from './runtime/ort/head-engine.ts'
export type { SpanEngineInit } from './runtime/ort/span-engine.ts'
export { OrtSpanRuntime } from './runtime/ort-span-runtime.ts'
export { planLanesDefaults, type PlanLanesOptions } from './runtime/plan-lanes.ts'
export { RuntimeFailedError } from './runtime/runtime-errors.ts'
export { startSpanRuntime, type WorkerSpanRuntime } from './runtime/worker-span-runtime.ts'
export { NodeDaemon } from './daemon/node-daemon.ts'
export type { NodeDaemonComponents, NodeDaemonInit, NodeStatusReport } from './daemon/node-daemon.ts'
// For other long computations in a thread of their own.
export { runWorkerTask, serveWorkerTask, type ThrownMessage } from './util/worker-task.ts'
