import type { SamplingProcessor } from './processor.ts'

/**
 * Divides the logits by a temperature above 0. The largest is moved to 0 first, so that no temperature, however small, makes
 * an infinity of it.
 */
export function temperature(value: number): SamplingProcessor {
  return {
    name: 'temperature',
    apply(candidates) {
      const { logits, ids, count } = candidates
      const max = candidates.max()
      // All forbidden: nothing to scale.
      if (max === -Infinity) return
      for (let index = 0; index < count; index++) {
        const id = ids[index] as number
        logits[id] = ((logits[id] as number) - max) / value
      }
    }
  }
}
