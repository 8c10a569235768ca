import type { FuzzResult } from '../world/fuzz.ts'
import type { RunRecord } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { writeScenario } from '../scenario/write-scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import { printable } from '@skein/coordinator'
import { SkeinError } from '@skein/protocol'
import type { Calibration } from '../compute/calibrate.ts'
import { writeDevice } from '../scenario/device-file.ts'
import type { ThrownMessage } from '@skein/node'
import type { CalibrateInit, CalibrateOutcome, FuzzOutcome, RunInit, RunProgress, SimEngine, SimulateJob } from './engine.ts'
import { prepareHugePages } from './huge-pages.ts'
import { petalsTableStudy } from './petals-table.ts'

/** The simulator behind the commands. Loaded when it is needed: all of skein takes longer to load than `--help` may take. */
export const realEngine: SimEngine = {
  simulate: ({ realModel, ...init }) => (realModel === undefined ? simulateInThread(init) : simulateHere(realModel, init)),
  fuzz: async (init) => {
    const { fuzz, sizeOf } = await import('../world/fuzz.ts')
    return toOutcome(await fuzz(init), sizeOf)
  },
  calibrate: async (init) => {
    const { calibrate } = await import('../compute/calibrate.ts')
    return toDevice(await calibrate(init), init)
  },
  studies: { 'petals-table': petalsTableStudy }
}

async function simulateInThread({ signal, onProgress, ...job }: RunInit): Promise<RunRecord> {
  // Before the thread is there: its heap shall lie in what is reserved.
  const hugePages = await prepareHugePages()
  const { runWorkerTask } = await import('@skein/node')
  return runWorkerTask<SimulateJob, RunProgress, RunRecord>(new URL('./simulate-worker.js', import.meta.url), job, revive, {
    signal,
    resourceLimits,
    onProgress: (progress) => {
      hugePages.onEvents(progress.events)
      onProgress(progress)
    }
  })
}

/** A thread that is interrupted in the midst of ONNX Runtime's work ends the process. */
async function simulateHere(folder: string, init: RunInit): Promise<RunRecord> {
  const [{ openRealModel }, { simulate }] = await Promise.all([import('../compute/real-model.ts'), import('../world/simulate.ts')])
  const realModel = await openRealModel({ folder })
  try {
    return await simulate({ ...init, realModel }).run()
  } finally {
    realModel.close()
  }
}

/**
 * A world's objects live for seconds of virtual time, through many of the messages that are made meanwhile: with a larger young generation
 * than V8's, fewer of them are copied and then found to be garbage.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 384 }

function revive({ code, message, detail, stack }: ThrownMessage): Error {
  if (code !== undefined) return new SkeinError(code, message, { detail })
  return Object.assign(new Error(message), stack === undefined ? {} : { stack })
}

/** What was measured, for people, programs and scenarios. */
function toDevice({ device, ortVersion, measured }: Calibration, { name, threads }: CalibrateInit): CalibrateOutcome {
  const file = writeDevice(device, [
    `Measured by skein-sim calibrate: ONNX Runtime ${ortVersion}, ${threads === 1 ? 'one thread' : `${threads} threads`}.`,
    'In a scenario: device: { file: ... }, or these fields.'
  ])
  const us = (value: number): string => formatDuration(value / 1000)
  return {
    json: { device, threads, ortVersion, measured },
    file,
    lines: [
      `${printable(name)}: ${(device.memoryBandwidthBytesPerSecond / 1e9).toFixed(1)} GB/s, ${(device.flopsPerSecond / 1e9).toFixed(1)} GFLOPS, ${us(device.overheadUsPerTurn)} a turn, ${us(device.overheadUsPerBlock)} a block`,
      '',
      ...file.trimEnd().split('\n')
    ],
    failed: false
  }
}

/** What a search found, for people and programs. */
function toOutcome({ worlds, events, generations, failure }: FuzzResult, sizeOf: (scenario: Scenario) => string): FuzzOutcome {
  const counts = { worlds, events, generations }
  const summary = `${worlds} worlds, ${generations} generations, ${events} events`
  if (failure === undefined) return { json: { ...counts, failure: null }, lines: [`${summary}: nothing was broken`], failed: false }
  const { seed, violation, smallest, smallestViolation } = failure
  const scenario = writeScenario(smallest)
  const { replay } = violation
  return {
    json: { ...counts, failure: { seed, violation, smallest: scenario, smallestViolation, replay } },
    lines: [
      `${summary}: seed ${seed} breaks ${violation.oracle}`,
      `  as drawn, at ${formatDuration(violation.atMs)}: ${violation.text}`,
      `  smallest (${sizeOf(smallest)}), at ${formatDuration(smallestViolation.atMs)}: ${smallestViolation.text}`,
      ...smallestViolation.lastEvents.map((event) => `    ${event}`),
      `find it again: ${replay}`
    ],
    failed: true,
    scenario,
    seed
  }
}
