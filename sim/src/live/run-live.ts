import { setMaxListeners } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadModelText, type ModelText } from '@skein/coordinator'
import { openCheckpoint } from '@skein/node'
import { type Clock, type PeerId, type Random, onAbort, raceAbort, seededRandom } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import { openRealModel, requireSameShape } from '../compute/real-model.ts'
import { checkBounds, checkFailure, checkLeaks, checkRecoveries, checkSilence, leakGraceMs, type NodeFacts } from '../oracles/checks.ts'
import { Recorder } from '../record/recorder.ts'
import { liveEventLog, type RunEvent, type RunRecord, type Violation } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { Excuses } from './excuses.ts'
import { judgeAnswers, type LiveAnswer, notJudgedLive } from './judge.ts'
import { LiveClient } from './live-client.ts'
import type { LiveNodePlan } from './live-peers.ts'
import { planLive } from './live-plan.ts'
import { LiveSwarm } from './live-swarm.ts'
import { historyFlagMb, type LiveStatus, type ReadyLine } from './processes.ts'
import { Timers } from './timers.ts'

export interface LiveInit {
  readonly scenario: Scenario
  /** @default the scenario's */
  readonly seed?: number
  /** Folder of a checkpoint of the scenario's model: of its blocks, hidden size and context. */
  readonly model: string
  /** Where converted weights are kept between runs. @default a folder that goes with the run */
  readonly cacheDir?: string
  /** The command that runs it again, for violations. @default `skein-sim live` with the scenario's name and the seed */
  readonly command?: string
  readonly signal: AbortSignal
  readonly onProgress?: (text: string) => void
}

export interface LiveResult {
  readonly record: RunRecord
  /** Of each node that was there first, in the order of their numbers. */
  readonly ready: readonly ReadyLine[]
}

const sampleMs = 1_000
const leakPauseMs = 500

/**
 * Runs a scenario with real `skein-node` processes on real sockets of loopback, whose links are shaped as the scenario's
 * network says, and with the SDK in this process. Time zero is when every client knows every node that is there first.
 *
 * What a live run cannot see is not in its record: the pieces of a session's way, and what a node did in its last moment before it
 * was killed. Of the promises it watches those that show from outside; the record says which it does not.
 *
 * @throws InvalidArgumentError for a scenario that cannot run live, or a model of another size; LiveProcessError, AbortError
 */
