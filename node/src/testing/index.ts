/**
 * What tests and benchmarks of other packages need of this one.
 *
 * @packageDocumentation
 */
export { llama1bShape, makeRandomCheckpoint, type RandomCheckpointOptions, type RandomConfig } from './random-checkpoint.ts'
export { openBareRun, type BareRun } from './bare-run.ts'
export { randomFloats, temporaryFolder, tinyConfig, writeRandomSpan, type RandomSpanOptions } from './random-span.ts'
