import type { ControlResponse, PeerId, Problem, RefusedResponse, StepMessage } from '@skein/protocol'
import { InvalidArgumentError, rowBytes, StepLog, stepPatienceMs, WireErrorCode, merged } from '@skein/protocol'
import { Assembly } from './assembly.ts'
import { Blame } from './blame.ts'
import type {
  Cause,
  ChainEffect,
  ChainEvent,
  ChainFailureCode,
  ChainNoReplacementEvent,
  ChainReplacementEvent,
  ChainSubmitEvent,
  ChosenStage
} from './chain-events.ts'
import { requireCover, requireStep } from './chain-contract.ts'
import { chainDefaults, type ChainMachineInit, type ChainMachineOptions, type ChainSnapshot } from './chain-options.ts'
import { Checkup } from './checkup.ts'
import { Graveyard } from './graveyard.ts'
import { Leases } from './leases.ts'
import { openFailure, type PeerRefusal, recoveryFailure } from './chain-failure.ts'
import { least } from './link-ends.ts'
import { OwnLinks } from './own-links.ts'
import { type Link, publicStage, Roster, type StageRecord } from './roster.ts'
import { isFinite, StepResults } from './step-results.ts'

export type { ChainMachineInit, ChainMachineOptions, ChainSnapshot } from './chain-options.ts'

/**
 * The coordinator's side of one session, as a pure state machine. DESIGN.md section 4 says what it must do;
 * docs/internals/session.md explains recovery with a diagram.
 *
 * Everything about the shape of the chain is one loop, `#reconcile`: the roster says which links there should be, and the
 * loop brings the stages there in the order fence, open, reroute. Opening, recovery from any number of losses, and making
 * a link anew are the same to it, and a loss in the middle of it just changes what it works towards.
 */
export class ChainMachine {
  readonly #options: ChainMachineOptions
  readonly #bytesPerRow: number
  readonly #log = new StepLog<Uint8Array | undefined>(true)
  readonly #results: StepResults
  readonly #roster: Roster
  readonly #assembly: Assembly
  readonly #own: OwnLinks
  readonly #blame = new Blame()
  readonly #graveyard: Graveyard
  readonly #checkup: Checkup
  readonly #leases: Leases
  readonly #excluded = new Set<PeerId>()
  #lastRefusal: PeerRefusal | undefined
  /** Ranges of steps that were skipped, as long as some stage may still have rows of them. */
  #skips: Array<{ readonly from: number; readonly to: number }> = []
  #status: ChainSnapshot['status'] = 'new'
  #out: ChainEffect[] = []
  #nowMs = 0
  #nextId = 1
  #losses = 0
  /** Rows of a chunk of the replay that may still be going on. */
  #replayRows = 0
  #openByMs: number | undefined
  #wholeByMs: number | undefined