export async function runLive(init: LiveInit): Promise<LiveResult> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-live-'))
  // Many wait for the end of a run, and some for longer than it lasts: they do so on a signal of its own.
  const ending = new AbortController()
  setMaxListeners(0, ending.signal)
  const stopListening = onAbort(init.signal, () => ending.abort(init.signal.reason))
  const run = new LiveRun({ ...init, signal: ending.signal }, folder)
  try {
    return await run.run()
  } finally {
    stopListening()
    await run.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

class LiveRun {
  readonly #init: LiveInit
  readonly #seed: number
  readonly #folder: string
  readonly #clock: Clock = systemClock()
  readonly #timers = new Timers(this.#clock)
  readonly #recorder = new Recorder(0)
  readonly #clients: LiveClient[] = []
  readonly #answers: LiveAnswer[] = []
  readonly #violations: Violation[] = []
  #excuses = new Excuses([])
  readonly #wallStartMs: number
  #swarm: LiveSwarm | undefined
  #startMs = 0
  #started = false
  #closing = false

  constructor(init: LiveInit, folder: string) {
    this.#init = init
    this.#seed = init.seed ?? init.scenario.seed
    this.#folder = folder
    this.#wallStartMs = this.#clock.monotonicMs()
    this.#startMs = this.#wallStartMs
  }

  async run(): Promise<LiveResult> {
    const { scenario, model, signal } = this.#init
    const random = seededRandom(this.#seed).fork(scenario.name)
    const plan = planLive(scenario, random)
    this.#excuses = new Excuses(plan.faults.inForce)
    const text = await this.#loadText()
    const swarm = await LiveSwarm.prepare(
      {
        clock: this.#clock,
        timers: this.#timers,
        nowMs: () => this.#nowMs,
        happened: (event) => this.#happened(event),
        failed: (node, what) => this.#violated('node-failed', what)
      },
      { scenario, plan, random, model, cacheDir: this.#cacheDir, folder: this.#folder, signal }
    )
    this.#swarm = swarm
    const there = plan.nodes.filter(({ schedule }) => schedule === undefined || schedule.firstMs === 0).length
    this.#progress(`starting ${there} nodes`)
    const ready = await swarm.start()
    this.#progress('connecting')
    await this.#connect(swarm, text, random)
    this.#startMs = await swarm.beginning()
    this.#started = true
    swarm.begin()
    this.#sample(swarm)
    this.#progress('running')
    await this.#workload(swarm)
    return { record: await this.#judged(swarm), ready }
  }

  async stop(): Promise<void> {
    this.#timers.cancelAll()
    await Promise.allSettled(this.#clients.map((client) => client.close()))
    await this.#swarm?.stop()
  }

  get #nowMs(): number {
    return this.#started ? Math.max(0, this.#clock.monotonicMs() - this.#startMs) : 0
  }

  get #cacheDir(): string {
    return this.#init.cacheDir ?? join(this.#folder, 'weights')
  }

  #progress(what: string): void {
    this.#init.onProgress?.(`${this.#init.scenario.name}: ${what}`)
  }

  async #loadText(): Promise<ModelText> {
    const { model, scenario, signal } = this.#init
    const checkpoint = await openCheckpoint(model, { cacheDir: this.#cacheDir, signal })
    const { config } = checkpoint
    await checkpoint.close()
    requireSameShape(scenario, config)
    return loadModelText(model, config.eosTokenIds)
  }

  async #connect(swarm: LiveSwarm, text: ModelText, random: Random): Promise<void> {
    const { scenario, model, signal } = this.#init
    for (const { plan, keyFile, linkFile } of swarm.clients) {
      const client = await LiveClient.connect(
        {
          clock: this.#clock,
          random: random.fork(plan.place),
          recorder: this.#recorder,
          text,
          nowMs: () => this.#nowMs,
          nodeOf: (node: PeerId) => swarm.numberOf(node),
          happened: (event) => this.#happened(event),
          contextTokens: scenario.model.contextTokens,
          ended: (answer, error) => this.#ended(answer, error)
        },
        { plan, model, signal, cacheDir: this.#cacheDir, identity: keyFile, link: linkFile, bootstrap: swarm.contacts() }
      )
      this.#clients.push(client)
    }
    const { peers } = swarm
    await Promise.all(this.#clients.map((client) => client.knows(peers, signal)))
  }

  /** Until every client has done its part, or the scenario's time is over. */
  async #workload(swarm: LiveSwarm): Promise<void> {
    const { scenario, signal } = this.#init
    const { durationMs, settleMs } = scenario
    this.#timers.after(durationMs, () => {
      for (const client of this.#clients) client.stopAsking()
      swarm.heal()
    })
    const timedOut = new Promise<void>((resolve) => void this.#timers.after(durationMs + settleMs, resolve))
    await raceAbort(Promise.race([timedOut, Promise.all(this.#clients.map((client) => client.run()))]), signal)
  }

  #ended(answer: LiveAnswer, error: unknown): void {
    this.#answers.push(answer)
    // What this run itself broke off was judged before.
    if (error === undefined || this.#closing) return
    const wrong = checkFailure({ error, excuse: this.#excuses.excuse(this.#nowMs) })
    if (wrong !== undefined) this.#violated('failure', `generation ${answer.generation} of client ${answer.client}: ${wrong}`)
  }

  #happened(event: Omit<RunEvent, 'atMs'>): void {
    this.#recorder.log.push({ ...event, atMs: this.#nowMs })
  }

  #violated(oracle: string, text: string, atMs = this.#nowMs): void {
    const { scenario, command } = this.#init
    const replay = command ?? `skein-sim live ${scenario.name} --seed ${this.#seed}`
    this.#violations.push({ oracle, atMs, text, lastEvents: [], replay })
    this.#recorder.log.push({ atMs, kind: 'violation', text: `${oracle}: ${text}` })
  }

  #sample(swarm: LiveSwarm): void {
    this.#timers.after(sampleMs, () => {
      const nowMs = this.#nowMs
      const { serving, least } = swarm.coverage()
      if (least < 1) this.#excuses.uncovered(nowMs)
      for (const generation of this.#recorder.open) {
        const wrong =
          checkSilence(nowMs - generation.lastSignMs) ?? checkRecoveries(generation.recoveries, () => this.#excuses.fault(nowMs))
        if (wrong !== undefined) this.#violated('progress', `generation ${generation.id}: ${wrong}`)
      }
      this.#recorder.sample({ atMs: nowMs, nodesUp: serving, leastCoverage: least }, sampleMs)
      this.#sample(swarm)
    })
  }

  /** The run is over: what it left behind, and whether all that it was to keep was kept. */
  async #judged(swarm: LiveSwarm): Promise<RunRecord> {
    const { scenario } = this.#init
    const asked = await swarm.ask()
    const nowMs = this.#nowMs
    this.#timers.cancelAll()
    swarm.endChurn()
    for (const { id, client } of this.#recorder.open) {
      this.#violated('settle', `generation ${id} of client ${client} has not ended ${scenario.settleMs} ms after everything healed`, nowMs)
    }
    for (const { node, line } of swarm.errors()) this.#violated('error-log', `node ${node} logged an error: ${line}`, nowMs)
    for (const found of asked) this.#checkNode(found, checkBounds, 'bounds')
    const generations = this.#recorder.generationRecords()
    const nodes = swarm.records(nowMs)
    this.#closing = true
    this.#progress('looking for what is left reserved')
    await Promise.all(this.#clients.map((client) => client.close()))
    await this.#checkLeaks(swarm)
    this.#progress('comparing the answers with the reference')
    await this.#checkAnswers()
    return {
      scenario: scenario.name,
      seed: this.#seed,
      eventLogHash: liveEventLog,
      virtualMs: nowMs,
      wallMs: this.#clock.monotonicMs() - this.#wallStartMs,
      observedMs: [0, Math.min(nowMs, scenario.durationMs)],
      events: this.#recorder.log.length,
      generations,
      nodes,
      samples: [...this.#recorder.samples],
      log: [...this.#recorder.log],
      trace: [...this.#recorder.trace],
      violations: [...this.#violations],
      notJudged: notJudgedLive
    }
  }

  async #checkLeaks(swarm: LiveSwarm): Promise<void> {
    const { signal } = this.#init
    const untilMs = this.#clock.monotonicMs() + leakGraceMs
    for (;;) {
      const asked = await swarm.ask()
      const isClean = asked.every(({ plan, status }) => status === undefined || checkLeaks(factsOf(plan, status), 0) === undefined)
      if (isClean) return
      if (this.#clock.monotonicMs() > untilMs) {
        for (const found of asked) this.#checkNode(found, (facts) => checkLeaks(facts, 0), 'leaks')
        return
      }
      await this.#clock.sleep(leakPauseMs, { signal })
    }
  }

  #checkNode(
    { plan, status }: { readonly plan: LiveNodePlan; readonly status: LiveStatus | undefined },
    check: (facts: NodeFacts) => string | undefined,
    oracle: string
  ): void {
    const wrong = status === undefined ? undefined : check(factsOf(plan, status))
    if (wrong !== undefined) this.#violated(oracle, `node ${plan.number}: ${wrong}`)
  }

  async #checkAnswers(): Promise<void> {
    const { model, signal } = this.#init
    if (this.#answers.length === 0) return
    const reference = await openRealModel({ folder: model, cacheDir: this.#cacheDir })
    try {
      for (const { atMs, text } of await judgeAnswers(this.#answers, reference, signal)) this.#violated('answer', text, atMs)
    } finally {
      reference.close()
    }
  }
}

/** A node's flag counts its history in whole MiB. */
function factsOf({ group: { maxSessions, kvTokens, historyBytes } }: LiveNodePlan, { load }: LiveStatus): NodeFacts {
  return { load, maxSessions, kvTokens, historyBytes: historyFlagMb(historyBytes) * 2 ** 20 }
}
