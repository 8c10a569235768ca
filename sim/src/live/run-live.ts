import { setMaxListeners } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadModelText } from '@skein/coordinator'
import { openCheckpoint } from '@skein/node'
import {
  type CancelTimer,
  type Clock,
  describeError,
  InvalidArgumentError,
  type PeerId,
  seededRandom,
  throwIfAborted
} from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import { Recorder } from '../record/recorder.ts'
import type { NodeRecord, RunEvent, RunRecord } from '../record/run-record.ts'
import type { Scenario, ScenarioFault } from '../scenario/scenario.ts'
import { LiveClient } from './live-client.ts'
import { linkProfile, type LiveClientPlan, type LiveNodePlan, planLive, type PlacedPeer } from './live-plan.ts'
import { identityOf, LiveNode, type ReadyLine } from './processes.ts'

export interface LiveInit {
  readonly scenario: Scenario
  /** @default the scenario's */
  readonly seed?: number
  /** Folder of a checkpoint with as many blocks as the scenario's model. */
  readonly model: string
  /** Where converted weights are kept between runs. @default a folder that goes with the run */
  readonly cacheDir?: string
  readonly signal: AbortSignal
  readonly onProgress?: (text: string) => void
}

export interface LiveResult {
  readonly record: RunRecord
  /** Of each node, in the order of their numbers. */
  readonly ready: readonly ReadyLine[]
}

interface Placed<Plan> {
  readonly plan: Plan
  readonly peer: PeerId
}

const sampleMs = 1_000
/** How long before it is killed a node is asked what it has done. */
const askBeforeMs = 100

/**
 * Runs a scenario with real `skein-node` processes on real sockets of loopback, whose links are shaped as the scenario's
 * network says, and with the SDK in this process. Time zero is when every client knows every node.
 *
 * What a live run cannot see is not in its record: the pieces of a session's way, and what a node did in its last moment before it
 * was killed.
 *
 * @throws InvalidArgumentError for a scenario that cannot run live, or a model of another size; LiveProcessError, AbortError
 */
