import { join } from 'node:path'
import { type Clock, describeError, type PeerId, type Random } from '@skein/protocol'
import type { NodeRecord, RunEvent } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { ChurnDriver } from '../world/churn-driver.ts'
import { contactCount } from '../world/world-context.ts'
import type { LiveAction, LivePartition } from './live-faults.ts'
import type { LiveClientPlan, LiveNodePlan } from './live-peers.ts'
import { isThereFirst, linkProfile, type LivePlan, type PlacedPeer } from './live-plan.ts'
import { identityOf, LiveNode, type LiveStatus, type ReadyLine, writeLink } from './processes.ts'
import type { Timers } from './timers.ts'

export interface LiveSwarmComponents {
  readonly clock: Clock
  readonly timers: Timers
  /** Milliseconds since the run began; 0 before. */
  readonly nowMs: () => number
  readonly happened: (event: Omit<RunEvent, 'atMs'>) => void
  /** A process of a node has ended that nobody ended. */
  readonly failed: (node: number, text: string) => void
}

export interface LiveSwarmInit {
  readonly scenario: Scenario
  readonly plan: LivePlan
  /** Of the world. */
  readonly random: Random
  readonly model: string
  readonly cacheDir: string
  /** Where keys, records and link profiles are. */
  readonly folder: string
  readonly signal: AbortSignal
}

/** A node with its processes, one after another. */
interface Life {
  readonly plan: LiveNodePlan
  readonly node: LiveNode
  readonly churn: ChurnDriver
  readonly up: Array<[number, number]>
}

/** A client's place in the network. */
export interface LiveClientPlace {
  readonly plan: LiveClientPlan
  readonly peer: PeerId
  readonly keyFile: string
  readonly linkFile: string
}

/** How long before it is killed a node is asked what it has done. */
const askBeforeMs = 100
/** How long before the run begins its link profiles are written: every process has read them by then. */
const leadMs = 1_000

/** The processes of a live run's nodes, the links of all its peers, and what the scenario does to both. */
export class LiveSwarm {
  readonly clients: readonly LiveClientPlace[]
  readonly #components: LiveSwarmComponents
  readonly #init: LiveSwarmInit
  readonly #lives: readonly Life[]
  #hasBegun = false

