import { type ClientEnds, loadModelText } from '@skein/coordinator'
import {
  HeadEngine,
  loadEmbedding,
  type ModelConfig,
  openCheckpoint,
  OrtSpanRuntime,
  type PreparedSpan,
  prepareHead,
  prepareSpan
} from '@skein/node'
import { decodeRows, encodeRows, InvalidArgumentError } from '@skein/protocol'
import type { Scenario } from '../scenario/scenario.ts'
import { storyPrompt } from '../workload/story-prompt.ts'
import type { WorldModel } from './world-model.ts'

export interface RealModelOptions {
  /** A Hugging Face folder of a small model, such as the demo model `skein-tiny`. */
  readonly folder: string
  /** Where converted weights are kept. @default `skein` below the user's cache folder */
  readonly cacheDir?: string
}

export interface RealModel extends WorldModel {
  readonly config: ModelConfig
  /**
   * What one undisturbed machine says comes after each of these tokens but the first `from`: rows of logits.
   *
   * @param tokens at most as many as the model's context
   */
  logits(tokens: readonly number[], from: number): Promise<Float32Array[]>
  /** Frees the sessions of ONNX Runtime. The worlds that use it must have ended. */
  close(): void
}

/** ONNX Runtime's own clock for its figures stands still: a world's time does not depend on how fast this machine is. */
const stillClock = { monotonicMs: () => 0 }
const cache = 'reference'

/**
 * A real model for worlds: blocks and ends run in ONNX Runtime on the event loop's thread, at once, and take the time of the
 * scenario's devices. Real text comes out, the same in every run. Activations travel as f32 in exact mode, so that recoveries
 * restore every bit.
 *
 * @throws CheckpointError, ConversionError, ModelFileError, OrtError
 */
export async function openRealModel({ folder, cacheDir }: RealModelOptions): Promise<RealModel> {
  const checkpoint = await openCheckpoint(folder, cacheDir === undefined ? {} : { cacheDir })
  try {
    const { config, modelId } = checkpoint
    const options = { checkpoint, inThisThread: true, ...(cacheDir === undefined ? {} : { cacheDir }) }
    const whole = await prepareSpan({ ...options, span: { start: 0, end: config.blocks } })
    const graph = await prepareHead(options)
    const embedding = await loadEmbedding({ checkpoint })
    const text = await loadModelText(folder, config.eosTokenIds)
    const { hiddenSize, vocabSize } = config
    const head = new HeadEngine({ graph, hiddenSize, vocabSize, threads: 1 })
    const ends: ClientEnds = {
      embed: (tokens) => Promise.resolve(encodeRows('f32', embedding.embeddingRows(tokens))),
      logits: (body, rows) => Promise.resolve(head.run(decodeRows('f32', body).subarray(0, rows * hiddenSize))),
      stop: () => Promise.resolve()
    }
    const open = (start: number, end: number, kvTokens: number): OrtSpanRuntime =>
      new OrtSpanRuntime({ prepared: part(whole, start, end), kvTokens, threads: 1 }, { clock: stillClock })
    const machine = open(0, config.blocks, config.contextTokens)
    return {
      id: modelId,
      config,
      numerics: machine.info.numerics,
      text: { ...text, generation: { ...text.generation, sampling: { ...text.generation.sampling, temperature: 0 } } },
      vocabSize,
      encoding: 'f32',
      rowBytes: 4 * hiddenSize,
      exact: true,
      openRuntime: (span, kvTokens) => open(span.start, span.end, kvTokens),
      cachesOf: () => [],
      ends,
      isReal: true,
      drawPrompt: (tokens, random) => storyPrompt(text, tokens, random),
      encode: (prompt) => text.tokenizer.encode(prompt, { addSpecialTokens: true }),
      reference: (prompt, count) => reference(machine, ends, text.generation.eosTokenIds, prompt, count),
      logits: (tokens, from) => logitsOf(machine, ends, tokens, from),
      close: () => {
        void machine.stop()
        head.close()
      }
    }
  } finally {
    await checkpoint.close()
  }
}

