import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError } from '@skein/protocol'
import { systemClock } from '@skein/protocol/node'
import type { GenerationRecord, RunRecord } from '../record/run-record.ts'
import { simulate } from '../world/simulate.ts'
import { type Calibration, calibrate, liveModel, measureEndsMs, median, type Measured, onThisMachine, refined } from './calibration.ts'
import { runLive } from './run-live.ts'
import { type Setting, settings, settingScenario } from './settings.ts'

export type RealityMetric = 'tokensPerSecond' | 'firstTokenMs' | 'recoveryMs'

/** A figure of a setting, as it was measured and as it was simulated. */
export interface RealityRow {
  readonly setting: string
  readonly metric: RealityMetric
  readonly live: number | undefined
  readonly simulated: number | undefined
  /** `simulated` less `live`, over `live`. */
  readonly relativeError: number | undefined
  /** Where most of a token's time goes: to the network that the setting describes, or to this machine. */
  readonly dominatedBy: 'network' | 'compute'
  /** The largest relative error that is good, either way. */
  readonly goal: number
  /** Whether the error is within the goal; no figure is none that is. */
  readonly met: boolean
  /** Whether the figure was used to calibrate, and so is no prediction. */
  readonly calibrated: boolean
  /** Processes that wanted to run, over the last minute, when the setting had run live. */
  readonly load: number
}

export interface RealityResult {
  /** What this machine took beside each setting. */
  readonly calibrations: ReadonlyArray<Calibration & { readonly setting: string }>
  readonly rows: readonly RealityRow[]
}

