/** What a benchmark is. A file `x.bench.ts` in this folder that exports `bench: Bench` is found and run by itself. */
export interface Bench {
  /** Short, kebab-case: what `--only` takes. */
  name: string
  /** One line for the heading. */
  about: string
  run(options: BenchOptions): Promise<BenchReport>
}

export interface BenchOptions {
  /** Fewer rounds, to see that it runs; the figures are then not to be trusted. */
  quick: boolean
  /** Says what goes on; standard output is for the report. */
  log(line: string): void
}

export interface BenchReport {
  measures: BenchMeasure[]
  /** What the figures have to reach. Empty when the bench only measures. */
  targets: BenchTarget[]
  /** What a reader must know, for instance what limited the result on this machine. */
  notes: string[]
}

/** Quantiles of one thing that was measured several times. */
export interface BenchMeasure {
  name: string
  unit: 'ms' | 'us' | 'tokens/s' | 'MB' | 'MB/s' | 'GB/s' | 'ratio' | 'bytes'
  samples: number
  min: number
  median: number
  p95: number
  max: number
}

/** One figure with the limit it must keep. */
export interface BenchTarget {
  name: string
  value: number
  limit: number
  /** Whether the value must not pass the limit, or must reach it. */
  kind: 'at-most' | 'at-least'
}

export function isMet(target: BenchTarget): boolean {
  return target.kind === 'at-most' ? target.value <= target.limit : target.value >= target.limit
}
