/**
 * Tables of the rotary position embedding, with the scalings of Hugging Face transformers (`modeling_rope_utils.py`, read at
 * 5.24). Frequencies are computed in float64 and rounded to f32; a row's angles are f32 products, as there, so that
 * far positions turn by the same angle as in the reference.
 *
 * @packageDocumentation
 */
import type { ModelConfig, RopeScaling } from '../checkpoint/model.ts'

type RopeConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling' | 'contextTokens'>

/** What a model's positions are turned by: `inverseFrequencies` f32 `[headDim/2]`, and a factor on cosines and sines. */
export interface RopeFrequencies {
  readonly inverseFrequencies: Float32Array
  readonly attentionFactor: number
}

/**
 * The frequencies that hold for the whole context. `dynamic` is plain within it (it changes beyond the trained length only,
 * see {@link usableContext}); `longrope` uses its short factors for the same reason.
 */
export function ropeFrequencies(config: RopeConfig): RopeFrequencies {
  const { headDim, ropeTheta, ropeScaling: scaling } = config
  const half = headDim / 2
  const powers = Array.from({ length: half }, (_, index) => Math.pow(ropeTheta, (2 * index) / headDim))
  switch (scaling.kind) {
    case 'none':
    case 'dynamic':
      return { inverseFrequencies: Float32Array.from(powers, (power) => 1 / power), attentionFactor: 1 }
    case 'linear':
      return { inverseFrequencies: Float32Array.from(powers, (power) => 1 / power / scaling.factor), attentionFactor: 1 }
    case 'llama3':
      return { inverseFrequencies: Float32Array.from(powers, (power) => llama3Frequency(1 / power, scaling)), attentionFactor: 1 }
    case 'yarn':
      return {
        inverseFrequencies: yarnFrequencies(powers, config, scaling),
        attentionFactor: scaling.attentionFactor ?? yarnAttentionFactor(scaling.factor)
      }
    case 'longrope':
      return {
        inverseFrequencies: Float32Array.from(powers, (power, index) => 1 / ((scaling.shortFactor[index] ?? 1) * power)),
        attentionFactor: scaling.attentionFactor ?? longropeAttentionFactor(scaling)
      }
  }
}

/**
 * The longest context in which one table of angles serves every step. `dynamic` and `longrope` turn *all* positions anew
 * once a sequence passes the trained length; keys that are cached already cannot follow, so the context ends there.
 */
export function usableContext(maxPositions: number, scaling: RopeScaling): number {
  if (scaling.kind === 'dynamic' || scaling.kind === 'longrope') return Math.min(maxPositions, scaling.originalContextTokens)
  return maxPositions
}

/**
 * Rows `[from, to)` of the cosines or the sines, f32 `[to - from, headDim/2]`.
 */
export function ropeRows(frequencies: RopeFrequencies, part: 'cos' | 'sin', from: number, to: number): Float32Array<ArrayBuffer> {
  const { inverseFrequencies, attentionFactor } = frequencies
  const half = inverseFrequencies.length
  const rows = new Float32Array((to - from) * half)
  const turn = part === 'cos' ? Math.cos : Math.sin
  for (let position = from, at = 0; position < to; position++) {
    for (let index = 0; index < half; index++, at++) {
      const angle = Math.fround(position * (inverseFrequencies[index] as number))
      rows[at] = Math.fround(turn(angle)) * attentionFactor
    }
  }
  return rows
}

/** Llama 3.1: long waves are slowed down by `factor`, short ones left alone, those between are blended. */
function llama3Frequency(frequency: number, scaling: RopeScaling & { kind: 'llama3' }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalContextTokens } = scaling
  const waveLength = (2 * Math.PI) / frequency
  if (waveLength < originalContextTokens / highFreqFactor) return frequency
  if (waveLength > originalContextTokens / lowFreqFactor) return frequency / factor
  const smooth = (originalContextTokens / waveLength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

/** YaRN, arXiv 2309.00071: interpolates slow dimensions, extrapolates fast ones, with a linear ramp between. */
function yarnFrequencies(powers: readonly number[], config: RopeConfig, scaling: RopeScaling & { kind: 'yarn' }): Float32Array {
  const { headDim, ropeTheta } = config
  const correction = (rotations: number) =>
    (headDim * Math.log(scaling.originalContextTokens / (rotations * 2 * Math.PI))) / (2 * Math.log(ropeTheta))
  const truncate = scaling.truncate ?? true
  const lowest = correction(scaling.betaFast)
  const highest = correction(scaling.betaSlow)
  const low = Math.max(truncate ? Math.floor(lowest) : lowest, 0)
  let high = Math.min(truncate ? Math.ceil(highest) : highest, headDim - 1)
  if (low === high) high += 0.001 // as the reference does, against a division by zero
  return Float32Array.from(powers, (power, index) => {
    const ramp = Math.min(Math.max((index - low) / (high - low), 0), 1)
    return (1 / (scaling.factor * power)) * ramp + (1 / power) * (1 - ramp)
  })
}

function yarnAttentionFactor(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1
}

function longropeAttentionFactor(scaling: RopeScaling & { kind: 'longrope' }): number {
  const factor = scaling.factor ?? 1
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(scaling.originalContextTokens))
}
