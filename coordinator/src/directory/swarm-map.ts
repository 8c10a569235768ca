import pDefer from 'p-defer'
import {
  type AbortOptions,
  type AnnouncementStore,
  type BlockRange,
  type CancelTimer,
  channelLimits,
  connectionTimes,
  type Clock,
  decodeControlResponse,
  describeError,
  type DirectoryService,
  encodeControl,
  type Logger,
  type ModelId,
  type Network,
  type NodeLoad,
  type Numerics,
  type PeerId,
  protocols,
  type StoredAnnouncement,
  uncoveredRanges,
  merged
} from '@skein/protocol'
import { chooseChain, type ChainDecision } from '../routing/choose-chain.ts'
import type { NodeView, SwarmView } from '../routing/swarm-view.ts'
import type { ChosenStage } from '../session/chain-events.ts'

export interface SwarmMapComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly network: Network
  readonly directory: DirectoryService
  readonly store: AnnouncementStore
}

export interface SwarmMapInit {
  readonly model: ModelId
  /** Blocks of the model. */
  readonly blocks: number
  readonly hiddenSize: number
  /** How long a failure counts against a node. @default 60_000 */
  readonly forgiveAfterMs?: number
}

/** What a chain must offer. */
export interface ChainWish {
  readonly span: BlockRange
  readonly kvTokens: number
  /** Only nodes that compute with these. @default any */
  readonly numerics?: Numerics
  readonly exclude?: Iterable<PeerId>
}

export type ChainPlan =
  | { readonly kind: 'chain'; readonly stages: readonly ChosenStage[] }
  | { readonly kind: 'uncovered'; readonly blocks: readonly BlockRange[]; readonly reason: string }

interface Word {
  readonly load: NodeLoad
  readonly atMs: number
}

/** How long a node's last word on its load is better than its announcement. */
const wordHoldsMs = 15_000

/** Nodes that are asked or measured at once: more would tell little more, and take many connections. */
const askedAtOnce = 64
/** How long each has to answer. */
export const answerMs = 3_000
/** How much longer, where it matters, one has to which there is no connection yet: by then a dial has come to its end. */
export const connectMs = connectionTimes.dialTimeoutMs
/** When those that have answered a ping host every block, the others have so long before nobody waits for them. */
const lateMs = 500

/**
 * The live map of the swarm, as one coordinator sees it: the directory's announcements, the nodes' last words on their load,
 * own measurements and own experience. Choices are made by the pure functions of `routing/` on a snapshot of it.
 */
export class SwarmMap {
  readonly #components: SwarmMapComponents
  readonly #init: SwarmMapInit & { readonly forgiveAfterMs: number }
  readonly #failures = new Map<PeerId, number[]>()
  readonly #words = new Map<PeerId, Word>()
  /** Nodes that still owe an answer to a ping, though others have answered: routing prefers the others. */
  readonly #late = new Set<PeerId>()

  constructor(components: SwarmMapComponents, init: SwarmMapInit) {
    this.#components = components
    this.#init = merged({ forgiveAfterMs: 60_000 }, init)
  }

  /** Announcements that hold now and are of this model's shape, by peer id. */
  records(): StoredAnnouncement[] {
    const { store, clock } = this.#components
    const { model, blocks, hiddenSize } = this.#init
    return store
      .list(model, clock.monotonicMs())
      .filter(({ announcement }) => announcement.blocks === blocks && announcement.hiddenSize === hiddenSize)
  }

  /** Asks the swarm anew. It fails only when the signal fires: silence is an answer that {@link records} shows. */
  async refresh(options: AbortOptions & { readonly blocks?: BlockRange } = {}): Promise<void> {
    const { answered, failures } = await this.#components.directory.refresh(options)
    if (answered === 0)
      this.#components.logger.debug('nobody answered for the directory', { reasons: failures.map(({ reason }) => reason) })
  }

  /** A node failed this coordinator: routing prefers others for a while. */
  noteFailure(peer: PeerId): void {
    const nowMs = this.#components.clock.monotonicMs()
    this.#failures.set(peer, [...this.#recentFailures(peer, nowMs), nowMs])
  }

  /** What a node last said of its load. */
  noteLoad(peer: PeerId, load: NodeLoad): void {
    this.#words.set(peer, { load, atMs: this.#components.clock.monotonicMs() })
  }

  load(peer: PeerId): NodeLoad | undefined {
    const word = this.#words.get(peer)
    return word !== undefined && this.#components.clock.monotonicMs() - word.atMs < wordHoldsMs ? word.load : undefined
  }

