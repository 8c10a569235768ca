import { copyFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { GenerateOptions, SwarmClient } from '@skein/coordinator'
import { llama1bShape, makeRandomCheckpoint } from '@skein/node/testing'
import { systemClock } from '@skein/protocol/node'
import { LocalSwarm } from '../harness/local-swarm.ts'
import type { NodeProcess } from '../harness/node-process.ts'
import { newFolder, tinyModel } from '../harness/work-folder.ts'
import { availableParallelism } from 'node:os'
import type { Bench, BenchOptions, BenchReport } from './bench.ts'
import { headComputeMs, pipelineFloor, prefillLimits } from './chain-limits.ts'
import { median, medianRatio, summarize } from './stats.ts'

/** A ring of four stages has five links; each stage is one hop of the design's figure. */
const stages = 4
const promptTokens = 512
const chunkTokens = 64
/** Before anything is measured: the processes compile what they run often, and that takes them some hundreds of tokens. */
const warmUpTokens = 384
/** The design's figure for a pipelined prefill to one without a pipeline, and what the way between processes may take of it. */
const pipelineLimit = 0.6
const transportShare = 1.05
const kvTokens = 4096
const historyMb = 64

/** Four blocks of the Llama-1B shape with random weights, and the tokenizer of the demo model. */
const shape = { ...llama1bShape, vocab_size: 1024, max_position_embeddings: 4096 }
/** The same blocks as the limits of a prefill are measured with. */
const llama1bSizes = { hiddenSize: 2048, ffnSize: 8192, heads: 32, kvHeads: 8 }
const quickSizes = { hiddenSize: 256, ffnSize: 1024, heads: 4, kvHeads: 1 }
const quickShape = { ...shape, hidden_size: 256, intermediate_size: 1024, num_attention_heads: 4, num_key_value_heads: 1 }

/** The random model never ends an answer by itself in any way that matters: its end token is forbidden. */
const options: GenerateOptions = { raw: true, temperature: 0 }

interface Rounds {
  readonly decode: number
  readonly prefill: number
  readonly tokens: number
  readonly warmUpTokens: number
}

interface Decode {
  readonly tokenMs: number[]
  readonly computeMs: number[]
  readonly hopMs: number[]
}

interface Prefill {
  readonly pipedMs: number[]
  readonly wholeMs: number[]
}

export const bench: Bench = {
  name: 'chain',
  about: 'four skein-node processes on loopback, one block of the Llama-1B shape and one thread each',
  async run(benchOptions) {
    const model = await makeModel(benchOptions)
    const cacheDir = newFolder('bench-cache')
    const report: BenchReport = { measures: [], targets: [], notes: [] }
    for (const dtype of ['f32', 'q8'] as const) await benchChain(model, cacheDir, dtype, benchOptions, report)
    await benchOneNode(model, cacheDir, benchOptions, report)
    return report
  }
}

async function makeModel({ quick, log }: BenchOptions): Promise<string> {
  log('writing a random checkpoint')
  const model = newFolder('bench-model')
  await makeRandomCheckpoint(model, { ...(quick ? quickShape : shape), bos_token_id: 1, eos_token_id: 1023 }, 1)
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(tinyModel, file), join(model, file))
  return model
}

async function benchChain(
  model: string,
  cacheDir: string,
  dtype: 'f32' | 'q8',
  { quick, log }: BenchOptions,
  report: BenchReport
): Promise<void> {
  const rounds: Rounds = quick ? { decode: 1, prefill: 1, tokens: 8, warmUpTokens: 8 } : { decode: 5, prefill: 5, tokens: 48, warmUpTokens }
  const swarm = new LocalSwarm()
  try {
    log(`starting ${stages} nodes with ${dtype} weights`)
    const args = ['--dtype', dtype, '--max-kv-tokens', String(kvTokens), '--max-history-mb', String(historyMb)]
    for (let block = 0; block < stages; block++) await swarm.node({ model, cacheDir, blocks: `${block}:${block + 1}`, args })
    const connect = { model, cacheDir, exact: false, encoding: 'f16' as const }
    const piped = await swarm.client({ ...connect, prefillChunkTokens: chunkTokens })
    const whole = await swarm.client({ ...connect, prefillChunkTokens: promptTokens })
    await Promise.all([swarm.known(piped), swarm.known(whole)])
    log(`decoding with ${dtype} weights`)
    const decode = await decodeSteps(piped, rounds)
    log(`prefilling with ${dtype} weights`)
    const prefill = await prefills(piped, whole, rounds)
    const headMs = await headComputeMs(model, cacheDir, quick ? 3 : 30)
    reportDecode(report, dtype, decode, headMs)
    reportPrefill(report, dtype, prefill, await measureLimits(dtype, quick, log))
  } finally {
    await swarm.close()
  }
}

