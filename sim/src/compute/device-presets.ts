import type { ScenarioDevice } from '../scenario/scenario.ts'

const GB = 1e9
const TFLOPS = 1e12

interface Sheet {
  readonly gigabytesPerSecond: number
  readonly teraflops: number
  readonly overheadUsPerBlock: number
  readonly overheadUsPerTurn: number
  readonly efficiency: number
}

function device(name: string, sheet: Sheet): ScenarioDevice {
  return {
    name,
    memoryBandwidthBytesPerSecond: sheet.gigabytesPerSecond * GB,
    flopsPerSecond: sheet.teraflops * TFLOPS,
    overheadUsPerBlock: sheet.overheadUsPerBlock,
    overheadUsPerTurn: sheet.overheadUsPerTurn,
    efficiency: sheet.efficiency,
    noise: { kind: 'lognormal', median: 1, sigma: 0.05 }
  }
}

/**
 * A GPU driven by an eager framework launches some 15 kernels a block at about 10 us each; a turn is woken, batched and
 * copied over PCIe once. These, the efficiency and the noise are assumptions; the rates are from the data sheets.
 */
const gpu = { overheadUsPerBlock: 150, overheadUsPerTurn: 1_500, efficiency: 0.6 }
/**
 * Not from a data sheet (3,350 GB/s, 989 TFLOPS) but fitted to measured turns of bf16 blocks as CUDA graphs: `gpu-turns.test.ts` says
 * how, and what these four numbers predict of turns that they were not fitted to.
 */
const measuredH100 = { gigabytesPerSecond: 2946, teraflops: 546, overheadUsPerBlock: 99, overheadUsPerTurn: 36, efficiency: 1 }
/** One ONNX graph for the whole span: 20 us a block for its operators (docs/performance.md). */
const cpu = { overheadUsPerBlock: 20, overheadUsPerTurn: 100, efficiency: 0.6 }

/**
 * Devices by name: memory bandwidth and dense 16-bit matrix rate with 32-bit accumulation.
 *
 * - `a100-80gb`: NVIDIA A100 80GB PCIe data sheet: 1,935 GB/s, 312 TFLOPS
 * - `h100-80gb`: NVIDIA H100 80GB SXM, measured: what is reached, and not what the data sheet says
 * - `rtx-2080-ti`: NVIDIA Turing architecture whitepaper: 616 GB/s, 53.8 TFLOPS
 * - `rtx-3060`, `rtx-3090`: NVIDIA Ampere GA102 whitepaper and product page: 360 GB/s, 25.5 TFLOPS; 936 GB/s, 71 TFLOPS
 * - `rtx-a4000`, `rtx-a5000`: data sheets: 448 GB/s, 76.7 TFLOPS; 768 GB/s, 111.1 TFLOPS (half of the sparse figures)
 * - `rtx-4090`: NVIDIA Ada whitepaper: 1,008 GB/s, 165.2 TFLOPS
 * - `apple-m1`, `apple-m2-max`, `apple-m3-pro`: Apple's specifications: 68, 400, 150 GB/s; 2.6, 13.6, 7.4 TFLOPS of f32
 * - `laptop-cpu`: two channels of DDR5-5600 (89.6 GB/s), 8 AVX2 cores at 3 GHz (0.77 TFLOPS of f32)
 * - `server-cpu`: eight channels of DDR4-3200 (204.8 GB/s), 8 of its cores with AVX-512 at 2.6 GHz (1.3 TFLOPS of f32)
 */
export const devicePresets: Readonly<Record<string, ScenarioDevice>> = {
  'a100-80gb': device('a100-80gb', { gigabytesPerSecond: 1935, teraflops: 312, ...gpu }),
  'h100-80gb': device('h100-80gb', measuredH100),
  'rtx-2080-ti': device('rtx-2080-ti', { gigabytesPerSecond: 616, teraflops: 53.8, ...gpu }),
  'rtx-3060': device('rtx-3060', { gigabytesPerSecond: 360, teraflops: 25.5, ...gpu }),
  'rtx-3090': device('rtx-3090', { gigabytesPerSecond: 936, teraflops: 71, ...gpu }),
  'rtx-a4000': device('rtx-a4000', { gigabytesPerSecond: 448, teraflops: 76.7, ...gpu }),
  'rtx-a5000': device('rtx-a5000', { gigabytesPerSecond: 768, teraflops: 111.1, ...gpu }),
  'rtx-4090': device('rtx-4090', { gigabytesPerSecond: 1008, teraflops: 165.2, ...gpu }),
  'apple-m1': device('apple-m1', { gigabytesPerSecond: 68, teraflops: 2.6, ...cpu }),
  'apple-m2-max': device('apple-m2-max', { gigabytesPerSecond: 400, teraflops: 13.6, ...cpu }),
  'apple-m3-pro': device('apple-m3-pro', { gigabytesPerSecond: 150, teraflops: 7.4, ...cpu }),
  'laptop-cpu': device('laptop-cpu', { gigabytesPerSecond: 89.6, teraflops: 0.77, ...cpu }),
  'server-cpu': device('server-cpu', { gigabytesPerSecond: 204.8, teraflops: 1.3, ...cpu })
}
