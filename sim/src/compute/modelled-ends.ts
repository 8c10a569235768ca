import type { Clock, Random } from '@skein/protocol'
import type { ClientEnds } from '@skein/coordinator'
import type { ScenarioDevice, ScenarioModel } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'
import { vocabularySize } from '../workload/text.ts'
import { checksumBytes, embedToken, ReferenceMachine, rowWords } from './checksum-row.ts'
import { embedUs, logitsUs } from './cost-model.ts'

/** The most likely token after a row of the last block's output, and the runner-up. */
function tokensOf(row: Int32Array, at: number): readonly [likeliest: number, second: number] {
  const likeliest = (row[at]! >>> 0) % vocabularySize
  const second = (row[at + 1]! >>> 0) % vocabularySize
  return [likeliest, second]
}

export interface ModelledEndsComponents {
  readonly clock: Clock
  readonly random: Random
  readonly model: ScenarioModel
  readonly device: ScenarioDevice
  /** Told what each call took. */
  readonly onSpent?: (ms: number) => void
}

/** The model's two ends on a client's device: rows of checksums go in and out, and take the time of the real ones. */
export class ModelledEnds implements ClientEnds {
  readonly #components: ModelledEndsComponents
  readonly #noise: Random

  constructor(components: ModelledEndsComponents) {
    this.#components = components
    this.#noise = components.random.fork('ends noise')
  }

  async embed(tokens: readonly number[]): Promise<Uint8Array> {
    const { model, device } = this.#components
    const rows = new Int32Array(tokens.length * rowWords)
    tokens.forEach((token, index) => embedToken(token, rows.subarray(index * rowWords, (index + 1) * rowWords)))
    await this.#spend(embedUs(model, device, tokens.length))
    return new Uint8Array(rows.buffer)
  }

  async logits(body: Uint8Array, rows: number): Promise<Float32Array> {
    const { model, device } = this.#components
    const words = new Int32Array(body.slice(0, rows * checksumBytes).buffer)
    const logits = new Float32Array(rows * vocabularySize)
    for (let row = 0; row < rows; row++) {
      const [likeliest, second] = tokensOf(words, row * rowWords)
      logits[row * vocabularySize + second] = 5
      logits[row * vocabularySize + likeliest] = 10
    }
    await this.#spend(logitsUs(model, device, rows))
    return logits
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  async #spend(us: number): Promise<void> {
    const { clock, device, onSpent } = this.#components
    const ms = Math.max(1, Math.round(us * Math.max(0, draw(device.noise, this.#noise)))) / 1000
    await clock.sleep(ms)
    onSpent?.(ms)
  }
}

/** The tokens that one undisturbed machine gives after a prompt, greedily. */
export function referenceTokens(blocks: number, prompt: readonly number[], count: number): number[] {
  const machine = new ReferenceMachine(blocks)
  let row = new Int32Array(rowWords) as Int32Array
  for (const token of prompt) row = machine.next(token)
  const tokens: number[] = []
  while (tokens.length < count) {
    const [token] = tokensOf(row, 0)
    tokens.push(token)
    if (tokens.length < count) row = machine.next(token)
  }
  return tokens
}
