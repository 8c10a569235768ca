import type { Problem, RowMap, StepMessage } from '@skein/protocol'
import { limits, WireErrorCode } from '@skein/protocol'

export interface StepLimits {
  /** Rows that the session has reserved. */
  readonly kvTokens: number
  readonly maxStepRows: number
  readonly bytesPerRow: number
}

export function stepRows(step: StepMessage): number {
  return step.runs.reduce((sum, run) => sum + run.rows, 0)
}

/**
 * Whether a step follows what was taken before: `map` and `lastSeq` are the state after the last step that was taken.
 * `duplicate` means that all of it was.
 */
export function checkStep(
  step: StepMessage,
  bodyBytes: number,
  map: RowMap,
  lastSeq: number,
  bounds: StepLimits
): Problem | 'duplicate' | undefined {
  const shape = checkShape(step, bodyBytes, bounds)
  if (shape !== undefined) return shape
  if (step.to <= lastSeq) return 'duplicate'
  const order = (message: string): Problem => ({ code: WireErrorCode.OutOfOrder, message })
  if (step.from !== lastSeq + 1) return order(`a step of seqs ${step.from} to ${step.to} came after seq ${lastSeq}`)
  if (step.runs.length === 0) return undefined
  if (step.position > map.rows) return order(`a step is for row ${step.position}, and there are only ${map.rows}`)
  const after = map.seqAt(step.position - 1)
  if (step.after !== after) return order(`a step follows seq ${step.after} at row ${step.position}, but that row is of seq ${after}`)
  return undefined
}

function checkShape(step: StepMessage, bodyBytes: number, bounds: StepLimits): Problem | undefined {
  const bad = (message: string): Problem => ({ code: WireErrorCode.Malformed, message })
  if (!(step.from >= 1) || step.to < step.from) return bad(`a step goes from seq ${step.from} to ${step.to}`)
  if (step.runs.length > limits.maxStepRuns) return bad(`a step has ${step.runs.length} runs`)
  let before = step.from - 1
  for (const run of step.runs) {
    if (run.seq <= before || run.seq > step.to || !(run.rows >= 1)) return bad(`a step has a run of ${run.rows} rows of seq ${run.seq}`)
    before = run.seq
  }
  const rows = stepRows(step)
  if (bodyBytes !== rows * bounds.bytesPerRow) return bad(`a step of ${rows} rows has ${bodyBytes} bytes`)
  if (rows > bounds.maxStepRows)
    return { code: WireErrorCode.TooLarge, message: `a step has ${rows} rows, at most ${bounds.maxStepRows} are taken` }
  if (rows === 0) return undefined
  if (!(step.position >= 0)) return bad(`a step is for row ${step.position}`)
  if (step.position + rows > bounds.kvTokens) {
    return { code: WireErrorCode.TooLong, message: `a step ends at row ${step.position + rows}, and ${bounds.kvTokens} are reserved` }
  }
  return undefined
}
