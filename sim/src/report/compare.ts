import { type FigureMeaning, figureMeanings, type FigureName, figureNames, type Figures } from './figures.ts'

/** A figure of two runs. */
export interface ComparedFigure {
  readonly figure: FigureName
  readonly a: number | undefined
  readonly b: number | undefined
  /** `b - a` over `a`; undefined where either is missing or `a` is zero. */
  readonly relativeDifference: number | undefined
  /** Whether `b` is better; undefined where it is the same, or where neither way is better. */
  readonly better: boolean | undefined
}

/** The figures of two runs beside each other, in the order of reports. */
export function compareFigures(a: Figures, b: Figures): ComparedFigure[] {
  return figureNames.map((figure) => {
    const [left, right] = [a[figure], b[figure]]
    const both = left !== undefined && right !== undefined
    const { better }: FigureMeaning = figureMeanings[figure]
    return {
      figure,
      a: left,
      b: right,
      relativeDifference: both && left !== 0 ? (right - left) / Math.abs(left) : undefined,
      better: !both || left === right || better === undefined ? undefined : right > left === (better === 'more')
    }
  })
}

/** The mean of each figure over several runs; of the runs that have it. */
export function meanFigures(runs: readonly Figures[]): Figures {
  const mean = (name: FigureName): number | undefined => {
    const values = runs.map((run) => run[name]).filter((value) => value !== undefined)
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
  }
  return Object.fromEntries(figureNames.map((name) => [name, mean(name)])) as Figures
}