  private constructor(
    components: LiveSwarmComponents,
    init: LiveSwarmInit,
    nodes: ReadonlyArray<{ readonly plan: LiveNodePlan; readonly node: LiveNode }>,
    clients: readonly LiveClientPlace[]
  ) {
    this.#components = components
    this.#init = init
    this.clients = clients
    const { timers, nowMs } = components
    this.#lives = nodes.map(({ plan, node }) => {
      const churned = {
        isRunning: () => node.isUp,
        start: () => this.#start(plan.number),
        leave: () => this.#leave(plan.number)
      }
      const churn = new ChurnDriver(plan.schedule, churned, { nowMs, setTimer: (ms, then) => timers.after(ms, then) })
      return { plan, node, churn, up: [] }
    })
  }

  /** Makes the keys, which say who everybody will be, and the first link profiles; starts nothing. */
  static async prepare(components: LiveSwarmComponents, init: LiveSwarmInit): Promise<LiveSwarm> {
    const { plan, model, cacheDir, folder } = init
    const nodes = []
    for (const node of plan.nodes) {
      const { kvTokens, historyBytes, maxSessions } = node.group
      const own = { folder: join(folder, `node-${node.number}`), cacheDir, model, span: node.span, kvTokens, historyBytes, maxSessions }
      nodes.push({ plan: node, node: await LiveNode.prepare(own) })
    }
    const clients = await Promise.all(
      plan.clients.map(async (client) => {
        const keyFile = join(folder, `client-${client.number}.key`)
        return { plan: client, keyFile, linkFile: join(folder, `client-${client.number}.json`), peer: await identityOf(keyFile) }
      })
    )
    const swarm = new LiveSwarm(components, init, nodes, clients)
    swarm.#writeLinks(undefined)
    return swarm
  }

  get #partitions(): readonly LivePartition[] {
    return this.#init.plan.faults.partitions
  }

  /** Starts those that are there first, the first of them alone, so that the others know whom to ask. */
  async start(): Promise<ReadyLine[]> {
    const there = this.#lives.filter(({ plan }) => isThereFirst(plan.schedule)).map(({ plan }) => plan.number)
    return [await this.#run(there[0]!), ...(await Promise.all(there.slice(1).map((number) => this.#run(number))))]
  }

  /** Peers of the nodes that are there. */
  get peers(): PeerId[] {
    return this.#lives.filter(({ node }) => node.isUp).map(({ node }) => node.peer)
  }

  numberOf(peer: PeerId): number | undefined {
    const index = this.#lives.findIndex(({ node }) => node.peer === peer)
    return index < 0 ? undefined : index
  }

  /** Addresses of some nodes that there are. */
  contacts(): string[] {
    return this.#lives.flatMap(({ node }) => node.addresses.slice(0, 1)).slice(0, contactCount)
  }

  /** Nodes that serve, and how many of them serve the block that has the fewest. */
  coverage(): { readonly serving: number; readonly least: number } {
    const serving = this.#lives.filter(({ node }) => node.isServing)
    const covers = (block: number): number => serving.filter(({ plan }) => plan.span.start <= block && block < plan.span.end).length
    const { blocks } = this.#init.scenario.model
    return { serving: serving.length, least: Math.min(...Array.from({ length: blocks }, (_, block) => covers(block))) }
  }

  /** Tells every process when the run begins, if it has to know. @returns that moment, by the monotonic clock */
  async beginning(): Promise<number> {
    const { clock } = this.#components
    if (this.#partitions.length === 0) return clock.monotonicMs()
    const startMs = clock.monotonicMs() + leadMs
    this.#writeLinks(clock.wallMs() + leadMs)
    await clock.sleep(startMs - clock.monotonicMs(), { signal: this.#init.signal })
    return startMs
  }

  /** From now on nodes come and go, and faults happen. */
  begin(): void {
    this.#hasBegun = true
    const { timers, happened } = this.#components
    for (const { up } of this.#lives) for (const interval of up) interval[0] = 0
    for (const { churn } of this.#lives) churn.begin()
    for (const action of this.#init.plan.faults.actions) {
      timers.after(action.atMs, () => this.#act(action))
      // A process that is killed tells nothing afterwards.
      if (action.kind === 'crash') timers.after(Math.max(0, action.atMs - askBeforeMs), () => void this.#lives[action.node]?.node.ask())
    }
    for (const { fromMs, toMs, from, to, oneWay } of this.#partitions) {
      const who = `${from.size} peers are`
      const cut = `${who} cut off from ${to.size} others${oneWay ? ' one way' : ''}`
      timers.after(fromMs, () => happened({ kind: 'fault', text: cut }))
      timers.after(toMs, () => happened({ kind: 'heal', text: `${who} connected again with ${to.size} others` }))
    }
  }

  /** Nobody leaves any more, and who is away comes back. */
  heal(): void {
    this.endChurn()
    for (const { plan, node } of this.#lives) {
      node.freeze(false)
      this.#start(plan.number)
    }
    this.#components.happened({ kind: 'heal', text: 'everything heals; what is under way must end' })
  }

  /** Asks every node that can answer. */
  ask(): Promise<Array<{ readonly plan: LiveNodePlan; readonly status: LiveStatus | undefined }>> {
    return Promise.all(this.#lives.map(async ({ plan, node }) => ({ plan, status: await node.ask() })))
  }

  /** What nodes have logged as errors. */
  errors(): Array<{ readonly node: number; readonly line: string }> {
    return this.#lives.flatMap(({ plan, node }) => node.errors.map((line) => ({ node: plan.number, line })))
  }

  records(nowMs: number): NodeRecord[] {
    return this.#lives.map(({ plan, node, up }) => ({
      ...{ node: plan.number, peer: node.peer, group: plan.group.name, region: plan.region, ...plan.span },
      up: up.map(([from, to]) => [from, Math.min(to, nowMs)] as const),
      ...node.done
    }))
  }

  /** Nobody comes or goes by itself any more. */
  endChurn(): void {
    for (const { churn } of this.#lives) churn.end()
  }

  async stop(): Promise<void> {
    this.endChurn()
    await Promise.all(this.#lives.map(({ node }) => node.stop()))
  }

  #act({ node: number, kind }: LiveAction): void {
    const { node } = this.#lives[number]!
    const { happened } = this.#components
    switch (kind) {
      case 'crash':
        happened({ kind: 'fault', node: number, text: `node ${number} is killed` })
        node.crash()
        break
      case 'start':
        this.#start(number)
        break
      case 'freeze':
        happened({ kind: 'fault', node: number, text: `node ${number} freezes` })
        node.freeze(true)
        break
      case 'thaw':
        node.freeze(false)
        happened({ kind: 'heal', node: number, text: `node ${number} thaws` })
        break
    }
  }

  #leave(number: number): void {
    const { node, plan } = this.#lives[number]!
    if (!node.isUp) return
    // Afterwards it cannot tell what it has done.
    void node.ask().then(() => (plan.group.churn?.graceful === true ? node.leave() : node.crash()))
  }

  /** Starts a process, unless there is one. */
  #start(number: number): void {
    const { node } = this.#lives[number]!
    if (node.isUp) return
    this.#run(number).catch((error: unknown) => {
      if (!node.isAskedToEnd) this.#components.failed(number, `node ${number} could not be started: ${describeError(error)}`)
    })
  }

  async #run(number: number): Promise<ReadyLine> {
    const { node, up, churn } = this.#lives[number]!
    const { nowMs, happened, failed } = this.#components
    const ready = await node.start(this.contacts(), this.#init.signal, () => {
      const last = up.at(-1)
      if (last !== undefined) last[1] = Math.min(last[1], nowMs())
      if (!this.#hasBegun) return
      happened({ kind: 'node-down', node: number, text: `the process of node ${number} has ended` })
      if (!node.isAskedToEnd) failed(number, `the process of node ${number} ended by itself`)
      churn.gone()
    })
    up.push([nowMs(), Infinity])
    happened({ kind: 'node-up', node: number, text: `node ${number} serves` })
    return ready
  }

  /** @param startWallMs when the run begins, once that is known */
  #writeLinks(startWallMs: number | undefined): void {
    const { scenario, random } = this.#init
    const link = { scenario, random, partitions: this.#partitions, startWallMs }
    const peers = [
      ...this.#lives.map(({ plan, node }) => ({ plan, peer: node.peer, file: node.linkFile })),
      ...this.clients.map(({ plan, peer, linkFile }) => ({ plan, peer, file: linkFile }))
    ]
    const placed: PlacedPeer[] = peers.map(({ plan: { place, region }, peer }) => ({ place, region, peer }))
    for (const { plan, peer, file } of peers) {
      const others = placed.filter((other) => other.peer !== peer)
      writeLink(file, linkProfile(link, plan, others))
    }
  }
}