/** The groups of a prepared span that a part of it needs: there is one for each block. */
function part(whole: PreparedSpan, start: number, end: number): PreparedSpan {
  return { ...whole, span: { start, end }, groups: whole.groups.filter(({ blocks }) => start <= blocks.start && blocks.end <= end) }
}

/** Greedy decoding on one machine, with nothing of a swarm in it. */
async function reference(
  machine: OrtSpanRuntime,
  ends: ClientEnds,
  eosTokenIds: readonly number[],
  prompt: readonly number[],
  count: number
): Promise<number[]> {
  await machine.reserve(cache, prompt.length + count, machine.info.span)
  try {
    const tokens: number[] = []
    let next: readonly number[] = prompt
    let position = 0
    for (;;) {
      const output = await pass(machine, ends, next, position)
      position += next.length
      const logits = await ends.logits(output.subarray(output.byteLength - machine.info.hiddenSize * 4), 1)
      const token = logits.reduce((best, value, index) => (value > (logits[best] as number) ? index : best), 0)
      tokens.push(token)
      if (tokens.length >= count || eosTokenIds.includes(token)) return tokens
      next = [token]
    }
  } finally {
    await machine.release(cache)
  }
}

/** Rows of one pass of {@link logitsOf}: as many as a prompt's chunk has. */
const passRows = 128

async function logitsOf(machine: OrtSpanRuntime, ends: ClientEnds, tokens: readonly number[], from: number): Promise<Float32Array[]> {
  const { span, hiddenSize } = machine.info
  await machine.reserve(cache, tokens.length, span)
  try {
    const rows: Float32Array[] = []
    for (let position = 0; position < tokens.length; position += passRows) {
      const part = tokens.slice(position, position + passRows)
      const output = await pass(machine, ends, part, position)
      for (let row = Math.max(0, from - position); row < part.length; row++) {
        rows.push((await ends.logits(output.slice(row * hiddenSize * 4, (row + 1) * hiddenSize * 4), 1)).slice())
      }
    }
    return rows
  } finally {
    await machine.release(cache)
  }
}

/** Runs tokens through all blocks. @returns the activations that come out, f32 */
async function pass(machine: OrtSpanRuntime, ends: ClientEnds, tokens: readonly number[], position: number): Promise<Uint8Array> {
  const { span } = machine.info
  const input = await ends.embed(tokens)
  const entry = { cache, position, rows: tokens.length, span, exact: true, encoding: 'f32', input } as const
  const [output] = (await machine.run([entry])).outputs
  if (output?.ok !== true) throw new Error(`the reference machine failed: ${output?.message ?? 'it gave nothing'}`)
  return output.output
}

/** A real model takes the place of a scenario's only if it is as large. @throws InvalidArgumentError that says what to do */
export function requireSameShape({ model }: Scenario, config: ModelConfig): void {
  const fields = ['blocks', 'hiddenSize', 'contextTokens'] as const
  const others = fields.filter((field) => model[field] !== config[field])
  if (others.length === 0) return
  const shape = (of: Pick<ModelConfig, (typeof fields)[number]>): string => others.map((field) => `${field} ${of[field]}`).join(', ')
  throw new InvalidArgumentError(
    `the real model has ${shape(config)}, and the scenario's model ${model.name} has ${shape(model)}: they must be the same. ` +
      `Give the scenario a model of that size, such as --set model=skein-tiny, and spans of its ${config.blocks} blocks`
  )
}

/** Conversations need a model that was made for them. @throws InvalidArgumentError that says what to do */
export function requireChat({ clients }: Scenario, { text }: Pick<RealModel, 'text'>): void {
  const group = clients.find(({ workload }) => workload.conversation !== undefined)
  if (group === undefined || text.chatTemplate.exists) return
  throw new InvalidArgumentError(
    `the clients ${group.name} hold conversations, and the real model has no chat template: take one that has, or leave out workload.conversation`
  )
}
