import type { ClientEnds } from '@skein/coordinator'
import type { Clock, Random } from '@skein/protocol'
import type { ScenarioDevice, ScenarioModel } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'
import { embedUs, logitsUs } from './cost-model.ts'

export interface TimedEndsComponents {
  readonly clock: Clock
  readonly random: Random
  readonly model: ScenarioModel
  readonly device: ScenarioDevice
  /** Takes the time of a call. @default it passes, as on a machine of its own */
  readonly compute?: (us: number) => Promise<void>
  /** Told what each call took. */
  readonly onSpent?: (ms: number) => void
}

/** Puts virtual time around ends that compute at once: they take what the model's real ends would on the client's device. */
export class TimedEnds implements ClientEnds {
  readonly #inner: ClientEnds
  readonly #components: TimedEndsComponents
  readonly #noise: Random

  constructor(inner: ClientEnds, components: TimedEndsComponents) {
    this.#inner = inner
    this.#components = components
    this.#noise = components.random.fork('ends noise')
  }

  async embed(tokens: readonly number[]): Promise<Uint8Array> {
    const { model, device } = this.#components
    const rows = await this.#inner.embed(tokens)
    await this.#spend(embedUs(model, device, tokens.length))
    return rows
  }

  async logits(body: Uint8Array, rows: number): Promise<Float32Array> {
    const { model, device } = this.#components
    const logits = await this.#inner.logits(body, rows)
    await this.#spend(logitsUs(model, device, rows))
    return logits
  }

  stop(): Promise<void> {
    return this.#inner.stop()
  }

  async #spend(us: number): Promise<void> {
    const { clock, device, compute, onSpent } = this.#components
    const computeUs = Math.max(1, Math.round(us * Math.max(0, draw(device.noise, this.#noise))))
    const startMs = clock.monotonicMs()
    if (compute === undefined) await clock.sleep(computeUs / 1000)
    else await compute(computeUs)
    onSpent?.(compute === undefined ? computeUs / 1000 : clock.monotonicMs() - startMs)
  }
}
