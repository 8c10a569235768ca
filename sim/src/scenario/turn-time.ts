import { turnCost } from '../compute/cost-model.ts'
import type { NodeGroup, ScenarioModel } from './scenario.ts'

/** A turn of one token that takes longer: no user waits for it, and a node holds one five times as long for a runtime that hangs. */
export const slowestTurnMs = 60_000

/** How long one token takes a node of this group, before noise. */
export function oneTokenMs({ device, span, blocksPerNode }: NodeGroup, model: ScenarioModel): number {
  const blocks = span === 'auto' ? blocksPerNode : span.end - span.start
  return turnCost(model, device, [{ rows: 1, pastRows: 0, blocks }]).totalUs / 1000
}
