/**
 * What the table of Petals' paper says, and what its prediction is made of: constants of Petals' own code, of data sheets
 * and of published measurements, each with its source. Two unknowns are left, which one row of the table settles
 * (`calibrate.ts`). File names are of github.com/bigscience-workshop/petals at c519bff (1 March 2023), the last
 * commit before the month in which the table was published in its README (8dab37c, 13 March 2023), unless stated.
 *
 * @packageDocumentation
 */

/**
 * Serialization a hop: `overhead_delay: float = 0.018,  # Serialization overhead (empirically measured)`,
 * src/petals/client/routing/sequence_manager.py at 7e33661 (18 July 2023) and later.
 */
export const serializationMsPerHop = 18

/**
 * Bytes of a row of the client's history: f32, what `from_pretrained` loads a model in unless told otherwise. At every step
 * and for every server, `torch.cat` copies all earlier inputs into a new tensor (`_server_inputs` in
 * src/petals/client/inference_session.py).
 */
export const historyRowBytes = 4 * 14_336

/**
 * How often a copied byte of the history crosses the client's memory bus: it is read, written, and its page was cleared before,
 * since allocations above 32 MiB get fresh pages at each step (M_MMAP_THRESHOLD, mallopt(3)).
 */
export const historyPasses = 3

/**
 * How often a byte of the KV cache crosses a GPU's memory bus a step: `torch.cat((past_key, key_layer))` of BloomAttention
 * (transformers, which src/petals/bloom/block.py wraps) reads and writes the whole of it, attention reads it.
 */
export const kvPasses = 3

/**
 * BLOOM-176B on A100s, batch 1, without a network: 284.15 ms a token in int8 on four, 230.38 ms in bf16 on eight (Hugging
 * Face, "Incredibly Fast BLOOM Inference with DeepSpeed and Accelerate", September 2022, rows "accelerate"). Eight-bit matrices are those
 * of bitsandbytes in both this figure and Petals.
 */
export const publishedMsPerToken = { int8: 284.15, bf16: 230.38 } as const

/**
 * Round trips that the paper gives as "< 5 ms" are taken at their bound.
 */
export const nearRoundTripMs = 5

export type SequenceLength = 128 | 2048
export const sequenceLengths: readonly SequenceLength[] = [128, 2048]

/** Steps per second by the length of the sequence. */
export type Published = Readonly<Record<SequenceLength, number>>

/** arXiv 2209.01188, section 3.3: single-batch inference. The first of them is the row that is calibrated on. */
export const published = {
  '3 servers, 1 Gbit/s, < 5 ms': { 128: 1.71, 2048: 1.54 },
  '3 servers, 100 Mbit/s, < 5 ms': { 128: 1.66, 2048: 1.49 },
  '3 servers, 100 Mbit/s, 100 ms': { 128: 1.23, 2048: 1.11 },
  '12 servers, 1 Gbit/s, < 5 ms': { 128: 1.24, 2048: 1.06 },
  '12 servers, 100 Mbit/s, < 5 ms': { 128: 1.24, 2048: 1.05 },
  '12 servers, 100 Mbit/s, 100 ms': { 128: 0.57, 2048: 0.53 },
  '14 servers, two continents': { 128: 0.83, 2048: 0.79 }
} as const satisfies Readonly<Record<string, Published>>

export type SetupName = keyof typeof published

export const calibratedSetup: SetupName = '3 servers, 1 Gbit/s, < 5 ms'

/** The upper bounds of offloading to one A100, by the rate of its PCIe link; they do not depend on the length. */
export const offloading = [
  { setup: 'offloading, 256 Gbit/s', bitsPerSecond: 256e9, published: 0.18 },
  { setup: 'offloading, 128 Gbit/s', bitsPerSecond: 128e9, published: 0.09 }
] as const
