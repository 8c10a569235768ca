/**
 * What normal mode promises: the reference's tokens wherever its two best logits differ by more than ten times the error.
 *
 * @packageDocumentation
 */

export interface LogitsError {
  /** The largest difference of two logits. */
  readonly absolute: number
  /** The same as a part of the range of the expected logits. */
  readonly relative: number
}

/** NaN counts as an infinite error. */
export function largestError(found: readonly Float32Array[], expected: readonly Float32Array[]): LogitsError {
  let absolute = 0
  let low = Infinity
  let high = -Infinity
  for (const [index, wanted] of expected.entries()) {
    const logits = found[index]
    if (logits?.length !== wanted.length) throw new Error(`${logits?.length} logits instead of ${wanted.length}`)
    for (const [at, value] of wanted.entries()) {
      const difference = Math.abs((logits[at] as number) - value)
      absolute = Math.max(absolute, Number.isNaN(difference) ? Infinity : difference)
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
  }
  return { absolute, relative: absolute / (high - low) }
}

/** The place of the largest logit of one row, and how far it is ahead of the next. */
export function best(row: Float32Array): { readonly token: number; readonly margin: number } {
  let token = 0
  let first = -Infinity
  let second = -Infinity
  for (const [index, value] of row.entries()) {
    if (value > first) {
      second = first
      first = value
      token = index
    } else if (value > second) second = value
  }
  return { token, margin: first - second }
}

export interface TokenComparison {
  readonly positions: number
  /** The share of positions whose expected margin is above the threshold. */
  readonly clear: number
  /** Of those, how many have another token. */
  readonly wrong: number
  /** Positions with another token and a margin below the threshold, which is allowed. */
  readonly unclearAndDifferent: number
}

/** Compares the best tokens of logits `[rows, vocabSize]`, row by row. */
export function compareTokens(
  found: readonly Float32Array[],
  expected: readonly Float32Array[],
  vocabSize: number,
  threshold: number
): TokenComparison {
  let positions = 0
  let clear = 0
  let wrong = 0
  let unclearAndDifferent = 0
  for (const [index, wanted] of expected.entries()) {
    for (let start = 0; start < wanted.length; start += vocabSize) {
      const { token, margin } = best(wanted.subarray(start, start + vocabSize))
      const same = best((found[index] as Float32Array).subarray(start, start + vocabSize)).token === token
      positions++
      if (margin > threshold) clear++
      if (!same && margin > threshold) wrong++
      if (!same && !(margin > threshold)) unclearAndDifferent++
    }
  }
  return { positions, clear: clear / positions, wrong, unclearAndDifferent }
}