export interface RealityInit {
  readonly model: string
  /** Only settings whose names hold this text. */
  readonly only?: string
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

/** Where the network dominates and where the machine does: by the issue that asked for the comparison. */
const goals = { network: 0.1, compute: 0.2 } as const

/** A simulated swarm has come together, and a newcomer knows it, by then. */
const simulatedStartMs = 60_000

/**
 * Of these all is measured that the simulator is told: the hop through one stage, turns and blocks by both. They are as long as
 * the settings, since a process that has just started may be given more of a busy machine than one that goes on.
 */
const oneStage: Setting = { name: 'calibration, 1 stage', stages: 1, hopMs: 0 }
const severalStages: Setting = { name: 'calibration, 4 stages', stages: 4, hopMs: 0 }
/** Between two messages every process waits: from this comes what a pause costs. It is none of the settings that are predicted. */
const distantStage: Setting = { name: 'calibration, 10 ms', stages: 1, hopMs: 10 }

interface LiveFound {
  readonly record: RunRecord
  readonly load: number
}

/**
 * Runs every shipped setting live and in the simulator, which computes as this machine does now. What else runs on the machine
 * changes within minutes: the setting that calibrates is run again between all others, and each is held to the median of what
 * was measured twice before and twice after it.
 */
export async function compareReality(init: RealityInit): Promise<RealityResult> {
  const wanted = settings.filter(({ name }) => name.includes(init.only ?? ''))
  if (wanted.length === 0) {
    throw new InvalidArgumentError(
      `no setting's name holds '${init.only ?? ''}': there are ${settings.map(({ name }) => `'${name}'`).join(', ')}`
    )
  }
  const cacheDir = await mkdtemp(join(tmpdir(), 'skein-reality-'))
  try {
    init.onProgress('measuring the ends')
    const endsMs = await measureEndsMs(init.model, cacheDir, systemClock())
    const several = await liveOf(severalStages, init, cacheDir)
    const calibrationOf = async (setting: Setting): Promise<Measured> => measuredOf(setting, (await liveOf(setting, init, cacheDir)).record)
    const between = async () => ({ one: await calibrationOf(oneStage), distant: await calibrationOf(distantStage) })
    const measured = [await between()]
    const live: LiveFound[] = []
    for (const setting of wanted) {
      live.push(await liveOf(setting, init, cacheDir))
      measured.push(await between())
    }
    const facts = { endsMs, blocks: liveModel.blocks, cores: availableParallelism() }
    const predict = (setting: Setting) => async (found: Calibration) => measuredOf(setting, await simulatedOf(setting, found))
    const calibrations: Calibration[] = []
    for (const [index, { name }] of wanted.entries()) {
      init.onProgress(`${name}: calibrating`)
      // Two before and two after: one that met a busy moment does not count.
      const around = measured.slice(Math.max(0, index - 1), index + 3)
      const both = { one: middleOf(around.map(({ one }) => one)), distant: middleOf(around.map(({ distant }) => distant)) }
      const found = calibrate(both.one, measuredOf(severalStages, several.record), facts)
      calibrations.push(await refined(found, both, { one: predict(oneStage), distant: predict(distantStage) }))
    }
    const rows: RealityRow[] = []
    for (const [index, setting] of wanted.entries()) {
      init.onProgress(`${setting.name}: simulating`)
      rows.push(...(await rowsOf(setting, live[index]!, calibrations[index]!)))
    }
    return { calibrations: wanted.map(({ name }, index) => ({ setting: name, ...calibrations[index]! })), rows }
  } finally {
    await rm(cacheDir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** The median of each figure. */
function middleOf(found: readonly Measured[]): Measured {
  const of = (figure: (measured: Measured) => number): number => median(found.map(figure)) ?? 0
  return {
    stages: of(({ stages }) => stages),
    tokenMs: of(({ tokenMs }) => tokenMs),
    computeMsPerToken: of(({ computeMsPerToken }) => computeMsPerToken),
    promptComputeMs: of((each) => each.promptComputeMs),
    openMs: of(({ openMs }) => openMs),
    firstTokenMs: of(({ firstTokenMs }) => firstTokenMs),
    promptTokens: of(({ promptTokens }) => promptTokens)
  }
}

/** A router whose measurements are near each other chooses this time one and that time the other. */
const maxKills = 4

async function liveOf(setting: Setting, { model, signal, onProgress }: RealityInit, cacheDir: string): Promise<LiveFound> {
  // Which of the two nodes serves is the router's choice: the other one is killed if the first was not the one.
  for (let attempt = 0; ; attempt++) {
    const scenario = settingScenario(setting, 0, attempt % 2)
    const { record } = await runLive({ scenario, model, cacheDir, signal, onProgress })
    const [load = 0] = loadavg()
    if (setting.kill !== true || attempt + 1 === maxKills || recoveryMs(record) !== undefined) return { record, load }
  }
}

async function simulatedOf(setting: Setting, calibration: Calibration): Promise<RunRecord> {
  for (let killed = 0; ; killed++) {
    const record = await simulate({ scenario: onThisMachine(settingScenario(setting, simulatedStartMs, killed), calibration) }).run()
    if (setting.kill !== true || killed === 1 || recoveryMs(record) !== undefined) return record
  }
}

async function rowsOf(setting: Setting, live: LiveFound, calibration: Calibration): Promise<RealityRow[]> {
  const simulated = await simulatedOf(setting, calibration)
  const metrics: Readonly<Record<string, (record: RunRecord) => number | undefined>> =
    setting.kill === true ? { ...whole, recoveryMs } : whole
  const networkMs = (setting.stages + 1) * setting.hopMs
  const machineMs =
    setting.stages * calibration.turnMs +
    liveModel.blocks * calibration.blockMs +
    calibration.endsMs +
    (setting.stages + 1) * calibration.hopMs
  return Object.entries(metrics).map(([metric, of]) => {
    const [a, b] = [of(live.record), of(simulated)]
    const relativeError = a === undefined || b === undefined || a === 0 ? undefined : (b - a) / a
    const dominatedBy = networkMs > machineMs ? 'network' : 'compute'
    const goal = goals[dominatedBy]
    return {
      setting: setting.name,
      metric: metric as RealityMetric,
      live: a,
      simulated: b,
      relativeError,
      dominatedBy,
      goal,
      met: relativeError !== undefined && Math.abs(relativeError) <= goal,
      calibrated: setting.stages === oneStage.stages && setting.hopMs === 0 && setting.mbps === undefined,
      load: live.load
    }
  })
}

/** The first answer of a client pays for its connections. */
function counted({ generations }: RunRecord): GenerationRecord[] {
  return generations.slice(1).filter(({ outcome }) => outcome === 'completed')
}

function tokenMsOf(record: RunRecord): number | undefined {
  return median(
    counted(record).flatMap(({ firstTokenMs, lastTokenMs, outputTokens, time }) =>
      firstTokenMs === undefined || lastTokenMs === undefined || outputTokens < 2
        ? []
        : [(lastTokenMs - firstTokenMs - time.recoveryMs) / (outputTokens - 1)]
    )
  )
}

function recoveryMs({ generations }: RunRecord): number | undefined {
  const hit = generations.filter(({ recoveries, outcome }) => recoveries > 0 && outcome === 'completed')
  return median(hit.map(({ time, recoveries }) => time.recoveryMs / recoveries))
}

/** The recovery is a figure of its own, so that a setting's tokens a second do not hold it. */
const whole = {
  tokensPerSecond: (record: RunRecord) => {
    const ms = tokenMsOf(record)
    return ms === undefined ? undefined : 1000 / ms
  },
  firstTokenMs: (record: RunRecord) =>
    median(counted(record).flatMap(({ startMs, firstTokenMs }) => (firstTokenMs === undefined ? [] : [firstTokenMs - startMs])))
}

/** Nodes count all that they compute; what tokens took is told with each answer. */
function promptComputeMs({ nodes, generations }: RunRecord): number {
  const busyMs = nodes.reduce((sum, node) => sum + node.busyMs, 0)
  const tokensMs = generations.reduce((sum, { time }) => sum + time.computeMs, 0)
  return Math.max(0, busyMs - tokensMs) / Math.max(1, generations.length)
}

function measuredOf(setting: Setting, record: RunRecord): Measured {
  const found = counted(record)
  return {
    stages: setting.stages,
    tokenMs: tokenMsOf(record) ?? 0,
    computeMsPerToken: median(found.map(({ time, outputTokens }) => time.computeMs / Math.max(1, outputTokens - 1))) ?? 0,
    promptComputeMs: promptComputeMs(record),
    openMs: median(found.flatMap(({ openedMs, startMs }) => (openedMs === undefined ? [] : [openedMs - startMs]))) ?? 0,
    firstTokenMs: whole.firstTokenMs(record) ?? 0,
    promptTokens: found[0]?.promptTokens ?? 0
  }
}