  view(): SwarmView {
    const nowMs = this.#components.clock.monotonicMs()
    return { nodes: this.records().map((record) => this.#nodeView(record, nowMs)) }
  }

  /** Blocks that no serving node hosts. @param silent - peers that do not count */
  uncovered(silent: ReadonlySet<PeerId> = new Set()): BlockRange[] {
    return this.#uncoveredBy(this.records().filter(({ announcement }) => !silent.has(announcement.peer)))
  }

  #uncoveredBy(records: readonly StoredAnnouncement[]): BlockRange[] {
    const serving = records.filter(({ announcement }) => announcement.state === 'serving')
    return uncoveredRanges(
      serving.map(({ announcement }) => announcement.span),
      this.#init.blocks
    )
  }

  plan(wish: ChainWish): ChainPlan {
    const { span, kvTokens, numerics } = wish
    const exclude = new Set(wish.exclude)
    const decision: ChainDecision = chooseChain(this.view(), span, { kvTokens, exclude, ...(numerics === undefined ? {} : { numerics }) })
    if (decision.kind === 'uncovered') return decision
    const nowMs = this.#components.clock.monotonicMs()
    const stages = decision.stages.map((stage): ChosenStage => {
      const record = this.#components.store.get(this.#init.model, stage.peer, nowMs)?.encoded
      return { peer: stage.peer, span: stage.span, numerics: stage.numerics, record }
    })
    return { kind: 'chain', stages }
  }

  /**
   * Asks every node for its load, at most {@link askedAtOnce} of them; those that do not answer in time keep their last word.
   *
   * @param patient - wait {@link connectMs} longer for those who must be connected first: who is slow to reach is not silent
   * @returns whether each that was asked has answered
   */
  async askLoads({ signal, patient = false }: AbortOptions & { readonly patient?: boolean } = {}): Promise<ReadonlyMap<PeerId, boolean>> {
    const { network } = this.#components
    const asked = this.records().filter(({ announcement }) => announcement.state !== 'offline')
    const answers = asked.slice(0, askedAtOnce).map(async ({ announcement: { peer } }): Promise<[PeerId, boolean]> => {
      const withinMs = patient && network.path(peer) === undefined ? connectMs + answerMs : answerMs
      return [peer, await this.#answers(peer, 'tell its load', signal, (asking) => this.#askLoad(peer, asking), withinMs)]
    })
    return new Map(await Promise.all(answers))
  }

  /** Asks a node for something, and waits for it. Returns whether it has answered. */
  async #answers(
    peer: PeerId,
    what: string,
    caller: AbortSignal | undefined,
    ask: (signal: AbortSignal) => Promise<unknown>,
    withinMs = answerMs
  ): Promise<boolean> {
    const { clock, logger } = this.#components
    const deadline = clock.deadline(withinMs, `${peer} to ${what}`, caller)
    try {
      await ask(deadline.signal)
      return true
    } catch (error) {
      logger.debug(`a node did not ${what}`, { peer, reason: describeError(error) })
      return false
    } finally {
      deadline.clear()
    }
  }

  /** A probe of no session is refused, and the refusal tells the load. */
  async #askLoad(peer: PeerId, signal: AbortSignal): Promise<void> {
    const channel = await this.#components.network.open(peer, protocols.control, { limits: channelLimits.control, signal })
    try {
      channel.send({ head: encodeControl({ type: 'probe', id: 1 }) })
      const frame = await channel.receive({ signal })
      const response = frame === undefined ? undefined : decodeControlResponse(frame.head)
      if (response !== undefined && 'load' in response && response.load !== undefined) this.noteLoad(peer, response.load)
    } finally {
      channel.reset()
    }
  }

  /**
   * Measures the round trips to nodes that were never measured, at most {@link askedAtOnce} of them. One that does not answer has
   * failed; who must be connected first has {@link connectMs} longer, in which nobody waits for it. Never rejects.
   *
   * @param untilCovered - do not wait for those that are late when the others host every block: they go on being measured
   */
  async measureRoundTrips({ signal, untilCovered = false }: AbortOptions & { readonly untilCovered?: boolean } = {}): Promise<void> {
    const { network, clock } = this.#components
    const isMeasured = ({ announcement: { peer } }: StoredAnnouncement): boolean => network.path(peer)?.roundTripMs !== undefined
    const records = this.records()
    const measured = records.filter(isMeasured)
    const waiting = new Set<PeerId>()
    let cancelTimer: CancelTimer | undefined
    const enough = pDefer<void>()
    const cancelLast = clock.setTimer(answerMs, () => enough.resolve())
    const unmeasured = records.filter((record) => !isMeasured(record)).slice(0, askedAtOnce)
    const asked = unmeasured.map(async (record) => {
      const { peer } = record.announcement
      waiting.add(peer)
      const withinMs = network.path(peer) === undefined ? connectMs + answerMs : answerMs
      const hasAnswered = await this.#answers(peer, 'answer a ping', signal, (asking) => network.ping(peer, { signal: asking }), withinMs)
      waiting.delete(peer)
      this.#late.delete(peer)
      if (hasAnswered) measured.push(record)
      else if (signal?.aborted !== true) this.noteFailure(peer)
      if (untilCovered && cancelTimer === undefined && this.#uncoveredBy(measured).length === 0)
        cancelTimer = clock.setTimer(lateMs, () => enough.resolve())
    })
    await Promise.race([Promise.all(asked), enough.promise])
    cancelTimer?.()
    cancelLast()
    for (const peer of waiting) this.#late.add(peer)
  }

  #nodeView({ announcement }: StoredAnnouncement, nowMs: number): NodeView {
    const { peer, span, entryPoints, numerics, state, stepMs, rowsPerSecond, kvTokens } = announcement
    const load = this.load(peer)
    const roundTripMs = this.#components.network.path(peer)?.roundTripMs
    return {
      peer,
      span,
      entryPoints,
      numerics,
      state,
      stepMs,
      rowsPerSecond,
      queuedRows: load?.queuedRows ?? 0,
      freeKvTokens: load?.freeKvTokens ?? kvTokens,
      roundTripMs,
      failures: this.#failuresOf(peer, nowMs)
    }
  }

  #failuresOf(peer: PeerId, nowMs: number): number {
    // Nearly all have none, and a large swarm is looked through for each chain.
    const failed = this.#failures.size === 0 || !this.#failures.has(peer) ? 0 : this.#recentFailures(peer, nowMs).length
    return failed + (this.#late.has(peer) ? 1 : 0)
  }

  #recentFailures(peer: PeerId, nowMs: number): number[] {
    const recent = (this.#failures.get(peer) ?? []).filter((atMs) => nowMs - atMs < this.#init.forgiveAfterMs)
    if (recent.length === 0) this.#failures.delete(peer)
    return recent
  }
}
