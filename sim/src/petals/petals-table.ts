import { modelPresets } from '../compute/model-presets.ts'
import { calibrate } from './calibrate.ts'
import { calibratedSetup, offloading, published, type SequenceLength, sequenceLengths } from './constants.ts'
import { petalsScenario, type PetalsSetup, type Policy, setups, type Unknowns } from './setups.ts'
import { simulatedStepTime } from './step-time.ts'

/** A line of the table. Speeds are steps per second of one session. */
export interface PetalsRow {
  readonly setup: string
  readonly sequenceLength: SequenceLength
  /** `offloading` has no swarm and no simulation: the weights' bytes over the link's rate. */
  readonly policy: Policy | 'offloading'
  /** Null for the ring: Petals was not measured with one. */
  readonly published: number | null
  readonly predicted: number
  /** (predicted - published) / published */
  readonly relativeError: number | null
  /** Whether the constants were fitted to this figure. */
  readonly calibrated: boolean
  readonly msPerStep: number
  /** Stages of the chain; 0 for offloading. */
  readonly stages: number
  /** Hash of the simulated run; empty for offloading. */
  readonly eventLogHash: string
}

export interface PetalsTable {
  readonly unknowns: Unknowns
  readonly rows: readonly PetalsRow[]
}

export interface PetalsTableOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (text: string) => void
  /** @default calibrated, by some more runs */
  readonly unknowns?: Unknowns
  /** Swarms to predict; those that the table does not have are given no published figure. @default the table's */
  readonly setups?: readonly PetalsSetup[]
  /** @default both */
  readonly policies?: readonly Policy[]
}

/**
 * The table of Petals' paper, predicted: two unknowns are fitted to one row, and the simulator runs every other.
 *
 * @throws InvalidArgumentError when a run fails; RangeError when the row cannot be fitted; the signal's reason
 */
export async function petalsTable(options: PetalsTableOptions = {}): Promise<PetalsTable> {
  const { signal, onProgress = () => {}, policies = ['star', 'ring'] } = options
  onProgress('calibrating')
  const unknowns = options.unknowns ?? (await calibrate(signal))
  const rows: PetalsRow[] = []
  for (const setup of options.setups ?? setups) {
    for (const policy of policies) {
      for (const sequenceLength of sequenceLengths) {
        onProgress(`${setup.name}: ${policy}, sequence length ${sequenceLength}`)
        const run = await simulatedStepTime(petalsScenario(setup, sequenceLength, policy, unknowns), signal)
        const figures: Readonly<Record<string, Readonly<Record<SequenceLength, number>>>> = published
        const figure = policy === 'star' ? (figures[setup.name]?.[sequenceLength] ?? null) : null
        rows.push({
          setup: setup.name,
          sequenceLength,
          policy,
          ...compared(run.msPerStep, figure),
          calibrated: policy === 'star' && setup.name === calibratedSetup,
          ...run
        })
      }
    }
  }
  if (options.setups === undefined) rows.push(...offloadingRows())
  return { unknowns, rows }
}

/** The closed form of the paper: all weights cross the PCIe link at each step, and nothing else takes time. */
function offloadingRows(): PetalsRow[] {
  const model = modelPresets['bloom-176b']
  if (model === undefined) throw new RangeError('there is no preset of BLOOM-176B')
  const bits = 8 * (model.blocks * model.weightBytesPerBlock + model.vocabSize * model.hiddenSize)
  return offloading.flatMap(({ setup, bitsPerSecond, published: figure }) =>
    sequenceLengths.map((sequenceLength) => {
      const msPerStep = (bits / bitsPerSecond) * 1000
      const run = { msPerStep, stages: 0, eventLogHash: '' }
      return { setup, sequenceLength, policy: 'offloading' as const, ...compared(msPerStep, figure), calibrated: false, ...run }
    })
  )
}

function compared(msPerStep: number, figure: number | null): Pick<PetalsRow, 'published' | 'predicted' | 'relativeError'> {
  const predicted = 1000 / msPerStep
  return { published: figure, predicted, relativeError: figure === null ? null : (predicted - figure) / figure }
}
