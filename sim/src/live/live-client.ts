import { type GenerationEvent, type ModelText, samplingDefaults, SwarmClient } from '@skein/coordinator'
import { type Clock, describeError, isSkeinError, type PeerId, type Random } from '@skein/protocol'
import type { OpenGeneration, Recorder } from '../record/recorder.ts'
import type { RunEvent, StageRecord } from '../record/run-record.ts'
import { drawMs } from '../workload/draw.ts'
import { drawRequest, textRandom } from '../workload/request.ts'
import { storyPrompt } from '../workload/story-prompt.ts'
import type { LiveAnswer } from './judge.ts'
import type { LiveClientPlan } from './live-peers.ts'

export interface LiveClientComponents {
  readonly clock: Clock
  readonly random: Random
  readonly recorder: Recorder
  readonly text: ModelText
  /** Milliseconds since the run began. */
  readonly nowMs: () => number
  readonly nodeOf: (peer: PeerId) => number | undefined
  readonly happened: (event: Omit<RunEvent, 'atMs'>) => void
  readonly contextTokens: number
  /** What came of a generation, and the error with which it failed, if it did. */
  readonly ended: (answer: LiveAnswer, error?: unknown) => void
}

export interface LiveClientInit {
  readonly plan: LiveClientPlan
  readonly model: string
  readonly cacheDir: string
  readonly identity: string
  /** The file of its link profile. */
  readonly link: string
  readonly bootstrap: readonly string[]
  readonly signal: AbortSignal
}

/** A coordinator of the SDK with the user in front of it, as in the simulator, on real sockets. */
export class LiveClient {
  readonly #components: LiveClientComponents
  readonly #plan: LiveClientPlan
  readonly #client: SwarmClient
  readonly #asking = new AbortController()
  readonly #running = new Set<Promise<void>>()

  private constructor(components: LiveClientComponents, plan: LiveClientPlan, client: SwarmClient) {
    this.#components = components
    this.#plan = plan
    this.#client = client
  }

  /** @throws what `SwarmClient.connect` throws */
  static async connect(components: LiveClientComponents, init: LiveClientInit): Promise<LiveClient> {
    const { plan, model, cacheDir, identity, link, bootstrap, signal } = init
    const { transport } = plan.group
    const client = await SwarmClient.connect({ model, cacheDir, identity, link, bootstrap, signal, transport, lan: true })
    return new LiveClient(components, plan, client)
  }

  /** Waits until it knows that all these peers serve. */
  async knows(peers: readonly PeerId[], signal: AbortSignal): Promise<void> {
    for (;;) {
      const { nodes } = await this.#client.status({ signal })
      const serving = new Set(nodes.filter(({ state }) => state === 'serving').map(({ peerId }) => peerId))
      if (peers.every((peer) => serving.has(peer))) return
      await this.#components.clock.sleep(200, { signal })
    }
  }

  /** Does what its group's workload says, until it has or {@link stopAsking}. Never rejects. */
  async run(): Promise<void> {
    const { clock } = this.#components
    const random = this.#components.random.fork('workload')
    const { workload } = this.#plan.group
    const { signal } = this.#asking
    try {
      if (workload.kind === 'closed') await clock.sleep(drawMs(workload.startMs, random), { signal })
      for (let request = 0; request < workload.maxRequests && !signal.aborted; request++) {
        if (workload.kind === 'open') {
          await clock.sleep(drawMs(workload.interArrivalMs, random), { signal })
          void this.#start(random)
        } else {
          await this.#start(random)
          await clock.sleep(drawMs(workload.thinkMs, random), { signal })
        }
      }
    } catch (error) {
      // Nothing else waits here.
      if (!signal.aborted) throw error
    }
    await Promise.all(this.#running)
  }

  stopAsking(): void {
    this.#asking.abort()
  }

  async close(): Promise<void> {
    this.stopAsking()
    await this.#client.close()
  }

  #start(random: Random): Promise<void> {
    const running = this.#generate(random).finally(() => this.#running.delete(running))
    this.#running.add(running)
    return running
  }

