import type {
  AckMessage,
  ControlRequest,
  Held,
  HeldMessage,
  LinkEnd,
  LinkMessage,
  LinkPeer,
  NewSegment,
  OpenRequest,
  PeerId,
  Problem,
  StepMessage
} from '@skein/protocol'
import { isProblem, limits, LinkDialer, LinkSender, rowBytes, StepLog, WireErrorCode } from '@skein/protocol'
import type { StageEffect, StageEvent, StageHelloEvent, StageLinkEvent } from './stage-events.ts'
import type { StageMachineInit, StageMachineOptions } from './stage-options.ts'
import { stageDefaults } from './stage-options.ts'
import { StageInput } from './stage-input.ts'
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
  #log!: StepLog<Uint8Array>
  #sender!: LinkSender<Uint8Array>
  readonly #dialer: LinkDialer
  #inLink!: LinkEnd
  #inChannel: number | undefined
  #outLink!: LinkEnd
  #nextChannel = -1
  #leaseAtMs = Number.POSITIVE_INFINITY
  #job: { id: number; rows: number } | undefined
  #nextJob = 1
  #endReason: { code?: WireErrorCode; message: string } = { message: 'closed' }

  constructor(private readonly init: StageMachineInit) {
    this.#options = { ...stageDefaults, ...init.options }
    this.#dialer = new LinkDialer(this.#options)
  }

  /** When to feed `tick`; undefined when nothing waits for time. */
  get wakeAtMs(): number | undefined {
    if (this.#status !== 'open') return this.#status === 'reserving' ? this.#leaseAtMs : undefined
    return Math.min(
      this.#leaseAtMs,
      this.#dialer.wakeAtMs ?? Number.POSITIVE_INFINITY,
      this.#sender.overdueAtMs ?? Number.POSITIVE_INFINITY
    )
  }

  snapshot(): StageSnapshot {
    const started = this.#status !== 'new'
    return {
      status: this.#status,
      acceptedSeq: started ? this.#input.lastSeq : 0,
      computedSeq: started ? this.#log.lastSeq : 0,
      sentSeq: started ? this.#sender.sentSeq : 0,
      acknowledgedSeq: started ? this.#sender.ackedSeq : 0,
      rows: started ? this.#log.map.rows : 0,
      queuedSteps: started ? this.#input.length : 0,
      queuedBytes: started ? this.#input.bytes : 0,
      logBytes: started ? this.#log.bytes : 0,
      logSegments: started ? this.#log.segments.length : 0,
      historyFrom: started ? this.#log.historyFrom : 0,
      inputTerm: started ? this.#inLink.term : 0,
      outputTerm: started ? this.#outLink.term : 0,
      outputState: this.#dialer.state,
      duplicates: started ? this.#input.duplicates : 0
    }
  }

  /** Takes one event and says what is to be done about it, in order. After `ended` it says nothing any more. */
  handle(event: StageEvent): StageEffect[] {
    this.#out = []
    this.#nowMs = event.nowMs
    if (this.#status === 'reserving' || this.#status === 'open') {
      if (event.nowMs >= this.#leaseAtMs) this.#refuseSession(WireErrorCode.LeaseExpired, 'the coordinator did not renew the lease')
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
    this.#outLink = request.successor
    this.#bytesPerRow = rowBytes(request.encoding, this.init.hiddenSize)
    const { maxStepRows } = this.#options
    const bytesPerRow = this.#bytesPerRow
    this.#input = new StageInput({ kvTokens: request.kvTokens, maxStepRows, bytesPerRow }, this.#options)
    this.#log = new StepLog(request.successor.to.kind === 'stage')
    this.#sender = new LinkSender(this.#log, this.#options)
    this.#status = 'reserving'
    this.#renew()
    this.#out.push({ type: 'reserve', kvTokens: request.kvTokens, historyBytes: request.historyBytes })
  }

  #whileReserving(event: StageEvent): void {
    switch (event.type) {
      case 'reserved':
        this.#status = 'open'
        this.#out.push({ type: 'respond', response: { type: 'opened', id: this.#open.id } })
        return this.#dialSuccessor()
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
        if (event.channel !== this.#dialer.channel) return this.#hangUp(event.channel)
        this.#dialer.connected()
        return this.#send(event.channel, {
          type: 'hello',
          coordinator: this.init.coordinator,
          session: this.#open.session,
          term: this.#outLink.term
        })
      case 'link':
        return this.#onLink(event)
      case 'linkClosed':
        return this.#onLinkClosed(event.channel, { code: event.code ?? WireErrorCode.PeerUnreachable, message: event.message })
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
        return this.#onTick()
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
        this.#log.skip(request.from, request.to)
        return this.#input.skip(request.from, request.to, this.#job !== undefined, this.#log.map)
      case 'probe':
        this.#out.push({
          type: 'respond',
          response: {
            type: 'state',
            id: request.id,
            held: { rows: this.#log.map.rows, lastSeq: this.#log.lastSeq, tail: this.#log.map.tail(limits.heldTailRuns) },
            historyFrom: this.#log.historyFrom,
            acceptedSeq: this.#input.lastSeq,
            sentSeq: this.#sender.sentSeq,
            acknowledgedSeq: this.#sender.ackedSeq
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
    if (link.to.kind !== this.#outLink.to.kind) {
      return this.#refuse(id, WireErrorCode.Unsupported, 'a stage cannot change between a successor that is a stage and the coordinator')
    }
    if (link.term > this.#outLink.term) {
      this.#outLink = link
      this.#dropOutChannel()
      this.#dialer.stop()
      this.#dialSuccessor()
    } else if (link.term < this.#outLink.term || !samePeer(link.to, this.#outLink.to)) {
      return this.#refuse(id, WireErrorCode.StaleTerm, `the successor's link is at term ${this.#outLink.term}`)
    }
    this.#rerouted(id)
  }

  #rerouted(id: number): void {
    this.#out.push({ type: 'respond', response: { type: 'rerouted', id, held: this.#held(), historyFrom: this.#log.historyFrom } })
  }

  /** What was taken, computed or not: see {@link StageInput}. */
  #held(): Held {
    return { rows: this.#input.map.rows, lastSeq: this.#input.lastSeq, tail: this.#input.map.tail(limits.heldTailRuns) }
  }

  #refuse(id: number, code: WireErrorCode, message: string, detail = {}): void {
    this.#out.push({ type: 'respond', response: { type: 'refused', id, code, message, detail } })
  }

  #accuse(side: 'predecessor' | 'successor', problem: Problem, term = side === 'successor' ? this.#outLink.term : this.#inLink.term): void {
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
      this.#dropOutChannel()
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
    const link = event.side === 'predecessor' ? this.#inLink : this.#outLink
    const named = link.to.kind === 'coordinator' ? this.init.coordinator : link.to.peer
    const wrongWay = event.side === 'successor' && link.to.kind !== 'coordinator'
    if (event.peer !== named || event.message.term !== link.term || wrongWay) {
      const message = `a link at term ${event.message.term} is not the one in force (${link.term}), or its peer was not named`
      return this.#refuseChannel(event.channel, { code: WireErrorCode.StaleTerm, message })
    }
    if (event.side === 'successor') {
      this.#dropOutChannel()
      this.#dialer.dial(event.channel, this.#nowMs)
      this.#dialer.connected()
      return
    }
    this.#dropInChannel()
    this.#inChannel = event.channel
    this.#input.restart()
    this.#send(event.channel, { type: 'held', term: link.term, held: this.#held(), ...this.#input.grant() })
  }

  #onLink(event: StageLinkEvent): void {
    if (event.channel === this.#inChannel) this.#onInput(event)
    else if (event.channel === this.#dialer.channel) this.#onOutput(event)
  }

  #onInput({ message, body }: StageLinkEvent): void {
    if (message.type === 'refused') {
      this.#accuse('predecessor', message)
      return this.#dropInChannel()
    }
    if (message.type !== 'step') return this.#refuseInput({ code: WireErrorCode.Malformed, message: `a predecessor sent ${message.type}` })
    const problem = this.#input.take(message, body ?? new Uint8Array(0), this.#inLink.term)
    if (problem !== undefined) this.#refuseInput(problem)
  }

  /** An error of the link, not of the session: the same predecessor may come again, or another one. */
  #refuseInput(problem: Problem): void {
    if (this.#inChannel !== undefined) this.#refuseChannel(this.#inChannel, problem)
    this.#inChannel = undefined
    this.#accuse('predecessor', problem)
  }

  #onOutput({ message }: StageLinkEvent): void {
    let problem: Problem | undefined
    if (message.type === 'held') problem = this.#onHeld(message)
    else if (message.type === 'ack') problem = this.#onAck(message)
    else if (message.type === 'refused') problem = message
    else problem = { code: WireErrorCode.Malformed, message: `a successor sent ${message.type}` }
    if (problem !== undefined) this.#giveUpOutput(problem, message.type !== 'refused')
  }

  #onHeld(message: HeldMessage): Problem | undefined {
    if (this.#dialer.state !== 'greeting' || message.term !== this.#outLink.term) {
      return { code: WireErrorCode.Malformed, message: 'held came twice or at another term' }
    }
    this.#dialer.opened()
    return this.#sender.onHeld(message)
  }

  #onAck(message: AckMessage): Problem | undefined {
    const problem = this.#sender.onAck(message, this.#nowMs)
    if (problem === undefined) this.#trimLog()
    return problem
  }

  #trimLog(): void {
    this.#log.drop(this.#sender.droppableSeq, this.#log.pruned ? this.#open.historyBytes : 0)
  }

  /** The successor cannot be served on this channel, or is gone: the coordinator hears of it, and the link is tried again. */
  #giveUpOutput(problem: Problem, tell: boolean): void {
    const channel = this.#dialer.channel
    if (channel !== undefined) {
      if (tell) this.#refuseChannel(channel, problem)
      else this.#hangUp(channel)
    }
    this.#lostOutput(problem)
  }

  #lostOutput(problem: Problem): void {
    this.#sender.reset()
    this.#accuse('successor', problem)
    // Whoever dials a coordinator's results is the coordinator: it comes again by itself.
    if (this.#outLink.to.kind === 'coordinator') this.#dialer.stop()
    else this.#dialer.lost(this.#nowMs)
  }

  #onLinkClosed(channel: number, problem: Problem): void {
    if (channel === this.#inChannel) {
      this.#inChannel = undefined
      this.#accuse('predecessor', problem)
    } else if (channel === this.#dialer.channel) {
      this.#lostOutput(problem)
    }
  }

  #dialSuccessor(): void {
    if (this.#outLink.to.kind === 'coordinator') return
    const channel = this.#nextChannel--
    this.#dialer.dial(channel, this.#nowMs)
    this.#out.push({ type: 'dial', channel, peer: this.#outLink.to.peer, record: this.#outLink.to.record })
  }

  #dropInChannel(): void {
    if (this.#inChannel !== undefined) this.#hangUp(this.#inChannel)
    this.#inChannel = undefined
  }

  #dropOutChannel(): void {
    if (this.#dialer.channel !== undefined) this.#hangUp(this.#dialer.channel)
    this.#sender.reset()
  }

  #send(channel: number, message: LinkMessage, parts: readonly Uint8Array[] = []): void {
    this.#out.push({ type: 'send', channel, message, parts })
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
        this.#log.recordVoid(head.step.to)
        this.#committed()
      } else {
        const rows = stepRows(head.step)
        if (!this.#hasOutputSlot(rows)) break
        this.#job = { id: this.#nextJob++, rows }
        this.#out.push({ type: 'compute', job: this.#job.id, position: head.step.position, rows, input: head.body })
      }
    }
    this.#flush()
  }

  /** Room in the log for one more output: of steps that are not acknowledged, and of bytes that cannot be dropped. */
  #hasOutputSlot(rows: number): boolean {
    if (this.#log.above(this.#sender.ackedSeq).segments >= this.#options.outputSlots) return false
    if (!this.#log.pruned) return true
    const wantedBytes = rows * this.#bytesPerRow
    const { bytes } = this.#log.above(this.#sender.droppableSeq)
    if (bytes > 0 && bytes + wantedBytes > this.#open.historyBytes) return false
    // Room is made now: by the time the output is there, the link may have broken, and then nothing may be dropped.
    this.#log.drop(this.#sender.droppableSeq, Math.max(0, this.#open.historyBytes - wantedBytes))
    return true
  }

  #onComputed(job: number, output: Uint8Array, computeUs: number): void {
    const head = this.#input.head
    if (this.#job === undefined || this.#job.id !== job || head === undefined) return
    const { rows } = this.#job
    this.#job = undefined
    if (output.byteLength !== rows * this.#bytesPerRow) {
      return this.#refuseSession(WireErrorCode.Internal, `${rows} rows were computed to ${output.byteLength} bytes`)
    }
    this.#record(head.step, output, head.step.computeUs + Math.round(computeUs), job)
    this.#log.recordVoid(head.step.to)
    this.#trimLog()
    this.#committed()
  }

  /** One segment per run. A tail keeps only the rows that are wanted. */
  #record(step: StepMessage, output: Uint8Array, computeUs: number, frame: number): void {
    const bytesPerRow = this.#bytesPerRow
    let row = 0
    for (const run of step.runs) {
      let from = row
      row += run.rows
      const position = step.position + from
      if (this.#input.isSkipped(run.seq)) continue
      if (!this.#log.pruned && run.want === 'last') from = row - 1
      const data = output.subarray(from * bytesPerRow, row * bytesPerRow)
      const segment: NewSegment<Uint8Array> = {
        seq: run.seq,
        position,
        rows: row - from,
        want: run.want,
        frame,
        computeUs,
        bytesPerRow,
        data
      }
      this.#log.record(segment, run.rows, this.#log.pruned || run.want !== 'none')
    }
  }

  /** The head is done: the next one may come, and the predecessor hears of it. */
  #committed(): void {
    this.#input.shift()
    if (this.#inChannel !== undefined) this.#send(this.#inChannel, { type: 'ack', seq: this.#log.lastSeq, ...this.#input.grant() })
  }

  #onComputeFailed(job: number, problem: Problem): void {
    const head = this.#input.head
    if (this.#job === undefined || this.#job.id !== job || head === undefined) return
    this.#job = undefined
    if (problem.code !== WireErrorCode.NotFinite) return this.#refuseSession(problem.code, problem.message)
    // The input is to blame. What was queued behind it came from the same hands: all of it is asked for again.
    this.#log.cut(head.step.position)
    this.#input.rollBack(this.#log.lastSeq, this.#log.map)
    if (this.#inChannel !== undefined) this.#refuseChannel(this.#inChannel, problem)
    this.#inChannel = undefined
    this.#accuse('predecessor', problem, head.term)
  }

  #flush(): void {
    const channel = this.#dialer.channel
    if (this.#dialer.state !== 'open' || channel === undefined) return
    for (;;) {
      const next = this.#sender.next(this.#nowMs)
      if (next === undefined) return
      if (isProblem(next)) return this.#giveUpOutput(next, true)
      const parts = next.slices.map(({ segment, rows }) => segment.data.subarray(0, rows * segment.bytesPerRow))
      this.#send(channel, next.message, parts)
    }
  }

  #onTick(): void {
    const due = this.#dialer.due(this.#nowMs)
    if (due === 'dial') this.#dialSuccessor()
    else if (due === 'timeout')
      this.#giveUpOutput({ code: WireErrorCode.PeerUnreachable, message: 'the successor did not answer in time' }, false)
    if (this.#sender.takeOverdue(this.#nowMs)) {
      this.#accuse('successor', {
        code: WireErrorCode.PeerUnreachable,
        message: `seq ${this.#sender.ackedSeq + 1} is not acknowledged in time`
      })
    }
  }
}

function samePeer(a: LinkPeer, b: LinkPeer): boolean {
  return a.kind === 'coordinator' ? b.kind === 'coordinator' : b.kind === 'stage' && a.peer === b.peer
}
