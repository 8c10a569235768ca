import {
  type Channel,
  ChannelWriter,
  type Clock,
  type ControlResponse,
  copyParts,
  decodeControlRequest,
  describeError,
  drain,
  encodeControl,
  type HelloMessage,
  isSkeinError,
  isWireErrorCode,
  limits,
  linger,
  LinkChannels,
  type LinkKind,
  type Logger,
  MachineDriver,
  merged,
  type NodeLoad,
  type OpenRequest,
  type PeerId,
  readUntilEnd,
  rowBytes,
  type WaitingResults,
  WireErrorCode
} from '@skein/protocol'
import type { TurnScheduler } from '../batching/turn-scheduler.ts'
import type { CacheKey, SpanRuntime, TurnOutput } from '../runtime/span-runtime.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { ComputeEffect, ReserveEffect, StageEffect, StageEvent, StageResponse } from './stage-events.ts'
import { StageMachine } from './stage-machine.ts'

export interface StageShellComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly runtime: SpanRuntime
  readonly scheduler: TurnScheduler
  readonly history: ByteBudget
  /** What coordinators do not read, of all sessions of the node. */
  readonly waitingResults?: WaitingResults
  /** Opens a link channel to a peer, with the caller's deadline rules; `record` is that peer's announcement, unverified. */
  readonly dial: (peer: PeerId, record: Uint8Array | undefined, signal: AbortSignal) => Promise<Channel>
  readonly load: () => NodeLoad
  /** So many bytes were sent once more. */
  readonly onReplay: (bytes: number) => void
  /** Called once, when nothing of the session is left. */
  readonly onEnded: () => void
}

/** Control requests that may wait while a slow coordinator does not read: more is a mistake of the coordinator. */
const maxWaitingControlBytes = 4 * limits.maxControlBytes

/**
 * Carries out what a {@link StageMachine} decides: the I/O of one session on a node. It owns the session's control channel,
 * its links, its KV cache, its share of the history budget, and one timer.
 */
export class StageShell {
  readonly #components: StageShellComponents
  readonly #request: OpenRequest
  readonly #cache: CacheKey
  readonly #control: Channel
  readonly #writer: ChannelWriter
  readonly #links: LinkChannels
  readonly #driver: MachineDriver<StageEvent, StageEffect>
  #reservedBytes = 0
  #nextLink = 1
  #ended = false