/** The check is on all that a token takes beyond the stages; what the coordinator's own product takes of it is told beside it. */
function reportDecode(report: BenchReport, dtype: string, { tokenMs, computeMs, hopMs }: Decode, headMs: readonly number[]): void {
  const perHopMs = median(headMs) / stages
  report.measures.push(
    summarize(`${dtype}: a token`, 'ms', tokenMs),
    summarize(`${dtype}: of it, compute of all stages`, 'ms', computeMs),
    summarize(`${dtype}: of it, the coordinator's head (measured alone)`, 'ms', headMs),
    summarize(`${dtype}: added per hop`, 'ms', hopMs),
    summarize(
      `${dtype}: added per hop, without the head`,
      'ms',
      hopMs.map((ms) => ms - perHopMs)
    )
  )
  report.targets.push({ name: `${dtype}: added per hop and token, in ms`, value: median(hopMs), limit: 2, kind: 'at-most' })
}

/** The figure stands where the cores allow it; where they do not, the note says what keeps a pipeline from it. */
function reportPrefill(report: BenchReport, dtype: string, { pipedMs, wholeMs }: Prefill, limits: Limits): void {
  report.measures.push(
    summarize(`${dtype}: prefill of ${promptTokens} in chunks of ${chunkTokens}`, 'ms', pipedMs),
    summarize(`${dtype}: prefill of ${promptTokens} in one chunk`, 'ms', wholeMs),
    summarize(`${dtype}: two stages at once to one alone`, 'ratio', limits.slowdowns)
  )
  const floor = pipelineFloor(stages, promptTokens / chunkTokens, limits.cores)
  // The best round of each, which others on this machine have disturbed least.
  const slowdown = Math.min(...limits.slowdowns)
  const chunkCost = Math.min(...limits.chunkCosts)
  const reachable = floor * chunkCost * slowdown * transportShare
  const value = medianRatio(pipedMs, wholeMs)
  const allowed = reachable <= pipelineLimit
  if (allowed) report.targets.push({ name: `${dtype}: pipelined to unpipelined prefill`, value, limit: pipelineLimit, kind: 'at-most' })
  report.notes.push(
    `${dtype}: on ${limits.cores} cores a pipeline of ${promptTokens / chunkTokens} chunks and ${stages} stages cannot take less than ${floor.toFixed(2)}; ` +
      `chunks of ${chunkTokens} cost ${chunkCost.toFixed(2)} of one large one, two stages at once ${slowdown.toFixed(2)} of one alone, and the way between processes is given ${transportShare}: ` +
      `at best ${reachable.toFixed(2)}, measured ${value.toFixed(2)}${allowed ? '' : `; so the figure of ${pipelineLimit} is not checked on this machine`}.`
  )
}

interface Limits {
  readonly cores: number
  /** What the same rows cost in chunks, to all at once. */
  readonly chunkCosts: number[]
  /** What two stages that compute at the same time take, to one that computes alone. */
  readonly slowdowns: number[]
}

async function measureLimits(dtype: 'f32' | 'q8', quick: boolean, log: (line: string) => void): Promise<Limits> {
  log(`measuring what cores do together with ${dtype} weights`)
  const sizes = quick ? quickSizes : llama1bSizes
  const times = await prefillLimits({ dtype, ...sizes, rows: promptTokens, chunkRows: chunkTokens }, quick ? 1 : 3)
  return {
    cores: availableParallelism(),
    chunkCosts: times.chunkedMs.map((ms, index) => ms / times.wholeMs[index]!),
    slowdowns: times.twoAtOnceMs.map((ms, index) => ms / times.chunkedMs[index]!)
  }
}

