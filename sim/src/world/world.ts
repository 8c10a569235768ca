import type { SpanRuntime } from '@skein/node'
import { announcementReader, InvalidArgumentError, type PeerId, type Random, seededRandom } from '@skein/protocol'
import { ed25519Verifier, systemClock } from '@skein/protocol/node'
import { checksumModel } from '../compute/checksum-model.ts'
import { Machine } from '../compute/machine.ts'
import { type RealModel, requireChat, requireSameShape } from '../compute/real-model.ts'
import { FaultDriver } from '../faults/fault-driver.ts'
import { BehindThePortsError, guardRealTime, type RealTimeGuard } from '../kernel/real-time-guard.ts'
import { StalledError, VirtualClock } from '../kernel/virtual-clock.ts'
import { virtualInternet } from '../net/virtual-network.ts'
import { checkBounds, checkLeaks, checkMap, checkRecoveries, checkSilence, excuseMs, leakGraceMs } from '../oracles/checks.ts'
import { GoneClients } from '../oracles/gone-clients.ts'
import { Recorder } from '../record/recorder.ts'
import type { RunEvent, RunRecord, Violation } from '../record/run-record.ts'
import { checkFaults } from '../scenario/check-faults.ts'
import { checkScenario } from '../scenario/check-scenario.ts'
import { ScenarioError } from '../scenario/problems.ts'
import type { Scenario, ScenarioFault } from '../scenario/scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import { autoSpans } from './auto-spans.ts'
import { Census } from './census.ts'
import { knownNames } from './known-names.ts'
import { rememberingReader } from './remembering-reader.ts'
import { SimClient } from './sim-client.ts'
import { SimNode } from './sim-node.ts'
import { contactCount, type WorldContext } from './world-context.ts'

export interface WorldInit {
  readonly scenario: Scenario
  /** @default the scenario's */
  readonly seed?: number
  /**
   * Computes real activations and gives real text; the scenario's model says only what that costs, and must have the same
   * blocks, width and context. @default checksums
   */
  readonly realModel?: RealModel
  /** The generation whose way through the swarm is kept piece by piece, by its number. @default 0 */
  readonly tracedGeneration?: number
  /** Whether the run ends at the first violation. @default true */
  readonly stopAtViolation?: boolean
  /** Puts something around the runtime of each of a node's incarnations: how tests plant bugs and watch turns. */
  readonly wrapRuntime?: (runtime: SpanRuntime, node: number) => SpanRuntime
  /** The one command that repeats this run: violations name it. @default how `simulate` is called */
  readonly replayCommand?: string
  /** Called about once per virtual second. */
  readonly onProgress?: (progress: { readonly virtualMs: number; readonly events: number }) => void
  readonly signal?: AbortSignal
}

const sampleMs = 1_000
/** Nodes start within this time, the first few at once: fifty a second, since no real swarm comes to be in a moment. */
const startSpreadMs = (nodes: number): number => Math.max(2_000, 20 * nodes)
const closeMs = 120_000
/** A node that has just come counts as coverage when newcomers' news have had the time to spread: two exchanges. */
const knownAfterMs = 30_000
/** Nodes that are looked at in one sample: all of a small world, and of a large one some in turn. */
const nodesAtOnce = 40
/** The same for the entries of clients' maps; at least one map is looked at every ten samples. */
const entriesAtOnce = 400

/** A simulated world: peers that run production code on a virtual internet in virtual time. Made by `simulate`. */
export class World {
  readonly scenario: Scenario
  readonly seed: number
  readonly clock: VirtualClock
  readonly nodes: readonly SimNode[]
  readonly clients: readonly SimClient[]
  readonly faults: FaultDriver
  readonly violations: Violation[] = []
  readonly #init: WorldInit
  readonly #random: Random
  readonly #recorder: Recorder
  readonly #context: WorldContext
  readonly #gone: GoneClients
  readonly #numbers = new Map<PeerId, number>()
  readonly #wall = systemClock()
  #wallMs = 0
  /** Set while it runs. */
  #realTime: RealTimeGuard | undefined
  #started = false
  #ended = false
  #faultMs = -Infinity
  /** When a fault for which an answer may fail was last in force. */
  #excusedMs = -Infinity
  #uncoveredMs = -Infinity

