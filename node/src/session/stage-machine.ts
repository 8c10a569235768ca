import type { ControlRequest, Held, LinkEnd, LinkMessage, LinkPeer, OpenRequest, Problem } from '@skein/protocol'
import { limits, rowBytes, WireErrorCode, merged } from '@skein/protocol'
import type { StageEffect, StageEvent, StageHelloEvent, StageLinkClosedEvent, StageLinkEvent } from './stage-events.ts'
import type { StageMachineInit, StageMachineOptions } from './stage-options.ts'
import { stageDefaults } from './stage-options.ts'
import { StageInput } from './stage-input.ts'
import { StageOutput } from './stage-output.ts'
import { stepRows } from './step-check.ts'

/** The session as the machine sees it, for tests and status. */
export interface StageSnapshot {
  readonly status: 'new' | 'reserving' | 'open' | 'ending' | 'ended'
  readonly acceptedSeq: number
  readonly computedSeq: number
  readonly sentSeq: number
  readonly acknowledgedSeq: number
  readonly rows: number
  readonly queuedSteps: number
  readonly queuedBytes: number
  readonly logBytes: number
  readonly logSegments: number
  readonly historyFrom: number
  readonly inputTerm: number
  readonly outputTerm: number
  readonly outputState: string
  readonly duplicates: number
}

/**
 * A stage's side of one session, as a pure state machine; DESIGN.md section 4 and docs/internals/session.md say what it
 * must do and why that is right. Rules that are kept here:
 *
 * - It takes only the next seq, on the channel of the named predecessor at the present term, and within its credits.
 * - At most one step is computed at a time, so that a step that fails leaves a state that can be named.
 * - A step is computed only when there is room for its output, so a successor that does not read stops this stage, which
 *   then grants no credit: backpressure goes up the chain to the coordinator, and no queue is without a bound.
 * - Nothing is sent before the successor's `held`, and then exactly what follows it.
 */
export class StageMachine {
  #status: StageSnapshot['status'] = 'new'
  readonly #options: StageMachineOptions
  #out: StageEffect[] = []
  #bytesPerRow = 0
  #nowMs = 0
  #open!: OpenRequest
  #input!: StageInput
  #output!: StageOutput
  #inLink!: LinkEnd
  #inChannel: number | undefined
  #leaseAtMs = Number.POSITIVE_INFINITY
  #job: { id: number; rows: number } | undefined
  #nextJob = 1
  /** When the predecessor is told at the latest of what is done; Infinity when it knows. */
  #ackAtMs = Infinity
  #endReason: { code?: WireErrorCode; message: string } = { message: 'closed' }

  constructor(private readonly init: StageMachineInit) {
    this.#options = merged(stageDefaults, init.options ?? {})
  }