  async #generate(random: Random): Promise<void> {
    const { recorder, text, nowMs, contextTokens } = this.#components
    const { promptTokens, outputTokens } = drawRequest(this.#plan.group.workload, contextTokens, random)
    const prompt = storyPrompt(text, promptTokens, textRandom(this.#components.random, recorder.generations.length))
    const length = text.tokenizer.encode(prompt, { addSpecialTokens: true }).length
    const maxTokens = Math.min(outputTokens, contextTokens - length)
    const record = recorder.begin(this.#plan.number, length, nowMs())
    Object.assign(record, { prompt, text: '' })
    let tokens: readonly number[] = []
    let failure: unknown
    try {
      // The answer is as long as the scenario says: its end is not left to the model.
      const logitBias = Object.fromEntries(text.generation.eosTokenIds.map((id) => [id, -100]))
      const onEvent = (event: GenerationEvent): void => this.#onEvent(record, event)
      const options = { ...samplingDefaults, raw: true, maxTokens, logitBias, onEvent }
      const generation = this.#client.generate(prompt, options)
      for await (const piece of generation) {
        tokens = [...tokens, ...piece.tokens]
        record.text += piece.text
        recorder.tokens(record, piece.tokens.length, nowMs())
      }
      const result = await generation.result
      tokens = result.tokens
      record.time.computeMs += (result.timings.computeMsPerToken ?? 0) * Math.max(0, record.outputTokens - 1)
      recorder.end(record, result.finishReason === 'cancelled' ? 'unfinished' : 'completed', nowMs())
    } catch (error) {
      failure = error
      recorder.end(record, 'failed', nowMs(), isSkeinError(error) ? error.code : 'untyped')
      this.#components.happened({ kind: 'fault', generation: record.id, text: `generation ${record.id} failed: ${describeError(error)}` })
    }
    const isWhole = record.outcome === 'completed'
    const answer = { generation: record.id, client: this.#plan.number, atMs: nowMs(), prompt, tokens, wantedTokens: maxTokens, isWhole }
    this.#components.ended(answer, failure)
    // What links, queues and the ends took cannot be told apart from outside; most of it is distance.
    const { firstTokenMs, lastTokenMs = nowMs(), time } = record
    if (firstTokenMs !== undefined)
      time.delayMs += Math.max(0, lastTokenMs - record.startMs - time.chainMs - time.computeMs - time.silenceMs - time.recoveryMs)
  }

  #onEvent(record: OpenGeneration, event: GenerationEvent): void {
    const { recorder, nowMs, happened, nodeOf } = this.#components
    const stages = (chain: ReadonlyArray<{ readonly peerId: PeerId; readonly start: number; readonly end: number }>): StageRecord[] =>
      chain.map(({ peerId, start, end }) => ({ node: nodeOf(peerId) ?? -1, start, end }))
    const generation = record.id
    switch (event.type) {
      case 'chain-opened':
        recorder.opened(record, `live/${event.session}`, stages(event.chain), nowMs())
        break
      case 'recovery-started':
        recorder.recovering(record, nowMs())
        happened({ kind: 'recovering', generation, text: `generation ${generation} lost a stage: ${event.message}` })
        break
      case 'recovery-finished':
        recorder.recovered(record, stages(event.chain), nowMs())
        happened({ kind: 'recovered', generation, text: `generation ${generation} goes on after ${Math.round(event.tookMs)} ms` })
        break
      case 'waiting-for-coverage': {
        const blocks = event.uncoveredBlocks.map(({ start, end }) => `${start}:${end}`).join(', ')
        happened({ kind: 'uncovered', generation, text: `generation ${generation} waits for blocks ${blocks}` })
        break
      }
      case 'prefill-progress':
        break
    }
  }
}
