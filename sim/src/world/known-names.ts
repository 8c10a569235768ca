import { latencyDataSets } from '../net/latency-data.ts'
import { figureNames } from '../report/figures.ts'
import type { CheckOptions } from '../scenario/check-scenario.ts'

/** What scenarios may name of what comes with the simulator. */
export const knownNames: CheckOptions = {
  figures: figureNames,
  dataSets: Object.fromEntries(Object.entries(latencyDataSets).map(([name, { places }]) => [name, places.map((place) => place.name)]))
}
