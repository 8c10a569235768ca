import { type Document, isMap, isScalar, type LineCounter, parseDocument } from 'yaml'
import { type FieldPath, type LocatedProblem, type Problem, ScenarioError } from './problems.ts'

/** Larger files are no scenarios, and no parts of them. */
const maxChars = 1_000_000

/**
 * Parses a file that must hold a mapping.
 *
 * @param expected - what of, for the error
 * @throws ScenarioError with the place of what is no YAML
 */
export function parseMapping(text: string, lines: LineCounter, file: string, expected: string): Document.Parsed {
  if (text.length > maxChars) throw new ScenarioError(file, [{ path: [], message: `larger than ${maxChars} characters` }])
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new ScenarioError(file, [{ path: [], line, column: col, message: `not YAML: ${error.message}` }])
  }
  if (!isMap(document.contents)) {
    throw new ScenarioError(file, [{ path: [], line: 1, column: 1, message: `expected ${expected}` }])
  }
  return document
}

/** The document as plain data. @throws ScenarioError for aliases that would never end */
export function toPlain(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw new ScenarioError(file, [{ path: [], message: error instanceof Error ? error.message : String(error) }])
  }
}

/** The problem with the place of its field, or of the nearest field around it that is in the file. */
export function placeOf(problem: Problem, document: Document.Parsed, lines: LineCounter): LocatedProblem {
  for (let length = problem.path.length; length >= 0; length--) {
    const offset = offsetOf(document, problem.path.slice(0, length), length === problem.path.length && problem.aboutName !== true)
    if (offset === undefined) continue
    const { line, col } = lines.linePos(offset)
    return { ...problem, line, column: col }
  }
  return problem
}

function offsetOf(document: Document.Parsed, path: FieldPath, exact: boolean): number | undefined {
  const parent = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true)
  const last = path.at(-1)
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => String(key) === String(last))
    // A plain value where it stands; of a list or a mapping, and of what should have had a field, the key.
    const node = (exact && isScalar(pair?.value) ? pair.value : pair?.key) as { range?: readonly number[] } | undefined
    return node?.range?.[0] ?? (pair?.key as { range?: readonly number[] } | undefined)?.range?.[0]
  }
  const node = document.getIn(path, true) as { range?: readonly number[] | null } | undefined
  return node?.range?.[0]
}