  constructor(private readonly init: ChainMachineInit) {
    this.#options = merged(chainDefaults, init.options ?? {})
    this.#bytesPerRow = rowBytes(init.encoding, init.hiddenSize)
    this.#results = new StepResults(this.#bytesPerRow)
    this.#roster = new Roster(init.transport === 'star')
    this.#leases = new Leases(this.#options.leaseMs)
    const shared = {
      roster: this.#roster,
      options: this.#options,
      bytesPerRow: this.#bytesPerRow,
      patienceMs: () => stepPatienceMs(Math.max(this.#results.oldestRows, this.#replayRows), this.#bytesPerRow),
      emit: (effect: ChainEffect) => this.#emit(effect)
    }
    this.#graveyard = new Graveyard(this.#options.answerMs, shared.emit, () => this.#nextId++)
    this.#checkup = new Checkup(
      merged(shared, { sentSeq: () => this.#log.lastSeq, receivedSeq: (boundary: number) => this.#own.receivedSeq(boundary) })
    )
    this.#assembly = new Assembly(merged(shared, { init, allocateId: () => this.#nextId++ }))
    this.#own = new OwnLinks({
      ...shared,
      totalBlocks: init.totalBlocks,
      star: init.transport === 'star',
      log: this.#log,
      results: this.#results,
      hello: (term) => ({ type: 'hello', coordinator: init.coordinator, session: init.session, term }),
      onResult: (step, body) => this.#onResult(step, body),
      onTrouble: (link, problem) => this.#onTrouble(link, problem),
      isSkipped: (seq) => this.#skips.some(({ from, to }) => from <= seq && seq <= to)
    })
  }

  /** The seq that the next `submit` will get. */
  get nextSeq(): number {
    return this.#log.lastSeq + 1
  }

  /** How many steps may be submitted now. */
  get freeSlots(): number {
    const mayRun = this.#status === 'open' || this.#status === 'recovering'
    return mayRun ? Math.max(0, this.#options.window - this.#results.pending) : 0
  }

  /** When to feed `tick`; undefined when nothing waits for time. */
  get wakeAtMs(): number | undefined {
    const own = least(least(this.#openByMs, this.#wholeByMs), this.#leases.wakeAtMs)
    const parts = least(least(this.#roster.wakeAtMs, this.#checkup.wakeAtMs), least(this.#assembly.wakeAtMs, this.#graveyard.wakeAtMs))
    return least(least(own, parts), this.#own.wakeAtMs)
  }

  snapshot(): ChainSnapshot {
    return {
      status: this.#status,
      submittedSeq: this.#log.lastSeq,
      resultSeq: this.#results.lastSeq,
      pending: this.#results.pending,
      rows: this.#log.map.rows,
      chain: this.#roster.chain(),
      gaps: this.#roster.gaps.length,
      dying: this.#graveyard.size,
      losses: this.#losses
    }
  }

  /**
   * Takes one event and says what is to be done about it, in order. After `closed` it says nothing any more.
   *
   * @param nowMs - the monotonic time at which the shell saw the event
   * @throws InvalidArgumentError when `start`, `submit` or `skip` break their contract, a mistake of the caller
   */
  handle(event: ChainEvent, nowMs: number): ChainEffect[] {
    this.#out = []
    this.#nowMs = nowMs
    if (this.#status === 'closed') return []
    this.#dispatch(event)
    this.#advance()
    return this.#out
  }

  #dispatch(event: ChainEvent): void {
    switch (event.type) {
      case 'start':
        return this.#start(event.stages)
      case 'submit':
        return this.#submit(event)
      case 'skip':
        return this.#skip(event.from)
      case 'close':
        return this.#close()
      case 'connected':
        return this.#roster.connected(event.stage)
      case 'controlClosed':
        return this.#onControlClosed(event.stage, event.message)
      case 'control':
        return this.#onControl(event.stage, event.response)
      case 'replacement':
        return this.#onReplacement(event)
      case 'noReplacement':
        return this.#onNoReplacement(event)
      case 'dialed':
      case 'link':
      case 'linkClosed':
        return this.#own.handle(event, this.#nowMs)
      case 'tick':
        return this.#onTick()
    }
  }

  // What the caller wants

  #start(stages: readonly ChosenStage[]): void {
    if (this.#status !== 'new') throw new InvalidArgumentError('the session was started before')
    requireCover(stages, { start: 0, end: this.init.totalBlocks })
    this.#status = 'opening'
    this.#openByMs = this.#nowMs + this.#options.openMs
    this.#roster.slots = stages.map((stage) => this.#connect(stage))
    this.#roster.relink()
  }

  #connect(chosen: ChosenStage): StageRecord {
    const record = this.#roster.create(chosen, this.#nowMs + this.#options.connectMs)
    this.#emit({ type: 'connect', stage: record.stage, peer: record.peer })
    return record
  }

  #submit({ position, rows, want }: ChainSubmitEvent): void {
    // Between the caller's look at `freeSlots` and its event the session may have ended.
    if (this.#status === 'closing') return
    if (this.freeSlots === 0) throw new InvalidArgumentError('a step was submitted without a free slot: wait for a result')
    requireStep(position, rows, { presentRows: this.#log.map.rows, maxStepRows: this.#options.maxStepRows, kvTokens: this.init.kvTokens })
    const seq = this.nextSeq
    const wasIdle = this.#results.pending === 0
    this.#results.submit({ seq, position, rows, want, submittedMs: this.#nowMs, renounced: false })
    if (wasIdle) this.#checkup.schedule(this.#nowMs, true)
    const bytesPerRow = this.#bytesPerRow
    this.#log.record({ seq, position, rows, want, frame: seq, computeUs: 0, bytesPerRow, data: undefined })
  }

  #skip(from: number): void {
    const position = this.#results.skip(from)
    if (position === undefined) return
    const to = this.#log.lastSeq
    this.#log.cut(position)
    this.#own.skip(from, to)
    this.#skips.push({ from, to })
    for (const record of this.#roster.stages) {
      if (record.phase === 'open') this.#emit({ type: 'control', stage: record.stage, request: { type: 'skip', from, to } })
    }
  }

  #close(): void {
    if (this.#status === 'closing') return
    this.#status = 'closing'
    this.#openByMs = this.#wholeByMs = undefined
    this.#leases.stop()
    this.#checkup.schedule(this.#nowMs, false)
    for (const record of this.#roster.stages) this.#graveyard.bury(record)
    for (const record of this.#roster.stages) this.#assembly.forget(record.stage)
    this.#roster.slots = []
    this.#roster.relink()
    this.#own.drop()
    this.#graveyard.closeAll(this.#nowMs)
  }

  #fail(code: ChainFailureCode, message: string, detail = {}): void {
    if (this.#status === 'closing') return
    this.#emit({ type: 'failed', code, message, detail })
    this.#close()
  }

  // Stages come and go

  #onControlClosed(stage: number, message: string): void {
    this.#graveyard.gone(stage)
    const record = this.#roster.stage(stage)
    if (record !== undefined) this.#lose([record], ['channel-closed', `${record.peer} is gone: ${message}`], { gone: true })
  }

  /** Stages are of no use any more: their blocks become gaps. */
  #lose(lost: readonly StageRecord[], why: Cause, how: { gone?: boolean; again?: boolean } = {}): void {
    if (lost.length === 0 || this.#status === 'closing') return
    // What fails while the chain is being mended is bounded by time; a whole chain that fails again and again, by number.
    if (this.#status === 'open') this.#losses++
    if (this.#losses > this.#options.maxLosses) {
      return this.#fail('ERR_SKEIN_RECOVERY_FAILED', `stages were lost ${this.#losses} times without progress, at last since ${why[1]}`)
    }
    for (const record of lost) {
      if (how.again !== true) this.#excluded.add(record.peer)
      if (how.gone !== true) this.#graveyard.bury(record, how.again !== true)
      this.#assembly.forget(record.stage)
    }
    this.#roster.remove(lost, this.#nowMs)
    this.#own.drop()
    this.#beginRecovery(lost, why)
  }

  #beginRecovery(lost: readonly StageRecord[], [cause, reason]: Cause): void {
    if (this.#status === 'open') {
      this.#status = 'recovering'
      this.#wholeByMs = this.#nowMs + this.#options.coverageWaitMs
    }
    this.#replayRows = Math.min(this.#options.replayChunkRows, this.#log.map.rows)
    if (this.#status === 'recovering') this.#emit({ type: 'recovering', lost: lost.map(publicStage), cause, reason })
    else if (cause === 'no-answer' || cause === 'channel-closed') this.#emit({ type: 'peersFailed', peers: lost.map(({ peer }) => peer) })
  }

  #onReplacement({ request, stages }: ChainReplacementEvent): void {
    const gap = this.#roster.gapOf(request)
    if (gap === undefined) return
    requireCover(stages, gap.span)
    // Searches for several gaps run at the same time and may have come to the same node.
    if (stages.some((stage) => this.#roster.peers().includes(stage.peer))) {
      gap.request = undefined
      return
    }
    this.#roster.fill(
      gap,
      stages.map((stage) => this.#connect(stage))
    )
  }

  #onNoReplacement({ request, uncovered }: ChainNoReplacementEvent): void {
    const gap = this.#roster.gapOf(request)
    if (gap === undefined) return
    if (this.#status === 'opening') return this.#fail(...openFailure(gap, this.#lastRefusal))
    this.#roster.searchLater(gap, this.#nowMs + this.#options.searchAgainMs, uncovered)
    // Somebody who refused or was lost may be the only one left, and better by then.
    this.#excluded.clear()
  }

  // Control

  #onControl(stage: number, response: ControlResponse): void {
    if (this.#graveyard.holds(stage)) {
      if (response.type === 'closed' || (response.type === 'refused' && response.id === 0)) this.#graveyard.forget(stage)
      return
    }
    const record = this.#roster.stage(stage)
    if (record === undefined) return
    switch (response.type) {
      case 'opened':
        return this.#onOpened(record, response.id)
      case 'rerouted':
        return this.#assembly.rerouted(record, response.id)
      case 'state':
        if (this.#assembly.answered(response.id, record, 'probe') === undefined) return
        record.state = response
        record.probeAsked = false
        return this.#onState(record)
      case 'closed':
        return this.#lose([record], ['refused', `${record.peer} closed the session by itself`])
      case 'refused':
        return this.#onRefused(record, response)
      case 'accuse':
        return this.#onAccuse(record, response.side, response.term, response)
      case 'drain':
        // Hand-over before a node goes is a later chapter: until then its going is a loss like any other.
        return
    }
  }

  #onOpened(record: StageRecord, id: number): void {
    if (!this.#assembly.opened(record, id)) return
    this.#leases.opened(this.#nowMs)
    for (const skip of this.#skips) this.#emit({ type: 'control', stage: record.stage, request: { type: 'skip', ...skip } })
  }

  #onRefused(record: StageRecord, refused: RefusedResponse): void {
    const kinds = ['open', 'predecessor', 'successor', 'probe'] as const
    if (refused.id !== 0 && this.#assembly.answered(refused.id, record, ...kinds) === undefined) return
    this.#lastRefusal = { ...refused, peer: record.peer }
    this.#lose([record], ['refused', `${record.peer} refused (${refused.code}): ${refused.message}`])
  }

  #onAccuse(record: StageRecord, side: 'predecessor' | 'successor', term: number, problem: Problem): void {
    const link = side === 'successor' ? this.#roster.outLink(record) : this.#roster.inLink(record)
    if (link === undefined || link.term !== term) return
    switch (problem.code) {
      case WireErrorCode.HistoryLost:
        // It can serve as well as before once it has its rows again, so it may be chosen again.
        if (side === 'successor') this.#lose([record], ['history-lost', `${record.peer} has no history for its successor`], { again: true })
        return
      case WireErrorCode.NotFinite:
        if (side === 'predecessor') this.#onNotFinite(record, link)
        return
      default:
        this.#onTrouble(link, problem)
    }
  }

  /** What a stage was given is not finite: whoever made it is replaced. */
  #onNotFinite(record: StageRecord, link: Link): void {
    if (link.boundary === 0) return this.#fail(WireErrorCode.NotFinite, 'the embeddings are not finite', { peer: record.peer })
    if (link.from === 0) {
      // The bad rows are in the relay's log, which is filled anew; who made them may be lost already.
      this.#own.forgetRelay(link.boundary)
      this.#renew(link, ['not-finite', 'activations at a relay are not finite'])
    }
    const culprit = this.#roster.stages.find((candidate) => candidate.span.end === link.boundary)
    if (culprit !== undefined) this.#lose([culprit], ['not-finite', `${culprit.peer} sent activations that are not finite`])
  }

  /** Something is wrong with a link. That alone proves nothing: it asks for a look, and often enough for a new link. */
  #onTrouble(link: Link, problem: Problem): void {
    // What is not finite is no fault of the link, and the stage that refused it says so on its own.
    if (!this.#roster.links.includes(link) || problem.code === WireErrorCode.NotFinite) return
    if (problem.code === WireErrorCode.StaleTerm) return this.#checkSoon()
    const count = this.#blame.complain(link)
    const broken = problem.code === WireErrorCode.PeerUnreachable || problem.code === WireErrorCode.UnknownSession
    const patience = this.#blame.wasRenewed(link) ? 0 : this.#options.redials
    if (!broken || count > patience) this.#mendLink(link, problem.message)
    else this.#checkSoon()
  }

  #renew(link: Link, why: Cause): void {
    this.#roster.renew(link)
    this.#own.drop()
    this.#beginRecovery([], why)
  }

  #mendLink(link: Link, reason: string): void {
    const remedy = this.#blame.remedy(link, this.#roster)
    if (remedy.kind === 'renew') {
      this.#renew(link, ['no-progress', reason])
    } else if (remedy.kind === 'replace') {
      const [from, to] = [link.from, link.to].map((stage) => this.#roster.stage(stage)?.peer ?? 'the coordinator')
      this.#lose([remedy.stage], ['no-progress', `the link from ${from} to ${to} fails: ${reason}`])
    }
  }

  // Checkups

  #checkSoon(): void {
    if (this.#status === 'open') this.#checkup.soon(this.#nowMs)
  }

  #onState(record: StageRecord): void {
    if ((record.state?.turnMs ?? 0) > this.#options.maxTurnMs) return this.#lose([record], ['no-progress', `${record.peer} hangs`])
    const culprit = this.#checkup.answered(this.#nowMs, this.#results.pending > 0)
    if (culprit === undefined || this.#status !== 'open') return
    if (culprit.kind === 'link') this.#mendLink(culprit.link, 'nothing passes it')
    else this.#lose([culprit.stage], ['no-progress', `${culprit.stage.peer} does not compute what it has taken`])
  }

  // The shape of the chain

  /** Does all that can be done now. */
  #advance(): void {
    if (this.#status === 'opening' || this.#status === 'open' || this.#status === 'recovering') this.#reconcile()
    this.#own.flush(this.#nowMs)
    // What was sent may have shown a link to be of no use.
    if (this.#status === 'recovering') this.#reconcile()
    if (this.#status === 'closing' && this.#graveyard.awaited === 0) {
      this.#status = 'closed'
      this.#emit({ type: 'closed' })
    }
  }

  #reconcile(): void {
    if (this.#search()) return
    if (this.#assembly.fence(this.#nowMs)) return
    this.#graveyard.closeAll(this.#nowMs)
    if (this.#assembly.openNext(this.#nowMs, (peer) => this.#graveyard.has(peer))) return
    if (this.#assembly.reroute(this.#nowMs)) return
    this.#own.dial(this.#nowMs)
    if (this.#status === 'open') return
    const opened = this.#status === 'opening'
    this.#status = 'open'
    this.#openByMs = this.#wholeByMs = this.#lastRefusal = undefined
    this.#checkup.restart(this.#nowMs)
    this.#checkup.schedule(this.#nowMs, this.#results.pending > 0)
    this.#emit({ type: opened ? 'opened' : 'recovered', chain: this.#roster.chain() })
  }

  /** Looks for nodes where there is a gap. Returns whether there is one. */
  #search(): boolean {
    const { gaps } = this.#roster
    for (const gap of gaps) {
      if (gap.request !== undefined || this.#nowMs < gap.searchAtMs) continue
      gap.request = this.#nextId++
      const exclude = [...new Set([...this.#excluded, ...this.#roster.peers()])]
      const numerics = gap.numerics === undefined ? {} : { numerics: gap.numerics }
      this.#emit({ type: 'findReplacement', request: gap.request, span: gap.span, exclude, ...numerics })
    }
    return gaps.length > 0
  }

  #onResult(step: StepMessage, body: Uint8Array): Problem | undefined {
    if (!isFinite(body, this.init.encoding)) {
      // A stage refuses what is not finite, so it was the tail that made it.
      this.#lose(this.#roster.stages.slice(-1), ['not-finite', 'the last stage sent results that are not finite'])
      return undefined
    }
    const results = this.#results.take(step, body)
    if (!Array.isArray(results)) return results
    this.#leases.passed(this.#results.lastSubmittedMs)
    for (const result of results) this.#emit(result)
    // Once a later step has passed all stages, none has anything left of those that were skipped.
    this.#skips = this.#skips.filter((skip) => skip.to >= step.to)
    // Something came out at the end, so everything works.
    this.#replayRows = 0
    this.#losses = 0
    this.#excluded.clear()
    this.#blame.clear()
    this.#checkup.progressed(this.#nowMs, this.#results.pending > 0)
    return undefined
  }

  // Time

  #onTick(): void {
    const now = this.#nowMs
    this.#graveyard.tick(now)
    if (this.#status === 'closing') return
    if (this.#openByMs !== undefined && now >= this.#openByMs) {
      return this.#fail('ERR_SKEIN_TIMEOUT', `the chain was not open within ${this.#options.openMs} ms`, {
        timeoutMs: this.#options.openMs
      })
    }
    if (this.#wholeByMs !== undefined && now >= this.#wholeByMs) {
      return this.#fail(...recoveryFailure(this.#roster.gaps[0], this.#options.coverageWaitMs, this.#lastRefusal))
    }
    const late = this.#assembly.late(now)
    this.#lose(late, ['no-answer', `no answer in time from ${late.map((record) => record.peer).join(', ')}`])
    this.#own.tick(now)
    if (this.#leases.due(now)) for (const record of this.#roster.stages) this.#assembly.probe(record, now)
    if (this.#checkup.due(now)) this.#check()
  }

  #check(): void {
    this.#checkup.schedule(this.#nowMs, this.#results.pending > 0)
    if (this.#status !== 'open') return
    this.#checkup.begin()
    for (const record of this.#roster.stages) this.#assembly.probe(record, this.#nowMs)
  }

  #emit(effect: ChainEffect): void {
    this.#out.push(effect)
  }
}