  constructor(components: StageShellComponents, control: Channel, request: OpenRequest) {
    this.#components = components
    this.#request = request
    this.#cache = `${control.peer}/${request.session}`
    this.#control = control
    this.#writer = new ChannelWriter(control, maxWaitingControlBytes)
    this.#driver = new MachineDriver<StageEvent, StageEffect>({
      clock: components.clock,
      machine: new StageMachine({ coordinator: control.peer, hiddenSize: components.runtime.info.hiddenSize }),
      tick: { type: 'tick' },
      carryOut: (effect) => this.#carryOut(effect),
      onMistake: (error, event) => {
        // One session pays for it, not the node.
        components.logger.error('a session failed', { event }, error)
        this.#giveUp()
      }
    })
    this.#links = new LinkChannels({
      clock: components.clock,
      ...(components.waitingResults === undefined ? {} : { waitingResults: components.waitingResults }),
      rowBytes: rowBytes(request.encoding, components.runtime.info.hiddenSize),
      onMessage: (channel, message, body) => this.#driver.feed({ type: 'link', channel, message, body }),
      onDialed: (channel) => this.#driver.feed({ type: 'dialed', channel }),
      onClosed: (channel, code, message, ended) => this.#driver.feed({ type: 'linkClosed', channel, message, code, ended })
    })
  }

  /** Begins with the `open` request, and reads the control channel until it ends. */
  start(): void {
    this.#driver.feed({ type: 'control', request: this.#request })
    void this.#readControl()
  }

  /** Takes over a link channel whose `hello` names this session. */
  hello(side: 'predecessor' | 'successor', channel: Channel, message: HelloMessage): void {
    const link = this.#nextLink++
    const kind: LinkKind = side === 'predecessor' ? 'link' : 'results'
    this.#links.accept(link, kind, channel)
    this.#driver.feed({ type: 'hello', channel: link, side, peer: channel.peer, message })
  }

  /** Tells the coordinator that this node wants to go. */
  drain(withinMs: number): void {
    this.#driver.feed({ type: 'drain', withinMs })
  }

  /** Ends the session from this side. */
  abort(code: WireErrorCode, message: string): void {
    this.#driver.feed({ type: 'abort', code, message })
  }

  async #readControl(): Promise<void> {
    try {
      await readUntilEnd(this.#control, ({ head }) => {
        if (this.#ended) return false
        this.#driver.feed({ type: 'control', request: decodeControlRequest(head) })
        return true
      })
    } catch (error) {
      if (isSkeinError(error) && isWireErrorCode(error.code) && !this.#ended) this.abort(error.code, describeError(error))
    }
    this.#driver.feed({ type: 'controlClosed' })
    await drain(this.#control, this.#components.clock)
  }

  #carryOut(effect: StageEffect): void {
    switch (effect.type) {
      case 'reserve':
        void this.#reserve(effect)
        break
      case 'release':
        this.#release()
        break
      case 'respond':
        this.#respond(effect.response)
        break
      case 'dial':
        this.#links.dial(effect.channel, 'link', (signal) => this.#components.dial(effect.peer, effect.record, signal))
        break
      case 'send':
        if (effect.isReplay) this.#components.onReplay(effect.parts.reduce((sum, part) => sum + part.byteLength, 0))
        // The parts are history, which may be replayed later, and a frame's ownership passes on: so this copy has a reason.
        this.#links.send(effect.channel, effect.message, effect.parts.length === 0 ? undefined : copyParts(effect.parts))
        break
      case 'hangUp':
        this.#links.hangUp(effect.channel)
        break
      case 'compute':
        this.#compute(effect)
        break
      case 'ended':
        this.#end(effect.code, effect.message)
        break
    }
  }

  async #reserve(effect: ReserveEffect): Promise<void> {
    const { runtime, history } = this.#components
    try {
      if (!history.reserve(effect.historyBytes)) {
        const detail = { freeBytes: history.freeBytes, totalBytes: history.totalBytes, wantedBytes: effect.historyBytes }
        const message = `${effect.historyBytes} bytes of history were asked for, ${history.freeBytes} are free`
        this.#driver.feed({ type: 'reserveFailed', code: WireErrorCode.HistoryFull, message, detail })
        return
      }
      this.#reservedBytes = effect.historyBytes
      await runtime.reserve(this.#cache, effect.kvTokens, this.#request.span)
      // The session may have ended meanwhile; then nobody is left who would release.
      if (this.#ended) this.#release()
      else this.#driver.feed({ type: 'reserved' })
    } catch (error) {
      history.release(this.#reservedBytes)
      this.#reservedBytes = 0
      const code = isSkeinError(error) && isWireErrorCode(error.code) ? error.code : WireErrorCode.Internal
      this.#driver.feed({
        type: 'reserveFailed',
        code,
        message: describeError(error),
        ...(isSkeinError(error) ? { detail: error.detail } : {})
      })
    }
  }

  #release(): void {
    const { runtime, scheduler, history, logger } = this.#components
    scheduler.discard(this.#cache)
    history.release(this.#reservedBytes)
    this.#reservedBytes = 0
    runtime.release(this.#cache).catch((error: unknown) => logger.warn('a cache could not be released', {}, error))
  }

  #respond(response: StageResponse): void {
    this.#writer.write({ head: encodeControl(this.#complete(response)) })
  }

  /** Adds what only the shell knows. */
  #complete(response: StageResponse): ControlResponse {
    switch (response.type) {
      case 'opened':
        return merged(response, { load: this.#components.load() })
      case 'state':
        return merged(response, { load: this.#components.load(), turnMs: this.#components.scheduler.turnMs })
      case 'refused':
        return { ...response, message: response.message.slice(0, limits.maxMessageChars), load: this.#components.load() }
      default:
        return response
    }
  }

  #compute(effect: ComputeEffect): void {
    const { span, exact, encoding } = this.#request
    const { position, rows, input, job } = effect
    this.#components.scheduler.submit({ cache: this.#cache, position, rows, span, exact, encoding, input }, (output, computeUs) => {
      this.#driver.feed(computedEvent(job, output, computeUs))
    })
  }

  #giveUp(): void {
    if (this.#ended) return
    this.#release()
    try {
      this.#respond({ type: 'refused', id: 0, code: WireErrorCode.Internal, message: 'the session failed on this node', detail: {} })
    } finally {
      // Whatever the mistake was, and if it is made again here: the session goes from the node's table.
      this.#end(WireErrorCode.Internal, 'the session failed')
    }
  }

  #end(code: WireErrorCode | undefined, message: string): void {
    this.#ended = true
    this.#driver.stop()
    this.#links.close()
    this.#writer.end()
    // It goes on being read, so that the last word arrives before the end.
    linger(this.#control, this.#components.clock)
    const { logger } = this.#components
    logger.debug('session ended', { code, reason: message })
    this.#components.onEnded()
  }
}

function computedEvent(job: number, output: TurnOutput, computeUs: number): StageEvent {
  if (output.ok) return { type: 'computed', job, output: output.output, computeUs }
  const code = isWireErrorCode(output.code) ? output.code : WireErrorCode.Internal
  return { type: 'computeFailed', job, code, message: output.message }
}