async function decodeSteps(client: SwarmClient, { decode, tokens, warmUpTokens }: Rounds): Promise<Decode> {
  const tokenMs: number[] = []
  const computeMs: number[] = []
  for (let round = -1; round < decode; round++) {
    const maxTokens = round < 0 ? warmUpTokens : tokens
    const { timings } = await client.generate('Once upon a time', { ...options, maxTokens, logitBias: { 1023: -100 } }).result
    if (round < 0 || timings.tokensPerSecond === undefined || timings.computeMsPerToken === undefined) continue
    tokenMs.push(1000 / timings.tokensPerSecond)
    computeMs.push(timings.computeMsPerToken)
  }
  return { tokenMs, computeMs, hopMs: tokenMs.map((ms, index) => (ms - (computeMs[index] ?? 0)) / stages) }
}

/** In turns, so that both see the same machine. */
async function prefills(piped: SwarmClient, whole: SwarmClient, { prefill }: Rounds): Promise<Prefill> {
  const clock = systemClock()
  const tokens = Array.from({ length: promptTokens }, (_, index) => 2 + ((index * 37) % 900))
  const timed = async (client: SwarmClient): Promise<number> => {
    const startMs = clock.monotonicMs()
    await client.forward(tokens, { rows: 'last' })
    return clock.monotonicMs() - startMs
  }
  const [pipedMs, wholeMs]: [number[], number[]] = [[], []]
  for (let round = -1; round < prefill; round++) {
    const [pipedRound, wholeRound] = [await timed(piped), await timed(whole)]
    if (round < 0) continue
    pipedMs.push(pipedRound)
    wholeMs.push(wholeRound)
  }
  return { pipedMs, wholeMs }
}

/** One node with all blocks: how fast it starts from its cache, and what it keeps in memory. */
async function benchOneNode(model: string, cacheDir: string, { quick, log }: BenchOptions, report: BenchReport): Promise<void> {
  const clock = systemClock()
  const swarm = new LocalSwarm()
  try {
    log('starting one node from its cache')
    const weightBytes = weightsOf(model) * (4 / 2)
    const startMs: number[] = []
    let node: NodeProcess | undefined
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      await node?.crash()
      const beginMs = clock.monotonicMs()
      node = await swarm.node({ model, cacheDir, args: ['--max-kv-tokens', String(kvTokens), '--max-history-mb', String(historyMb)] })
      startMs.push(clock.monotonicMs() - beginMs)
    }
    const client = await swarm.client({ model, cacheDir, exact: false })
    await client.generate('Once upon a time', { ...options, maxTokens: 32 }).result
    const residentMb = residentMbOf(node?.program.pid ?? 0)
    const kvMb = (kvTokens * 2 * 8 * 64 * 4 * stages) / 2 ** 20
    const inUseMb = weightBytes / 2 ** 20
    report.measures.push(summarize('one node: from its cache to ready', 'ms', startMs), summarize('one node: resident', 'MB', [residentMb]))
    report.notes.push(
      `One node: ${inUseMb.toFixed(0)} MiB of f32 weights; all of its KV cache would be ${kvMb.toFixed(0)} MiB, of which little is in use.`
    )
    report.targets.push(
      {
        name: 'one node: start in s per GB of weights',
        value: median(startMs) / 1000 / Math.max(weightBytes / 1e9, 0.001),
        limit: 3,
        kind: 'at-most'
      },
      { name: 'one node: resident beyond weights, in MiB', value: residentMb - inUseMb, limit: 250, kind: 'at-most' }
    )
  } finally {
    await swarm.close()
  }
}

function weightsOf(model: string): number {
  return statSync(join(model, 'model.safetensors')).size
}

/** VmRSS of a process, in MiB; 0 where the system does not tell. */
function residentMbOf(pid: number): number {
  try {
    const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Number(line?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}
