import { connectDefaults, joinSwarm, type SwarmClient } from '@skein/coordinator'
import { describeError, type PeerId, type Random } from '@skein/protocol'
import type { HostProcess } from '../compute/host-process.ts'
import { TimedEnds } from '../compute/timed-ends.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import { virtualAddress } from '../net/virtual-host.ts'
import type { ClientGroup } from '../scenario/scenario.ts'
import { peerHost } from './peer-host.ts'
import type { PeerLog } from './peer-log.ts'
import type { WorldContext } from './world-context.ts'

/** After a connection that failed, a user tries again. */
const connectAgainMs = 2_000

/** The process that was asked has ended, and its answer with it. */
export class ClientGoneError extends Error {
  constructor() {
    super('the process of the client has ended')
  }
}

export interface ClientLifeInit {
  readonly clock: PeerClock
  readonly peer: PeerId
  readonly group: ClientGroup
  readonly region: string
  /** Of this life. */
  readonly random: Random
  readonly link: () => { readonly upBytesPerSecond: number; readonly downBytesPerSecond: number }
  readonly log: PeerLog
  /** Ends the attempts to join. */
  readonly closing: AbortSignal
  /** The ends of the model have computed for so long. */
  readonly onEnds: (ms: number) => void
  /** It could not join, and tries again. */
  readonly onRefused: () => void
}

/** One life of a client's process. When it ends, nothing that production code awaits in it ever comes. */
export class ClientLife {
  readonly clock: PeerClock
  readonly #context: WorldContext
  readonly #init: ClientLifeInit
  /** What is told to those who wait when it ends. */
  readonly #waiting = new Set<(error: ClientGoneError) => void>()
  #swarm: Promise<SwarmClient> | undefined
  #joined: SwarmClient | undefined
  #process: HostProcess | undefined
  #isOver = false
  #isFrozen = false

  constructor(context: WorldContext, init: ClientLifeInit) {
    this.#context = context
    this.#init = init
    this.clock = init.clock
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  /** The production client, once it has joined the swarm; it does when it is first asked for. */
  get swarm(): Promise<SwarmClient> {
    if (this.#isOver) return Promise.reject(new ClientGoneError())
    this.#swarm ??= this.#connect()
    return this.#swarm
  }

  /** Undefined before it has joined. */
  get joined(): SwarmClient | undefined {
    return this.#joined
  }

  /** Waits for something of this life. @throws ClientGoneError as soon as it is over */
  alive<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) reject(new ClientGoneError())
      else this.#waiting.add(reject)
      promise.then(resolve, reject)
      const over = (): void => void this.#waiting.delete(reject)
      promise.then(over, over)
    })
  }

  /** As kill -9 (`process`), or as when the power goes (`host`): nothing is said to anybody. */
  end(how: 'process' | 'host'): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#isFrozen = false
    this.#context.internet.crash(this.#init.peer, how)
    this.clock.kill()
    this.#process?.end()
    for (const reject of this.#waiting) reject(new ClientGoneError())
    this.#waiting.clear()
  }

  freeze(frozen: boolean): void {
    if (this.#isOver || frozen === this.#isFrozen) return
    this.#isFrozen = frozen
    // As a node does: its computing stands still first and goes on last.
    if (frozen) this.#process?.freeze(true)
    this.#context.internet.freeze(this.#init.peer, frozen)
    // It may not have joined the internet yet.
    if (frozen) this.clock.freeze()
    else this.clock.thaw()
    if (!frozen) this.#process?.freeze(false)
  }

  /** Closes the production client, if it was ever asked for. */
  async close(): Promise<void> {
    if (this.#isOver || this.#swarm === undefined) return
    await this.#swarm.then(
      (swarm) => swarm.close(),
      () => {}
    )
  }

  async #connect(): Promise<SwarmClient> {
    const { internet, scenario, model, reader } = this.#context
    const { clock, group, region, peer, random, closing } = this.#init
    const joined = internet.join({ peer, region, ...this.#init.link(), nat: group.nat, incarnation: clock })
    const { process, network, compute } = peerHost(this.#context, group, clock, joined)
    this.#process = process
    if (this.#isFrozen) process.freeze(true)
    const { onEnds } = this.#init
    const ends = new TimedEnds(model.ends, {
      ...{ clock, random, model: scenario.model, device: group.device, compute },
      onSpent: onEnds
    })
    const { blocks, hiddenSize, contextTokens } = scenario.model
    const { connectTimeoutMs, coverageTimeoutMs, prefillChunkTokens } = connectDefaults
    for (let attempt = 0; ; attempt++) {
      const contacts = this.#context.contacts(peer, random.fork(`contacts ${attempt}`))
      for (const contact of contacts) network.learn({ peer: contact, addresses: [virtualAddress(contact)], source: 'trusted' })
      try {
        this.#joined = await joinSwarm(
          { clock, random, logger: this.#init.log.logger, network, reader, ends, text: model.text },
          {
            model: model.id,
            config: { blocks, hiddenSize, vocabSize: model.vocabSize, contextTokens },
            encoding: model.encoding,
            contacts,
            transport: group.transport,
            exact: model.exact,
            connectTimeoutMs,
            coverageTimeoutMs,
            prefillChunkTokens,
            signal: closing
          }
        )
        return this.#joined
      } catch (error) {
        if (closing.aborted) throw error
        this.#init.log.logger.debug('could not join the swarm', { reason: describeError(error) })
        // Production told its user so in time; that somebody tries again until there is a swarm is the simulator's doing.
        this.#init.onRefused()
        await clock.sleep(connectAgainMs, { signal: closing })
      }
    }
  }
}
