import { InvalidArgumentError } from '@skein/protocol'
import type { Distribution, LatencyModel, ScenarioRegion } from '../scenario/scenario.ts'
import { meanOf } from '../workload/draw.ts'
import { greatCircleKm } from './great-circle.ts'
import { type LatencyDataSet, latencyDataSets } from './latency-data.ts'

/** Light in fibre, about two thirds of its speed in a vacuum (refractive index 1.47 to 1.5). */
const kmPerMsInFibre = (299_792.458 * 2) / 3 / 1000

/** The longest life of a TCP segment is taken to be two minutes (RFC 9293); both ways of a round trip. */
export const maxOneWayMs = 60_000

/** One-way delays between regions, in whole microseconds; of a distribution, its mean. What two peers have is in `PairDelays`. */
export class LatencyTable {
  readonly #indexes: ReadonlyMap<string, number>
  readonly #oneWayUs: readonly number[]
  readonly #cells: ReadonlyArray<number | Distribution>
  readonly #count: number

  /** @throws InvalidArgumentError for a matrix of another size, an unknown data set, a delay that is negative or not finite */
  constructor(model: LatencyModel, regions: readonly ScenarioRegion[]) {
    this.#count = regions.length
    this.#indexes = new Map(regions.map(({ name }, index) => [name, index]))
    this.#cells = delaysOf(model, regions)
    this.#oneWayUs = this.#cells.map((cell) => {
      const ms = typeof cell === 'number' ? cell : meanOf(cell)
      if (!(ms >= 0) || ms === Infinity) throw new InvalidArgumentError(`a delay of ${ms} ms between two regions is not possible`)
      return Math.round(ms * 1000)
    })
  }

  /** @throws InvalidArgumentError when the scenario has no such region */
  indexOf(region: string): number {
    const index = this.#indexes.get(region)
    if (index !== undefined) return index
    throw new InvalidArgumentError(`there is no region ${JSON.stringify(region)}; there are: ${[...this.#indexes.keys()].join(', ')}`)
  }

  oneWayUs(from: number, to: number): number {
    return this.#oneWayUs[from * this.#count + to] as number
  }

  /** Of which each pair of peers draws its delay in milliseconds; undefined when all have the same. */
  distribution(from: number, to: number): Distribution | undefined {
    const cell = this.#cells[from * this.#count + to]
    return typeof cell === 'object' ? cell : undefined
  }

  roundTripUs(a: number, b: number): number {
    return this.oneWayUs(a, b) + this.oneWayUs(b, a)
  }

  /** From one region to all, itself included: what a lookup through strangers costs. */
  meanRoundTripUs(region: number): number {
    let sum = 0
    for (let other = 0; other < this.#count; other++) sum += this.roundTripUs(region, other)
    return Math.round(sum / this.#count)
  }
}

/** Rows, then columns, in the order of the regions. */
function delaysOf(model: LatencyModel, regions: readonly ScenarioRegion[]): Array<number | Distribution> {
  switch (model.kind) {
    case 'constant':
      return regions.flatMap(() => regions.map(() => model.oneWayMs))
    case 'matrix':
      if (model.oneWayMs.length !== regions.length || model.oneWayMs.some((row) => row.length !== regions.length)) {
        throw new InvalidArgumentError(`the matrix of delays must have ${regions.length} rows and columns, one for each region`)
      }
      return model.oneWayMs.flat()
    case 'geographic':
      return regions.flatMap((a) => regions.map((b) => (greatCircleKm(a, b) / kmPerMsInFibre) * model.detour + model.accessMs))
    case 'measured': {
      const data = latencyDataSets[model.dataSet]
      if (data === undefined) {
        const names = Object.keys(latencyDataSets).join(', ')
        throw new InvalidArgumentError(`there is no latency data set ${JSON.stringify(model.dataSet)}; there are: ${names}`)
      }
      const places = regions.map((region) => placeOf(data, region))
      return places.flatMap((from) => places.map((to) => (data.roundTripMs[from]?.[to] as number) / 2))
    }
  }
}

/** The place of the region's name, or else the nearest one. */
function placeOf(data: LatencyDataSet, region: ScenarioRegion): number {
  const named = data.places.findIndex(({ name }) => name === region.name.toLowerCase())
  if (named >= 0) return named
  const distances = data.places.map((place) => greatCircleKm(place, region))
  return distances.indexOf(Math.min(...distances))
}
