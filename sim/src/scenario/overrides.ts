import { describeError, didYouMean, InvalidArgumentError } from '@skein/protocol'
import { type Document, isAlias, isMap, isSeq, parse, type YAMLMap, type YAMLSeq } from 'yaml'
import { type FieldPath, formatPath, type Problem, ScenarioError } from './problems.ts'

/** A field that is replaced: its path, such as `nodes.homes.count`, and a YAML value. */
export interface Override {
  readonly path: string
  readonly value: unknown
  /** Where errors say that it comes from, such as `--set nodes.homes.count=4`. @default an override */
  readonly from?: string
}

/** An override that stands in the document itself. */
interface OwnOverride extends Override {
  readonly at: FieldPath
}

/** What came into the document by an override. */
export interface Replaced {
  /** The field that was replaced; of one that was made, the outermost field that was not there before. */
  readonly root: FieldPath
  readonly from: string
  /** Where the override stands, if it does so in the document itself. */
  readonly at: FieldPath | undefined
}

/**
 * Replaces fields in the document, and makes those that are not there.
 *
 * @param fail - takes a path that leads nowhere
 */
export function applyOverrides(
  document: Document.Parsed,
  overrides: ReadonlyArray<Override | OwnOverride>,
  fail: (problem: Problem) => never
): Replaced[] {
  return overrides.map((override) => {
    const at = 'at' in override ? override.at : undefined
    const refuse = (message: string): never =>
      fail({ path: at ?? [], message: `there is no field ${override.path} to replace: ${message}` })
    const path = resolvePath(document, override.path, refuse)
    const depth = path.findIndex((_, index) => !document.hasIn(path.slice(0, index + 1)))
    document.setIn(path, document.createNode(override.value))
    return { root: depth < 0 ? path : path.slice(0, depth + 1), from: override.from ?? 'an override', at }
  })
}

/** The override that a problem's field came from, if one did: the last. */
export function overrideOf({ path }: Problem, replaced: readonly Replaced[]): Replaced | undefined {
  return replaced.findLast(({ root }) => root.every((part, index) => part === path[index]))
}

/** What the scenario's small variant replaces. @throws ScenarioError if it has none */
export function ciOverrides(document: Document.Parsed, file: string): OwnOverride[] {
  const ci = document.toJS({ maxAliasCount: 100 }) as { ci?: { set?: unknown; expect?: unknown } }
  if (ci.ci === undefined) throw new ScenarioError(file, [{ path: [], message: 'it has no ci section, so it has no small variant' }])
  const { set = {}, expect } = ci.ci
  const fields = typeof set === 'object' && set !== null ? Object.entries(set) : []
  return [
    ...fields.map(([path, value]) => ({ path, value: value as unknown, from: 'the ci section', at: ['ci', 'set', path] })),
    ...(expect === undefined ? [] : [{ path: 'expect', value: expect, from: 'the ci section', at: ['ci', 'expect'] }])
  ]
}

/** The path of `nodes[0].count`, `nodes.0.count` or `nodes.homes.count`: items of lists by number or by name. */
function resolvePath(document: Document.Parsed, text: string, fail: (message: string) => never): Array<string | number> {
  const parts = text.replaceAll(/\[(\d+)\]/g, '.$1').split('.')
  const path: Array<string | number> = []
  for (const part of parts) {
    const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true)
    if (isSeq(parent)) path.push(itemOf(parent, part) ?? fail(describeItems(parent, part, formatPath(path))))
    else if (parent === undefined || isMap(parent)) path.push(part)
    else if (isAlias(parent)) fail(`${formatPath(path)} is the alias *${parent.source}, which can only be replaced as a whole`)
    else fail(`${formatPath(path)} is ${JSON.stringify(document.getIn(path))}, which has no fields`)
  }
  return path
}

/** The number of an item of a list that is called by its number or its name, if there is one. */
function itemOf({ items }: YAMLSeq, part: string): number | undefined {
  const named = items.findIndex((item) => isMap(item) && item.get('name') === part)
  if (named >= 0) return named
  return /^\d+$/.test(part) && Number(part) < items.length ? Number(part) : undefined
}

/** Which items there are, for who asked for another. */
function describeItems({ items }: YAMLSeq, part: string, list: string): string {
  const names = items.filter((item): item is YAMLMap => isMap(item)).flatMap((item) => [item.get('name')])
  const texts = names.filter((name) => typeof name === 'string')
  const isGroup = list === 'nodes' || list === 'clients'
  const missing = `no ${isGroup ? 'group' : 'item'} '${part}' in ${list}`
  if (items.length === 0) return `${missing}: it is empty`
  if (texts.length === items.length) {
    return `${missing}: there ${texts.length === 1 ? 'is' : 'are'} ${texts.join(', ')}${didYouMean(part, texts)}`
  }
  return `${missing}: its items are numbered from 0 to ${items.length - 1}`
}

/**
 * `field=value`, as `--set` gives it; the value is YAML.
 *
 * @throws InvalidArgumentError if it has no `=`, or its value is no YAML
 */
export function parseOverride(text: string): Override {
  const { field, value } = splitOverride(text)
  try {
    return { path: field, value: parse(value) as unknown, from: `--set ${text}` }
  } catch (error) {
    throw new InvalidArgumentError(`the value of ${field} is not YAML: ${describeError(error)}`, { cause: error })
  }
}

/** The two sides of `field=value`. @throws InvalidArgumentError if it has no `=` */
export function splitOverride(text: string): { field: string; value: string } {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError(`expected FIELD=VALUE, such as nodes.0.count=10, found '${text}'`)
  return { field: text.slice(0, at).trim(), value: text.slice(at + 1) }
}