  /** When to feed `tick`; undefined when nothing waits for time. */
  get wakeAtMs(): number | undefined {
    if (this.#status !== 'open') return this.#status === 'reserving' ? this.#leaseAtMs : undefined
    return Math.min(this.#leaseAtMs, this.#output.wakeAtMs, this.#ackAtMs)
  }

  snapshot(): StageSnapshot {
    const started = this.#status !== 'new'
    return {
      status: this.#status,
      acceptedSeq: started ? this.#input.lastSeq : 0,
      computedSeq: started ? this.#output.log.lastSeq : 0,
      sentSeq: started ? this.#output.sentSeq : 0,
      acknowledgedSeq: started ? this.#output.ackedSeq : 0,
      rows: started ? this.#output.log.map.rows : 0,
      queuedSteps: started ? this.#input.length : 0,
      queuedBytes: started ? this.#input.bytes : 0,
      logBytes: started ? this.#output.log.bytes : 0,
      logSegments: started ? this.#output.log.segments.length : 0,
      historyFrom: started ? this.#output.log.historyFrom : 0,
      inputTerm: started ? this.#inLink.term : 0,
      outputTerm: started ? this.#output.link.term : 0,
      outputState: started ? this.#output.state : 'idle',
      duplicates: started ? this.#input.duplicates : 0
    }
  }

  /**
   * Takes one event and says what is to be done about it, in order. After `ended` it says nothing any more.
   *
   * @param nowMs - the monotonic time at which the shell saw the event
   */
  handle(event: StageEvent, nowMs: number): StageEffect[] {
    this.#out = []
    this.#nowMs = nowMs
    if (this.#status === 'reserving' || this.#status === 'open') {
      if (nowMs >= this.#leaseAtMs) this.#refuseSession(WireErrorCode.LeaseExpired, 'the coordinator did not renew the lease')
    }
    this.#dispatch(event)
    if (this.#status === 'open') this.#pump()
    return this.#out
  }

  #dispatch(event: StageEvent): void {
    switch (this.#status) {
      case 'new':
        if (event.type === 'control') this.#begin(event.request)
        else if (event.type === 'controlClosed') this.#end(undefined, 'the control channel closed before open')
        return
      case 'reserving':
        return this.#whileReserving(event)
      case 'open':
        return this.#whileOpen(event)
      case 'ending':
        if (event.type === 'reserved') this.#out.push({ type: 'release' })
        if (event.type === 'reserved' || event.type === 'reserveFailed') this.#finish()
        return
      case 'ended':
        return
    }
  }

  #begin(request: ControlRequest): void {
    if (request.type !== 'open') {
      const id = 'id' in request ? request.id : 0
      this.#refuse(id, WireErrorCode.UnknownSession, 'the first request must be open')
      this.#end(WireErrorCode.UnknownSession, 'the first request was not open')
      return
    }
    this.#open = request
    this.#inLink = request.predecessor
    this.#bytesPerRow = rowBytes(request.encoding, this.init.hiddenSize)
    const { maxStepRows } = this.#options
    const bytesPerRow = this.#bytesPerRow
    this.#input = new StageInput({ kvTokens: request.kvTokens, maxStepRows, bytesPerRow }, this.#options)
    this.#output = new StageOutput({
      coordinator: this.init.coordinator,
      open: request,
      bytesPerRow,
      options: this.#options,
      emit: (effect) => this.#out.push(effect),
      accuse: (problem) => this.#accuse('successor', problem)
    })
    this.#status = 'reserving'
    this.#renew()
    this.#out.push({ type: 'reserve', kvTokens: request.kvTokens, historyBytes: request.historyBytes })
  }

