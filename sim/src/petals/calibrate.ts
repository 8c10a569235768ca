import { modelPresets } from '../compute/model-presets.ts'
import { calibratedSetup, published, type SequenceLength } from './constants.ts'
import { petalsScenario, setups, type Unknowns } from './setups.ts'
import { simulatedStepTime } from './step-time.ts'

/** Where the search begins; the result does not depend on it. */
const guess: Unknowns = { clientMsPerStep: 200, pastNsPerRowPerBlock: 500 }
const toleratedMs = 1e-3
const maxRounds = 6

/**
 * Settles the two unknowns by the two figures of the calibrated row: a short sequence says what the client takes, the
 * difference to a long one what the past takes. A step's time is affine in both, so Newton's method over simulated runs ends
 * after the first step but for what is rounded to microseconds.
 *
 * @throws RangeError when it does not end: the row then cannot be met with these constants
 */
export async function calibrate(signal?: AbortSignal): Promise<Unknowns> {
  const setup = setups.find(({ name }) => name === calibratedSetup)
  if (setup === undefined) throw new RangeError(`there is no setup ${calibratedSetup}`)
  const excess = async (unknowns: Unknowns, length: SequenceLength): Promise<number> => {
    const { msPerStep } = await simulatedStepTime(petalsScenario(setup, length, 'star', unknowns), signal)
    return msPerStep - 1000 / published[calibratedSetup][length]
  }
  const both = async (unknowns: Unknowns): Promise<readonly [number, number]> => [await excess(unknowns, 128), await excess(unknowns, 2048)]
  let at = guess
  let [short, long] = await both(at)
  const perClient = (await both({ ...at, clientMsPerStep: at.clientMsPerStep + 1 })).map((ms, index) => ms - [short, long][index]!)
  const perRow = (await both({ ...at, pastNsPerRowPerBlock: at.pastNsPerRowPerBlock + 100 })).map((ms, index) => ms - [short, long][index]!)
  const [a, c] = perClient as [number, number]
  const [b, d] = perRow.map((ms) => ms / 100) as [number, number]
  const determinant = a * d - b * c
  for (let round = 0; round < maxRounds; round++) {
    if (Math.max(Math.abs(short), Math.abs(long)) <= toleratedMs) return at
    at = {
      clientMsPerStep: at.clientMsPerStep - (short * d - long * b) / determinant,
      pastNsPerRowPerBlock: at.pastNsPerRowPerBlock - (long * a - short * c) / determinant
    }
    if (!(at.clientMsPerStep > 0 && at.pastNsPerRowPerBlock > 0)) break
    ;[short, long] = await both(at)
  }
  throw new RangeError(`${modelPresets['bloom-176b']?.name}: the row '${calibratedSetup}' cannot be met: ${short} and ${long} ms are left`)
}
