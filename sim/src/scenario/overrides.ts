import { describeError, InvalidArgumentError } from '@skein/protocol'
import { type Document, isAlias, isMap, isSeq, parse, type YAMLMap, type YAMLSeq } from 'yaml'
import { didYouMean, formatPath, ScenarioError } from './problems.ts'

/** A field that is replaced: its path, such as `nodes.homes.count`, and a YAML value. */
export interface Override {
  readonly path: string
  readonly value: unknown
}

/**
 * Replaces fields in the document, and makes those that are not there.
 *
 * @param file how errors call the document
 * @returns the paths that were replaced
 * @throws ScenarioError for a path that leads nowhere
 */
export function applyOverrides(document: Document.Parsed, overrides: readonly Override[], file: string): string[] {
  return overrides.map(({ path, value }) => {
    const resolved = resolvePath(document, path, file)
    document.setIn(resolved, document.createNode(value))
    return formatPath(resolved)
  })
}

/** What the scenario's small variant replaces. @throws ScenarioError if it has none */
export function ciOverrides(document: Document.Parsed, file: string): Override[] {
  const ci = document.toJS({ maxAliasCount: 100 }) as { ci?: { set?: unknown; expect?: unknown } }
  if (ci.ci === undefined) throw new ScenarioError(file, [{ path: [], message: 'it has no ci section, so it has no small variant' }])
  const { set = {}, expect } = ci.ci
  const fields = typeof set === 'object' && set !== null ? Object.entries(set) : []
  return [
    ...fields.map(([path, value]) => ({ path, value: value as unknown })),
    ...(expect === undefined ? [] : [{ path: 'expect', value: expect }])
  ]
}

/** The path of `nodes[0].count`, `nodes.0.count` or `nodes.homes.count`: items of lists by number or by name. */
function resolvePath(document: Document.Parsed, text: string, file: string): Array<string | number> {
  const parts = text.replaceAll(/\[(\d+)\]/g, '.$1').split('.')
  const path: Array<string | number> = []
  for (const part of parts) {
    const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true)
    const fail = (message: string): never => {
      throw new ScenarioError(file, [{ path: [], message: `there is no field ${text} to replace: ${message}` }])
    }
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
 * `field=value`, as flags give it; the value is YAML.
 *
 * @throws InvalidArgumentError if it has no `=`, or its value is no YAML
 */
export function parseOverride(text: string): Override {
  const { field, value } = splitOverride(text)
  try {
    return { path: field, value: parse(value) as unknown }
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