  /** @throws ScenarioError for a scenario or a seed that cannot be run; InvalidArgumentError for a real model of another shape */
  constructor(init: WorldInit) {
    const { scenario, realModel } = init
    const seeded = init.seed === undefined ? scenario : { ...scenario, seed: init.seed }
    const problems = checkScenario(seeded, knownNames)
    if (problems.length > 0) throw new ScenarioError(scenario.name, problems)
    if (realModel !== undefined) {
      requireSameShape(scenario, realModel.config)
      requireChat(scenario, realModel)
    }
    this.#init = init
    this.scenario = scenario
    this.seed = init.seed ?? scenario.seed
    this.#random = seededRandom(this.seed).fork(scenario.name)
    this.clock = new VirtualClock()
    this.#recorder = new Recorder(init.tracedGeneration ?? 0, scenario.model.rowBytes)
    const tracks = new Map<PeerId, string>()
    const internet = virtualInternet({
      clock: this.clock,
      random: this.#random,
      network: scenario.network,
      regions: scenario.regions,
      onTransfer: (report) => this.#recorder.transfer(report, tracks.get(report.to) ?? 'unknown')
    })
    this.#context = {
      scenario,
      model: init.realModel ?? checksumModel(scenario.model),
      census: new Census(scenario.model.blocks),
      clock: this.clock,
      internet,
      machines: new Map((scenario.machines ?? []).map(({ name, cores }) => [name, new Machine(this.clock, cores)])),
      reader: rememberingReader(announcementReader(ed25519Verifier())),
      recorder: this.#recorder,
      contacts: (self, random) => this.#contacts(self, random),
      nodeOf: (peer) => this.#numbers.get(peer),
      peersOf: (numbers) => [...numbers].map((number) => this.nodes[number]?.peer).filter((peer) => peer !== undefined),
      happened: (event) => this.#happened(event),
      violated: (oracle, text, peers) => this.#violated(oracle, text, peers)
    }
    this.#gone = new GoneClients({
      clock: this.clock,
      nodes: () => this.nodes,
      violated: (text, peers) => this.#violated('leases', text, peers)
    })
    this.nodes = this.#makeNodes()
    this.clients = this.#makeClients()
    for (const node of this.nodes) this.#numbers.set(node.peer, node.number)
    for (const node of this.nodes) tracks.set(node.peer, `node ${node.number}`)
    for (const client of this.clients) tracks.set(client.peer, `client ${client.number}`)
    this.faults = new FaultDriver({
      clock: this.clock,
      random: this.#random.fork('faults'),
      internet,
      nodes: this.nodes,
      clients: this.clients,
      happened: (kind, text, excuses, node) => {
        if (excuses) this.#excusedMs = this.nowMs
        this.#happened({ kind, text, ...(node === undefined ? {} : { node }) })
      }
    })
  }

  /** @throws InvalidArgumentError when the world has no such node */
  node(number: number): SimNode {
    const node = this.nodes[number]
    if (node === undefined) throw new InvalidArgumentError(`there is no node ${number}: this world has ${this.nodes.length}`)
    return node
  }

  /** @throws InvalidArgumentError when the world has no such client */
  client(number: number): SimClient {
    const client = this.clients[number]
    if (client === undefined) throw new InvalidArgumentError(`there is no client ${number}: this world has ${this.clients.length}`)
    return client
  }

  /** Virtual milliseconds since the start. */
  get nowMs(): number {
    return this.clock.monotonicMs()
  }

  /** Makes a fault happen now, whatever its `atMs` says. @throws ScenarioError for one that could do nothing */
  inject(fault: ScenarioFault): void {
    const problems = checkFaults({ ...this.scenario, faults: [{ ...fault, atMs: 0 }] })
    if (problems.length > 0) throw new ScenarioError(this.scenario.name, problems)
    this.faults.inject(fault, this.#random.fork(`injected at ${this.nowMs}`))
  }

  /**
   * Runs the whole scenario: requests, churn and faults for its duration, then everything heals and must come to its end,
   * then every coordinator closes and nothing may be left reserved.
   *
   * @throws InvalidArgumentError when it has run before: its clients are closed
   */
  async run(): Promise<RunRecord> {
    if (this.#ended) throw new InvalidArgumentError('this world has run to its end: make another one by simulate')
    this.#ended = true
    this.#start()
    await this.#explained(async () => {
      await this.#runUntil(this.scenario.durationMs)
      await this.#settle()
      await this.#close()
    })
    return this.record()
  }

  /** Runs for some virtual time; starts the world when it has not begun. Nothing heals and nothing is closed. */
  async runFor(ms: number): Promise<void> {
    this.#start()
    await this.#explained(() => this.#runUntil(this.nowMs + ms))
  }

  /** Runs until a promise settles, and gives its outcome. @throws StalledError when it has not within the limit */
  async runUntil<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    this.#start()
    return await this.#guard(() => this.clock.runUntilSettled(promise, 'what the test waits for', this.nowMs + limitMs))
  }

  /** What the run has left behind so far. */
  record(): RunRecord {
    const { name } = this.scenario
    return {
      scenario: name,
      seed: this.seed,
      eventLogHash: this.clock.eventLogHash(),
      virtualMs: this.nowMs,
      wallMs: this.#wallMs,
      observedMs: [startSpreadMs(this.nodes.length), Math.min(this.nowMs, this.scenario.durationMs)],
      events: this.clock.events,
      generations: this.#recorder.generationRecords(),
      nodes: this.nodes.map((node) => node.record(this.nowMs)),
      samples: [...this.#recorder.samples],
      log: [...this.#recorder.log],
      trace: [...this.#recorder.trace],
      violations: [...this.violations]
    }
  }

  #start(): void {
    if (this.#started) return
    this.#started = true
    const random = this.#random.fork('starts')
    const spreadMs = startSpreadMs(this.nodes.length)
    const isDue = (number: number): boolean => number < contactCount
    for (const node of this.nodes) {
      if (isDue(node.number) && node.isThereFirst) node.start()
      else if (node.isThereFirst) this.clock.setTimer(random.below(spreadMs), () => node.start())
      node.startChurn()
    }
    for (const client of this.clients) client.startWorkload()
    this.faults.plan(this.scenario.faults, this.scenario.durationMs)
    this.#sample()
  }

  async #runUntil(untilMs: number): Promise<void> {
    while (!this.clock.hasReached(untilMs) && !this.#isOver()) {
      await this.clock.runUntil(Math.min(untilMs, this.nowMs + 1_000))
      this.#checkPorts(() => this.#realTime?.check())
      const { onProgress } = this.#init
      if (onProgress !== undefined) this.#realTime?.exempt(() => onProgress({ virtualMs: this.nowMs, events: this.clock.events }))
    }
  }

  /** Everything heals, every node comes back, and all that is under way must come to its end. */
  async #settle(): Promise<void> {
    for (const client of this.clients) client.stopAsking()
    // Where nothing was wrong, nothing heals: what fails from here on has no excuse. Nor is it one that nodes come back.
    if (this.faults.active > 0 || [...this.nodes, ...this.clients].some(({ isFrozen }) => isFrozen)) this.#faultMs = this.nowMs
    if (this.faults.excusing > 0) this.#excusedMs = this.nowMs
    this.faults.healAll()
    for (const client of this.clients) client.thaw()
    for (const node of this.nodes) {
      node.endChurn()
      node.thaw()
      node.start()
    }
    this.#log({ kind: 'heal', text: 'everything heals; what is under way must end' })
    const untilMs = this.nowMs + this.scenario.settleMs
    while (this.#recorder.open.size > 0 && !this.clock.hasReached(untilMs) && !this.#isOver()) {
      await this.#runUntil(Math.min(untilMs, this.nowMs + 1_000))
    }
    if (this.#isOver()) return
    for (const { id, client, nodesEver, lastSignMs } of this.#recorder.open) {
      const late = `generation ${id} of client ${client} has not ended ${this.scenario.settleMs} ms after everything healed`
      const lastSign = `its last sign of life was ${formatDuration(this.nowMs - lastSignMs)} before`
      const text = `${late}; ${lastSign}: if the swarm merely has more to do than it can, the scenario needs a longer settle or fewer requests`
      this.#violated('settle', text, [this.client(client).peer, ...this.#context.peersOf(nodesEver)])
    }
  }

  /** Every coordinator closes; when all leases are over, nothing may be reserved. */
  async #close(): Promise<void> {
    if (this.#isOver()) return
    const closed = Promise.all(this.clients.map((client) => client.close()))
    await this.clock.runUntilSettled(closed, 'the end of every coordinator', this.nowMs + closeMs)
    await this.#runUntil(this.nowMs + leakGraceMs)
    for (const node of this.nodes) {
      const facts = node.facts()
      const leak = facts === undefined ? undefined : checkLeaks(facts, node.caches)
      if (leak !== undefined) this.#violated('leaks', `node ${node.number}: ${leak}`, [node.peer])
    }
  }

  /** A run that cannot go on is a finding, not an error of the caller. */
  async #explained(run: () => Promise<void>): Promise<void> {
    try {
      await this.#guard(run)
    } catch (error) {
      if (!(error instanceof StalledError)) throw error
      this.#violated('progress', error.message, [])
    }
  }

  /** While the world runs, nothing in this process may use real time, chance, sockets or processes. */
  async #guard<T>(run: () => Promise<T>): Promise<T> {
    const realTime = guardRealTime()
    this.#realTime = realTime
    const wallMs = (): number => realTime.exempt(() => this.#wall.monotonicMs())
    const startMs = wallMs()
    try {
      return await run()
    } finally {
      this.#wallMs += wallMs() - startMs
      this.#realTime = undefined
      this.#checkPorts(() => realTime.release())
    }
  }

  #checkPorts(check: () => void): void {
    try {
      check()
    } catch (error) {
      if (!(error instanceof BehindThePortsError)) throw error
      if (!this.violations.some(({ oracle }) => oracle === 'ports')) this.#violated('ports', error.message, [])
    }
  }

  #isOver(): boolean {
    return this.#init.signal?.aborted === true || ((this.#init.stopAtViolation ?? true) && this.violations.length > 0)
  }

  #sample(): void {
    this.clock.setTimer(sampleMs, () => {
      const nowMs = this.nowMs
      for (const node of this.#inTurn(this.nodes, nodesAtOnce)) {
        const facts = node.facts()
        const wrong = facts === undefined ? undefined : checkBounds(facts)
        if (wrong !== undefined) this.#violated('bounds', `node ${node.number}: ${wrong}`, [node.peer])
      }
      for (const generation of this.#recorder.open) {
        // A client that stands still sees nothing, and misses nothing.
        const silent = this.client(generation.client).isFrozen ? undefined : checkSilence(nowMs - generation.lastSignMs)
        if (silent !== undefined) this.#violated('silence', `generation ${generation.id}: ${silent}`, this.#peersOf(generation))
        const looping = checkRecoveries(generation.recoveries, () => this.#fault())
        if (looping !== undefined) this.#violated('recoveries', `generation ${generation.id}: ${looping}`, this.#peersOf(generation))
      }
      const { census } = this.#context
      // Who comes, is not known at once; who leaves, not to be gone.
      const settledSinceMs = Math.max(nowMs - knownAfterMs, startSpreadMs(this.nodes.length) + sampleMs)
      if (census.leastSettledCoverage(settledSinceMs) < 1) this.#uncoveredMs = nowMs
      this.#checkMaps()
      this.#recorder.sample({ atMs: nowMs, nodesUp: census.serving, leastCoverage: census.leastCoverage() }, sampleMs)
      this.#sample()
    })
  }

  /** A client's map is read at once: nothing of it waits. */
  #checkMaps(): void {
    const clientsAtOnce = Math.floor(entriesAtOnce / this.nodes.length)
    const everySamples = clientsAtOnce === 0 ? 10 : 1
    if (this.nowMs % (everySamples * sampleMs) !== 0) return
    for (const client of this.#inTurn(this.clients, Math.max(1, clientsAtOnce), everySamples)) {
      void client.map().then((peers) => {
        const shown: Array<{ readonly node: number; readonly downForMs: number }> = []
        for (const peer of peers) {
          const node = this.#numbers.get(peer)
          if (node !== undefined) shown.push({ node, downForMs: this.node(node).downForMs(this.nowMs) })
        }
        const stale = checkMap(shown)
        if (stale !== undefined) this.#violated('directory', `client ${client.number}: ${stale}`, [client.peer])
      })
    }
  }

  /** Some of a list, so that every one has its turn: what a sample costs does not grow with the world. */
  *#inTurn<T>(all: readonly T[], atOnce: number, everySamples = 1): Generator<T> {
    const turn = Math.floor(this.nowMs / (sampleMs * everySamples))
    const count = Math.min(atOnce, all.length)
    for (let index = 0; index < count; index++) yield all[(turn * count + index) % all.length] as T
  }

  #peersOf({ client, nodesEver }: { readonly client: number; readonly nodesEver: Iterable<number> }): PeerId[] {
    return [this.client(client).peer, ...this.#context.peersOf(nodesEver)]
  }

  /** Some of the nodes that run. In a large world whose nodes mostly run, a few draws find them without a look at all. */
  #contacts(self: PeerId, random: Random): PeerId[] {
    const isFit = (node: SimNode): boolean => node.isUp && node.peer !== self
    const drawn = new Set<PeerId>()
    for (let draws = 0; draws < 4 * contactCount && drawn.size < contactCount; draws++) {
      const node = this.nodes[random.below(this.nodes.length)]
      if (node !== undefined && isFit(node)) drawn.add(node.peer)
    }
    if (drawn.size === contactCount) return [...drawn]
    const pool = this.nodes.filter(isFit)
    const chosen: PeerId[] = []
    while (chosen.length < contactCount && pool.length > 0) {
      for (const { peer } of pool.splice(random.below(pool.length), 1)) chosen.push(peer)
    }
    return chosen
  }

  #log(event: Omit<RunEvent, 'atMs'>): void {
    this.#recorder.log.push({ ...event, atMs: this.nowMs })
  }

  #happened(event: Omit<RunEvent, 'atMs'>): void {
    this.#log(event)
    if (event.kind === 'fault' || event.kind === 'heal') this.#faultMs = this.nowMs
  }

  /** What may have broken a generation that fails now, besides a bug. */
  #excuse(): string | undefined {
    const isExcused = this.faults.excusing > 0 || this.nowMs - this.#excusedMs < excuseMs
    if (this.#hasLiar() || isExcused) return 'there was a fault that may cost an answer'
    return this.nowMs - this.#uncoveredMs < excuseMs ? 'blocks were not covered' : undefined
  }

  #hasLiar(): boolean {
    return this.nodes.some(({ condition, hasLied }) => hasLied || condition.lieShare > 0)
  }

  /** What may make a generation recover again and again, besides a bug. */
  #fault(): string | undefined {
    if (this.#hasLiar()) return 'there is a liar'
    return this.faults.active > 0 || this.nowMs - this.#faultMs < excuseMs ? 'there was a fault' : undefined
  }

  #violated(oracle: string, text: string, peers: readonly PeerId[]): void {
    const atMs = this.nowMs
    const lastEvents = peers.flatMap((peer) => {
      const node = this.#numbers.get(peer)
      const who = node === undefined ? this.clients.find((client) => client.peer === peer) : this.nodes[node]
      const name = node === undefined ? `client ${who?.number ?? '?'}` : `node ${node}`
      return (who?.log.last(12) ?? []).map((line) => `${name}: ${line}`)
    })
    const replay = this.#init.replayCommand ?? `simulate({ scenario, seed: ${this.seed} }) with the scenario ${this.scenario.name}`
    this.violations.push({ oracle, atMs, text, lastEvents, replay })
    this.#log({ kind: 'violation', text: `${oracle}: ${text}` })
  }

  #makeNodes(): SimNode[] {
    const { nodes, model } = this.scenario
    const spans = autoSpans(nodes, model.blocks)
    let number = 0
    return nodes.flatMap((group) =>
      Array.from({ length: group.count }, (_, index) => {
        const region = group.regions[index % group.regions.length] as string
        const span = spans[number] as { start: number; end: number }
        const random = this.#random.fork(`node ${number}`)
        const { wrapRuntime } = this.#init
        return new SimNode(this.#context, {
          ...{ number: number++, index, group, region, span, random },
          ...(wrapRuntime === undefined ? {} : { wrapRuntime })
        })
      })
    )
  }

  #makeClients(): SimClient[] {
    let number = 0
    return this.scenario.clients.flatMap((group) =>
      Array.from({ length: group.count }, (_, index) => {
        const region = group.regions[index % group.regions.length] as string
        const random = this.#random.fork(`client ${number}`)
        return new SimClient(this.#context, {
          number: number++,
          group,
          region,
          random,
          excuse: () => this.#excuse(),
          isLiar: (node) => this.nodes[node]?.hasLied === true,
          hasLiar: () => this.nodes.some(({ hasLied }) => hasLied),
          onGone: (client) => this.#gone.gone(client),
          onBack: (client) => this.#gone.back(client)
        })
      })
    )
  }
}
