import type { BlockRange } from '@skein/protocol'
import { InvalidArgumentError } from '@skein/protocol'
import type { ChosenStage } from './chain-events.ts'

/** @throws InvalidArgumentError unless the stages cover the span in order, once, by different peers */
export function requireCover(stages: readonly ChosenStage[], span: BlockRange): void {
  let block = span.start
  for (const stage of stages) {
    if (stage.span.start !== block || stage.span.end <= block) break
    block = stage.span.end
  }
  const peers = new Set(stages.map((stage) => stage.peer))
  if (block === span.end && peers.size === stages.length) return
  throw new InvalidArgumentError(`the chosen stages do not cover blocks ${span.start}:${span.end} in order, once, by different peers`)
}

interface StepBounds {
  readonly presentRows: number
  readonly maxStepRows: number
  readonly kvTokens: number
}

/** @throws InvalidArgumentError unless a step may be sent */
export function requireStep(position: number, rows: number, bounds: StepBounds): void {
  const { presentRows, maxStepRows, kvTokens } = bounds
  if (!(rows >= 1 && rows <= maxStepRows)) throw new InvalidArgumentError(`a step has ${rows} rows: 1 to ${maxStepRows} can be sent`)
  if (!(position >= 0 && position <= presentRows)) {
    throw new InvalidArgumentError(`a step is for row ${position}, and the session has ${presentRows}`)
  }
  if (position + rows > kvTokens) throw new InvalidArgumentError(`a step ends at row ${position + rows}, and ${kvTokens} are reserved`)
}