  #whileReserving(event: StageEvent): void {
    switch (event.type) {
      case 'reserved':
        this.#status = 'open'
        this.#out.push({ type: 'respond', response: { type: 'opened', id: this.#open.id } })
        return this.#output.dial(this.#nowMs)
      case 'reserveFailed':
        this.#status = 'ending'
        this.#refuse(this.#open.id, event.code, event.message, event.detail)
        this.#endReason = { code: event.code, message: event.message }
        return this.#finish()
      case 'hello':
        return this.#refuseChannel(event.channel, { code: WireErrorCode.UnknownSession, message: 'the session is not open yet' })
      case 'control':
        if (event.request.type === 'close') this.#close(event.request.id)
        else if (event.request.type !== 'skip') this.#refuse(event.request.id, WireErrorCode.UnknownSession, 'the session is not open yet')
        return
      case 'controlClosed':
        return this.#end(undefined, 'the control channel closed')
      case 'abort':
        return this.#refuseSession(event.code, event.message)
      default:
        return
    }
  }

  #whileOpen(event: StageEvent): void {
    switch (event.type) {
      case 'control':
        return this.#onRequest(event.request)
      case 'controlClosed':
        return this.#end(undefined, 'the control channel closed')
      case 'hello':
        return this.#onHello(event)
      case 'dialed':
        return this.#output.dialed(event.channel)
      case 'link':
        return this.#onLink(event)
      case 'linkClosed':
        return this.#onLinkClosed(event)
      case 'computed':
        return this.#onComputed(event.job, event.output, event.computeUs)
      case 'computeFailed':
        return this.#onComputeFailed(event.job, event)
      case 'drain':
        this.#out.push({ type: 'respond', response: { type: 'drain', withinMs: event.withinMs } })
        return
      case 'abort':
        return this.#refuseSession(event.code, event.message)
      case 'tick':
        return this.#output.tick(this.#nowMs)
      case 'reserved':
      case 'reserveFailed':
        return
    }
  }

  // Control

  #renew(): void {
    const leaseMs = Math.min(limits.maxLeaseMs, Math.max(limits.minLeaseMs, this.#open.leaseMs))
    this.#leaseAtMs = this.#nowMs + leaseMs
  }

  #onRequest(request: ControlRequest): void {
    this.#renew()
    switch (request.type) {
      case 'open':
        return this.#refuse(request.id, WireErrorCode.SessionExists, 'the session is open already')
      case 'close':
        return this.#close(request.id)
      case 'skip':
        this.#output.log.skip(request.from, request.to)
        if (this.#input.skip(request.from, request.to, this.#job !== undefined, this.#output.log.map)) return
        // To forget one would leave this stage with rows that the others do not have.
        return this.#refuseSession(WireErrorCode.Malformed, 'more ranges of steps were skipped than a session may have under way')
      case 'probe':
        this.#out.push({
          type: 'respond',
          response: {
            type: 'state',
            id: request.id,
            held: {
              rows: this.#output.log.map.rows,
              lastSeq: this.#output.log.lastSeq,
              tail: this.#output.log.map.tail(limits.heldTailRuns)
            },
            historyFrom: this.#output.log.historyFrom,
            acceptedSeq: this.#input.lastSeq,
            sentSeq: this.#output.sentSeq,
            acknowledgedSeq: this.#output.ackedSeq
          }
        })
        return
      case 'reroute':
        return request.side === 'predecessor'
          ? this.#reroutePredecessor(request.id, request.link)
          : this.#rerouteSuccessor(request.id, request.link)
    }
  }

  /** The fence: from now on only the new predecessor counts, whatever an old one still sends. */
  #reroutePredecessor(id: number, link: LinkEnd): void {
    if (link.term > this.#inLink.term) {
      this.#inLink = link
      this.#dropInChannel()
    } else if (link.term < this.#inLink.term || !samePeer(link.to, this.#inLink.to)) {
      return this.#refuse(id, WireErrorCode.StaleTerm, `the predecessor's link is at term ${this.#inLink.term}`)
    }
    this.#rerouted(id)
  }

  #rerouteSuccessor(id: number, link: LinkEnd): void {
    const present = this.#output.link
    if (link.to.kind !== present.to.kind) {
      return this.#refuse(id, WireErrorCode.Unsupported, 'a stage cannot change between a successor that is a stage and the coordinator')
    }
    if (link.term > present.term) {
      this.#output.reroute(link, this.#nowMs)
    } else if (link.term < present.term || !samePeer(link.to, present.to)) {
      return this.#refuse(id, WireErrorCode.StaleTerm, `the successor's link is at term ${present.term}`)
    }
    this.#rerouted(id)
  }

  #rerouted(id: number): void {
    this.#out.push({ type: 'respond', response: { type: 'rerouted', id, held: this.#held(), historyFrom: this.#output.log.historyFrom } })
  }

  /** What was taken, computed or not: see {@link StageInput}. */
  #held(): Held {
    return { rows: this.#input.map.rows, lastSeq: this.#input.lastSeq, tail: this.#input.map.tail(limits.heldTailRuns) }
  }

  #refuse(id: number, code: WireErrorCode, message: string, detail = {}): void {
    this.#out.push({ type: 'respond', response: { type: 'refused', id, code, message, detail } })
  }

  #accuse(
    side: 'predecessor' | 'successor',
    problem: Problem,
    term = side === 'successor' ? this.#output.link.term : this.#inLink.term
  ): void {
    this.#out.push({ type: 'respond', response: { type: 'accuse', side, term, code: problem.code, message: problem.message } })
  }

  // The end

  #refuseSession(code: WireErrorCode, message: string): void {
    this.#refuse(0, code, message)
    this.#end(code, message)
  }

  #close(id: number): void {
    this.#out.push({ type: 'respond', response: { type: 'closed', id } })
    this.#end(undefined, 'closed by the coordinator')
  }

  #end(code: WireErrorCode | undefined, message: string): void {
    this.#endReason = { code, message }
    const before = this.#status
    this.#status = 'ending'
    if (before === 'reserving') return
    if (before === 'open') {
      this.#dropInChannel()
      this.#output.hangUp()
      this.#out.push({ type: 'release' })
    }
    this.#finish()
  }

  #finish(): void {
    this.#status = 'ended'
    this.#job = undefined
    this.#out.push({ type: 'ended', ...this.#endReason })
  }

  // Links

  #onHello(event: StageHelloEvent): void {
    const link = event.side === 'predecessor' ? this.#inLink : this.#output.link
    const named = link.to.kind === 'coordinator' ? this.init.coordinator : link.to.peer
    const wrongWay = event.side === 'successor' && link.to.kind !== 'coordinator'
    if (event.peer !== named || event.message.term !== link.term || wrongWay) {
      const message = `a link at term ${event.message.term} is not the one in force (${link.term}), or its peer was not named`
      return this.#refuseChannel(event.channel, { code: WireErrorCode.StaleTerm, message })
    }
    if (event.side === 'successor') return this.#output.greet(event.channel, this.#nowMs)
    this.#dropInChannel()
    this.#inChannel = event.channel
    this.#input.restart()
    const { steps, bytes } = this.#input.grant()
    this.#send(event.channel, { type: 'held', term: link.term, held: this.#held(), steps, bytes })
  }

  #onLink(event: StageLinkEvent): void {
    if (event.channel === this.#inChannel) this.#onInput(event)
    else if (event.channel === this.#output.channel) this.#output.receive(event, this.#nowMs)
  }

  #onInput({ message, body }: StageLinkEvent): void {
    if (message.type === 'refused') {
      this.#accuse('predecessor', message)
      return this.#dropInChannel()
    }
    if (message.type !== 'step') return this.#refuseInput({ code: WireErrorCode.Malformed, message: `a predecessor sent ${message.type}` })
    const { lastSeq } = this.#input
    const problem = this.#input.take(message, body ?? new Uint8Array(0), this.#inLink.term)
    if (problem !== undefined) this.#refuseInput(problem)
    // A new step is a word of the coordinator, by whichever way it came.
    else if (this.#input.lastSeq > lastSeq) this.#renew()
  }

  /** An error of the link, not of the session: the same predecessor may come again, or another one. */
  #refuseInput(problem: Problem): void {
    if (this.#inChannel !== undefined) this.#refuseChannel(this.#inChannel, problem)
    this.#inChannel = undefined
    this.#accuse('predecessor', problem)
  }

  /**
   * A neighbour that ends a link in peace, and has not refused it, was told to by the coordinator, or tells it itself why it
   * goes: at the end of each session that is every neighbour, and to accuse it would be noise.
   */
  #onLinkClosed({ channel, code = WireErrorCode.PeerUnreachable, message, ended }: StageLinkClosedEvent): void {
    const problem = ended === true ? undefined : { code, message }
    if (channel === this.#inChannel) {
      this.#inChannel = undefined
      if (problem !== undefined) this.#accuse('predecessor', problem)
    } else if (channel === this.#output.channel) {
      this.#output.lost(problem, this.#nowMs)
    }
  }

  #dropInChannel(): void {
    if (this.#inChannel !== undefined) this.#hangUp(this.#inChannel)
    this.#inChannel = undefined
  }

  #send(channel: number, message: LinkMessage): void {
    this.#out.push({ type: 'send', channel, message, parts: [], isReplay: false })
  }

  #hangUp(channel: number): void {
    this.#out.push({ type: 'hangUp', channel })
  }

  #refuseChannel(channel: number, problem: Problem): void {
    this.#send(channel, { type: 'refused', code: problem.code, message: problem.message.slice(0, limits.maxMessageChars), detail: {} })
    this.#hangUp(channel)
  }

  // Computation

  /** Does all that can be done now: tombstones, the next computation, and what may be sent. */
  #pump(): void {
    for (;;) {
      const head = this.#input.head
      if (head === undefined || this.#job !== undefined) break
      if (head.skipped || head.step.runs.length === 0) {
        this.#output.log.recordVoid(head.step.to)
        this.#committed()
      } else {
        const rows = stepRows(head.step)
        if (!this.#output.makeRoom(head.step.runs)) break
        this.#job = { id: this.#nextJob++, rows }
        this.#out.push({ type: 'compute', job: this.#job.id, position: head.step.position, rows, input: head.body })
      }
    }
    this.#output.flush(this.#nowMs)
    this.#ack()
  }

  #onComputed(job: number, output: Uint8Array, computeUs: number): void {
    const head = this.#input.head
    if (this.#job === undefined || this.#job.id !== job || head === undefined) return
    const { rows } = this.#job
    this.#job = undefined
    if (output.byteLength !== rows * this.#bytesPerRow) {
      return this.#refuseSession(WireErrorCode.Internal, `${rows} rows were computed to ${output.byteLength} bytes`)
    }
    // A predecessor that claims as much as the field holds would have this stage send what nobody may.
    const computedUs = Math.min(Number.MAX_SAFE_INTEGER, head.step.computeUs + Math.round(computeUs))
    this.#output.record(head.step, output, computedUs, job, (seq) => this.#input.isSkipped(seq))
    this.#committed()
  }

  /** The head is done: the next one may come. */
  #committed(): void {
    const runs = this.#input.head?.step.runs.length ?? 0
    this.#input.shift()
    // Of a replay each run is an output that the predecessor counts as on its way, and for want of slots it may compute nothing.
    const mayWait = runs <= 1 && this.#input.hasAmpleCredit
    this.#ackAtMs = Math.min(this.#ackAtMs, this.#nowMs + (mayWait ? this.#options.ackLaterMs : 0))
  }

  /**
   * The predecessor hears of what is done only after the successor, whom everybody waits for, has got it; and once for
   * several steps, where it may send on without.
   */
  #ack(): void {
    if (this.#nowMs < this.#ackAtMs) return
    this.#ackAtMs = Infinity
    if (this.#inChannel === undefined) return
    const { steps, bytes } = this.#input.grant()
    this.#send(this.#inChannel, { type: 'ack', seq: this.#output.log.lastSeq, steps, bytes })
  }

  #onComputeFailed(job: number, problem: Problem): void {
    const head = this.#input.head
    if (this.#job === undefined || this.#job.id !== job || head === undefined) return
    this.#job = undefined
    if (problem.code !== WireErrorCode.NotFinite) return this.#refuseSession(problem.code, problem.message)
    // The input is to blame. What was queued behind it came from the same hands: all of it is asked for again.
    this.#output.log.cut(head.step.position)
    this.#input.rollBack(this.#output.log.lastSeq, this.#output.log.map)
    if (this.#inChannel !== undefined) this.#refuseChannel(this.#inChannel, problem)
    this.#inChannel = undefined
    this.#accuse('predecessor', problem, head.term)
  }
}

function samePeer(a: LinkPeer, b: LinkPeer): boolean {
  return a.kind === 'coordinator' ? b.kind === 'coordinator' : b.kind === 'stage' && a.peer === b.peer
}