export async function runLive(init: LiveInit): Promise<LiveResult> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-live-'))
  // Many wait for the end of a run, and some for longer than it lasts: they do so on a signal of its own.
  const ending = new AbortController()
  setMaxListeners(0, ending.signal)
  const onAbort = (): void => ending.abort(init.signal.reason)
  init.signal.addEventListener('abort', onAbort, { once: true })
  if (init.signal.aborted) onAbort()
  const run = new LiveRun({ ...init, signal: ending.signal }, folder)
  try {
    return await run.run()
  } finally {
    init.signal.removeEventListener('abort', onAbort)
    await run.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

class LiveRun {
  readonly #init: LiveInit
  readonly #folder: string
  readonly #clock: Clock = systemClock()
  readonly #recorder = new Recorder(0)
  readonly #processes: LiveNode[] = []
  readonly #clients: LiveClient[] = []
  readonly #up: Array<Array<[number, number]>> = []
  readonly #timers = new Set<CancelTimer>()
  readonly #wallStartMs: number
  #nodes: ReadonlyArray<Placed<LiveNodePlan>> = []
  #placedClients: ReadonlyArray<Placed<LiveClientPlan>> = []
  #bootstrap: readonly string[] = []
  #startMs = 0
  #started = false

  constructor(init: LiveInit, folder: string) {
    this.#init = init
    this.#folder = folder
    this.#wallStartMs = this.#clock.monotonicMs()
    this.#startMs = this.#wallStartMs
  }

  async run(): Promise<LiveResult> {
    const { scenario, seed = scenario.seed, signal, onProgress } = this.#init
    const plan = planLive(scenario, seededRandom(seed).fork(scenario.name))
    const text = await this.#loadText()
    await this.#prepare(plan.nodes, plan.clients)
    onProgress?.(`${scenario.name}: starting ${plan.nodes.length} nodes`)
    const ready = await this.#startNodes()
    onProgress?.(`${scenario.name}: connecting`)
    await this.#connect(text, seed)
    this.#startMs = this.#clock.monotonicMs()
    this.#started = true
    for (const intervals of this.#up) for (const interval of intervals) interval[0] = 0
    for (const fault of scenario.faults) this.#plan(fault)
    this.#sample()
    onProgress?.(`${scenario.name}: running`)
    await this.#workload(signal)
    await Promise.all(this.#processes.map((node) => node.ask()))
    return { record: this.#record(seed), ready }
  }

  async stop(): Promise<void> {
    for (const cancel of this.#timers) cancel()
    await Promise.allSettled(this.#clients.map((client) => client.close()))
    await Promise.all(this.#processes.map((node) => node.stop()))
  }

  get #nowMs(): number {
    return this.#clock.monotonicMs() - this.#startMs
  }

  get #cacheDir(): string {
    return this.#init.cacheDir ?? join(this.#folder, 'weights')
  }

  async #loadText() {
    const { model, scenario, signal } = this.#init
    const checkpoint = await openCheckpoint(model, { cacheDir: this.#cacheDir, signal })
    const { blocks } = checkpoint.config
    await checkpoint.close()
    if (blocks !== scenario.model.blocks) {
      throw new InvalidArgumentError(
        `${model} has ${blocks} blocks and the scenario's model ${scenario.model.blocks}: they must be the same`
      )
    }
    return loadModelText(model, [])
  }

  async #prepare(nodes: readonly LiveNodePlan[], clients: readonly LiveClientPlan[]): Promise<void> {
    for (const plan of nodes) {
      const { span, group } = plan
      const { kvTokens, historyBytes, maxSessions } = group
      const folder = join(this.#folder, `node-${plan.number}`)
      const { model } = this.#init
      this.#processes.push(await LiveNode.prepare({ folder, cacheDir: this.#cacheDir, model, span, kvTokens, historyBytes, maxSessions }))
      this.#up.push([])
    }
    this.#nodes = nodes.map((plan) => ({ plan, peer: this.#processes[plan.number]!.peer }))
    this.#placedClients = await Promise.all(clients.map(async (plan) => ({ plan, peer: await identityOf(this.#clientKey(plan)) })))
  }

  /** The first alone, so that the others know whom to ask. */
  async #startNodes(): Promise<ReadyLine[]> {
    const first = await this.#startNode(0)
    this.#bootstrap = first.addresses
    return [first, ...(await Promise.all(this.#nodes.slice(1).map(({ plan }) => this.#startNode(plan.number))))]
  }

  async #startNode(number: number): Promise<ReadyLine> {
    const { plan } = this.#nodes[number]!
    const link = linkProfile(this.#init.scenario, plan, this.#others(this.#nodes[number]!.peer))
    const ready = await this.#processes[number]!.start(link, this.#bootstrap, this.#init.signal, () => {
      const last = this.#up[number]!.at(-1)
      if (last !== undefined) last[1] = Math.min(last[1], this.#nowMs)
      if (this.#started) this.#happened({ kind: 'node-down', node: number, text: `the process of node ${number} has ended` })
    })
    this.#up[number]!.push([Math.max(0, this.#nowMs), Infinity])
    this.#happened({ kind: 'node-up', node: number, text: `node ${number} serves` })
    return ready
  }

  #others(self: PeerId): PlacedPeer[] {
    return [...this.#nodes, ...this.#placedClients]
      .filter(({ peer }) => peer !== self)
      .map(({ peer, plan }) => ({ peer, region: plan.region }))
  }

  #clientKey({ number }: LiveClientPlan): string {
    return join(this.#folder, `client-${number}.key`)
  }

  async #connect(text: Awaited<ReturnType<typeof loadModelText>>, seed: number): Promise<void> {
    const { scenario, model, signal } = this.#init
    const numbers = new Map(this.#nodes.map(({ peer, plan }) => [peer, plan.number]))
    for (const { plan, peer } of this.#placedClients) {
      const client = await LiveClient.connect(
        {
          clock: this.#clock,
          random: seededRandom(seed).fork(`client ${plan.number}`),
          recorder: this.#recorder,
          text,
          nowMs: () => this.#nowMs,
          nodeOf: (node) => numbers.get(node),
          happened: (event) => this.#happened(event),
          contextTokens: scenario.model.contextTokens
        },
        {
          ...{ plan, model, signal, cacheDir: this.#cacheDir, identity: this.#clientKey(plan), bootstrap: this.#bootstrap },
          link: linkProfile(scenario, plan, this.#others(peer))
        }
      )
      this.#clients.push(client)
    }
    const peers = this.#nodes.map(({ peer }) => peer)
    await Promise.all(this.#clients.map((client) => client.knows(peers, signal)))
  }

  /** Until every client has done its part, or the scenario's time is over. */
  async #workload(signal: AbortSignal): Promise<void> {
    const { durationMs, settleMs } = this.#init.scenario
    const over = (ms: number, then: () => void): void => void this.#timers.add(this.#clock.setTimer(ms, then))
    over(durationMs, () => {
      for (const client of this.#clients) client.stopAsking()
    })
    let onAbort = (): void => {}
    await new Promise<void>((resolve, reject) => {
      onAbort = resolve
      over(durationMs + settleMs, resolve)
      signal.addEventListener('abort', onAbort, { once: true })
      Promise.all(this.#clients.map((client) => client.run())).then(() => resolve(), reject)
    }).finally(() => signal.removeEventListener('abort', onAbort))
    throwIfAborted(signal)
  }

  #plan(fault: ScenarioFault): void {
    this.#timers.add(this.#clock.setTimer(fault.atMs, () => this.#inject(fault)))
    if (fault.kind !== 'crash' || !('node' in fault.target)) return
    // A process that is killed tells nothing afterwards.
    const node = this.#processes[fault.target.node]
    this.#timers.add(this.#clock.setTimer(Math.max(0, fault.atMs - askBeforeMs), () => void node?.ask()))
  }

  #inject(fault: ScenarioFault): void {
    if ((fault.kind !== 'crash' && fault.kind !== 'freeze') || !('node' in fault.target)) return
    const number = fault.target.node
    const node = this.#processes[number]!
    const later = (ms: number, then: () => void): void => void this.#timers.add(this.#clock.setTimer(ms, then))
    if (fault.kind === 'freeze') {
      node.freeze(true)
      this.#happened({ kind: 'fault', node: number, text: `node ${number} freezes` })
      later(fault.forMs, () => {
        node.freeze(false)
        this.#happened({ kind: 'heal', node: number, text: `node ${number} thaws` })
      })
      return
    }
    node.crash()
    this.#happened({ kind: 'fault', node: number, text: `node ${number} is killed` })
    if (fault.restartAfterMs === undefined) return
    later(fault.restartAfterMs, () => {
      this.#startNode(number).catch((error: unknown) => {
        this.#happened({ kind: 'fault', node: number, text: `node ${number} could not be started again: ${describeError(error)}` })
      })
    })
  }

  #happened(event: Omit<RunEvent, 'atMs'>): void {
    this.#recorder.log.push({ ...event, atMs: Math.max(0, this.#started ? this.#nowMs : 0) })
  }

  #sample(): void {
    const cancel = this.#clock.setTimer(sampleMs, () => {
      this.#timers.delete(cancel)
      const serving = this.#nodes.filter(({ plan }) => this.#processes[plan.number]!.isServing)
      const covers = (block: number): number => serving.filter(({ plan }) => plan.span.start <= block && block < plan.span.end).length
      const least = Math.min(...Array.from({ length: this.#init.scenario.model.blocks }, (_, block) => covers(block)))
      this.#recorder.sample({ atMs: this.#nowMs, nodesUp: serving.length, leastCoverage: least }, sampleMs)
      this.#sample()
    })
    this.#timers.add(cancel)
  }

  #record(seed: number): RunRecord {
    const nowMs = this.#nowMs
    return {
      scenario: this.#init.scenario.name,
      seed,
      // Real time repeats nothing.
      eventLogHash: 'live',
      virtualMs: nowMs,
      wallMs: this.#clock.monotonicMs() - this.#wallStartMs,
      events: this.#recorder.log.length,
      generations: this.#recorder.generationRecords(),
      nodes: this.#nodes.map((node) => this.#nodeRecord(node, nowMs)),
      samples: [...this.#recorder.samples],
      log: [...this.#recorder.log],
      trace: [...this.#recorder.trace],
      violations: []
    }
  }

  #nodeRecord({ plan, peer }: Placed<LiveNodePlan>, nowMs: number): NodeRecord {
    const { number, group, region, span } = plan
    const up = this.#up[number]!.map(([from, to]) => [from, Math.min(to, nowMs)] as const)
    return { node: number, peer, group: group.name, region, ...span, up, ...this.#processes[number]!.done }
  }
}
