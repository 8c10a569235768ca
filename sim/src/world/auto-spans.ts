import type { BlockRange } from '@skein/protocol'
import type { NodeGroup } from '../scenario/scenario.ts'

/**
 * The span of each node of a population, in its order. A group's fixed span stands; `auto` gives each node in turn the window of
 * `blocksPerNode` blocks that the fewest nodes before it hold, the first such one, so that spans tile the model again and again.
 */
export function autoSpans(groups: readonly NodeGroup[], blocks: number): BlockRange[] {
  const held = new Int32Array(blocks)
  const take = (span: BlockRange): BlockRange => {
    for (let block = span.start; block < span.end; block++) held[block]!++
    return span
  }
  const fixed = groups.map(({ span, count }) => (span === 'auto' ? [] : Array.from({ length: count }, () => take(span))))
  return groups.flatMap(({ span, count, blocksPerNode }, index) => {
    if (span !== 'auto') return fixed[index] ?? []
    const length = Math.min(blocks, Math.max(1, blocksPerNode))
    return Array.from({ length: count }, () => take(leastHeld(held, length)))
  })
}

function leastHeld(held: Int32Array, length: number): BlockRange {
  let sum = 0
  for (let block = 0; block < length; block++) sum += held[block]!
  let least = sum
  let start = 0
  for (let first = 1; first + length <= held.length; first++) {
    sum += held[first + length - 1]! - held[first - 1]!
    if (sum < least) {
      least = sum
      start = first
    }
  }
  return { start, end: start + length }
}
