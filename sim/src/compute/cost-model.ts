import type { ScenarioDevice, ScenarioModel } from '../scenario/scenario.ts'

/** Rows of one session in a turn, as far as their cost goes. */
export interface TurnRows {
  readonly rows: number
  /** Rows that are in the cache before them. */
  readonly pastRows: number
  /** Blocks that they pass through. */
  readonly blocks: number
}

/** What a turn's time is made of, in microseconds, before noise. */
export interface TurnCost {
  readonly overheadUs: number
  /** Reading weights and KV caches at the device's memory bandwidth. */
  readonly memoryUs: number
  /** Arithmetic at the device's rate. */
  readonly computeUs: number
  /** `overheadUs`, and the larger of the two others over the device's efficiency. */
  readonly totalUs: number
}

/**
 * The time of one turn by the roofline model (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009): weights are
 * read once for all rows of the turn, so that a batch costs what one row does until arithmetic takes longer than reading.
 *
 * - memory: blocks * weightBytesPerBlock, and each session's past KV once
 * - arithmetic: rows * flopsPerTokenPerBlock, and attention's 4 * hiddenSize operations for each row and past row
 * - overhead: fixed parts of the turn and of each block, and copies of histories, which a faster device does not shorten
 */
export function turnCost(model: ScenarioModel, device: ScenarioDevice, entries: readonly TurnRows[]): TurnCost {
  let blocks = 0
  let kvBytes = 0
  let flops = 0
  let pastRows = 0
  for (const entry of entries) {
    blocks = Math.max(blocks, entry.blocks)
    pastRows += entry.pastRows
    kvBytes += (entry.pastRows + entry.rows) * entry.blocks * model.kvBytesPerTokenPerBlock
    // Causal attention: the mean row of a chunk sees the past and half of the chunk.
    const seen = entry.pastRows + (entry.rows + 1) / 2
    flops += entry.rows * entry.blocks * (model.flopsPerTokenPerBlock + 4 * model.hiddenSize * seen)
  }
  const historyUs = (pastRows * (device.overheadNsPerPastRow ?? 0)) / 1000
  const overheadUs = device.overheadUsPerTurn + blocks * device.overheadUsPerBlock + historyUs
  const memoryUs = ((blocks * model.weightBytesPerBlock + kvBytes) / device.memoryBandwidthBytesPerSecond) * 1e6
  const computeUs = (flops / device.flopsPerSecond) * 1e6
  return { overheadUs, memoryUs, computeUs, totalUs: overheadUs + Math.max(memoryUs, computeUs) / device.efficiency }
}

/** Bytes of the LM head and of the embedding: 16-bit weights. */
function headBytes(model: ScenarioModel): number {
  return 2 * model.vocabSize * model.hiddenSize
}

/** The LM head on `rows` rows: its whole matrix is read. Microseconds, before noise. */
export function logitsUs(model: ScenarioModel, device: ScenarioDevice, rows: number): number {
  const memoryUs = (headBytes(model) / device.memoryBandwidthBytesPerSecond) * 1e6
  const computeUs = ((2 * rows * model.vocabSize * model.hiddenSize) / device.flopsPerSecond) * 1e6
  return device.overheadUsPerTurn + Math.max(memoryUs, computeUs) / device.efficiency
}

/** The embedding of `rows` tokens: one row of the table each. Microseconds, before noise. */
export function embedUs(model: ScenarioModel, device: ScenarioDevice, rows: number): number {
  return device.overheadUsPerTurn + ((rows * 2 * model.hiddenSize) / device.memoryBandwidthBytesPerSecond / device.efficiency) * 1e6
}
