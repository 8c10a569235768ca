import type { FuzzResult } from '../world/fuzz.ts'
import type { Scenario } from '../scenario/scenario.ts'
import { writeScenario } from '../scenario/write-scenario.ts'
import { formatDuration } from '../scenario/units.ts'
import { printable } from '@skein/coordinator'
import type { Calibration } from '../compute/calibrate.ts'
import { writeDevice } from '../scenario/device-file.ts'
import type { CalibrateInit, CalibrateOutcome, FuzzOutcome, RunInit, SimEngine } from './engine.ts'
import { prepareHugePages } from './huge-pages.ts'
import { petalsTableStudy } from './petals-table.ts'

/** The simulator behind the commands. Loaded when it is needed: all of skein takes longer to load than `--help` may take. */
export const realEngine: SimEngine = {
  simulate: async ({ realModel: folder, ...rest }) => {
    const hugePages = await prepareHugePages()
    const onProgress: RunInit['onProgress'] = (progress) => {
      hugePages.onEvents(progress.events)
      rest.onProgress(progress)
    }
    const init = { ...rest, onProgress }
    const { simulate } = await import('../world/simulate.ts')
    if (folder === undefined) return simulate(init).run()
    const { openRealModel } = await import('../compute/real-model.ts')
    const realModel = await openRealModel({ folder })
    try {
      return await simulate({ ...init, realModel }).run()
    } finally {
      realModel.close()
    }
  },
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
    scenario
  }
}
