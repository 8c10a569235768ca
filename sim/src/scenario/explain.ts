import { didYouMean } from '@skein/protocol'
import type { FieldPath } from './problems.ts'
import { scenarioJsonSchema } from './schema.ts'

/** The parts of a JSON Schema that are read here. */
interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly prefixItems?: readonly Schema[]
  readonly additionalProperties?: Schema | boolean
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly $defs?: Readonly<Record<string, Schema>>
}

/** Made once: the schema is constant. */
let root: Schema | undefined

function rootSchema(): Schema {
  root ??= scenarioJsonSchema() as Schema
  return root
}

/** The schema behind a reference; a description beside the reference comes before the one behind it. */
function deref(schema: Schema): Schema {
  const name = schema.$ref?.replace('#/$defs/', '')
  const target = name === undefined ? undefined : rootSchema().$defs?.[name]
  return target === undefined ? schema : { ...target, ...schema, $ref: undefined }
}

/** Every schema that a value may be checked by: the branches of unions, without end. */
function branches(schema: Schema): Schema[] {
  const whole = deref(schema)
  const inner = [...(whole.anyOf ?? []), ...(whole.oneOf ?? []), ...(whole.allOf ?? [])]
  return inner.length === 0 ? [whole] : inner.flatMap(branches)
}

function step(schema: Schema, part: string | number): Schema[] {
  return branches(schema).flatMap((branch) => {
    if (typeof part === 'number' || (branch.type === 'array' && /^\d+$/.test(part))) {
      return branch.items === undefined ? (branch.prefixItems ?? []) : [branch.items]
    }
    const property = branch.properties !== undefined && Object.hasOwn(branch.properties, part) ? branch.properties[part] : undefined
    if (property !== undefined) return [property]
    // A list is passed through without a number: `nodes.count` is the count of each group.
    if (branch.type === 'array' && branch.items !== undefined) return step(branch.items, part)
    return typeof branch.additionalProperties === 'object' ? [branch.additionalProperties] : []
  })
}

function at(path: FieldPath): Schema[] {
  return path.reduce<Schema[]>((schemas, part) => schemas.flatMap((schema) => step(schema, part)), [rootSchema()])
}

/** The names of the fields that an object at this path may have; none if it is no object. */
export function childFields(path: FieldPath): string[] {
  const names = at(path)
    .flatMap(branches)
    .flatMap((branch) => (branch.type === 'array' && branch.items !== undefined ? branches(branch.items) : [branch]))
    .flatMap((branch) => Object.keys(branch.properties ?? {}))
  return [...new Set(names)]
}

/**
 * What a field means, in lines of text: its description, what it may hold, its default, and the fields in it.
 *
 * @param field - such as `nodes.churn`; empty for the whole scenario
 * @returns undefined when there is no such field; `suggestField` may know what was meant
 */
export function explainField(field: string): string[] | undefined {
  const path = field
    .replaceAll(/\[(\d*)\]/g, '.$1')
    .split('.')
    .filter((part) => part !== '')
  const found = at(path)
  if (found.length === 0) return undefined
  const first = deref(found[0] ?? {})
  const lines = [path.length === 0 ? 'A scenario has these fields:' : `${path.join('.')}: ${first.description ?? ''}`.trimEnd()]
  const facts = [...new Set(found.map(expected).filter((text) => text !== ''))]
  if (path.length > 0 && facts.length > 0) lines.push(`  holds: ${facts.join('; or ')}`)
  if (first.default !== undefined) lines.push(`  default: ${JSON.stringify(first.default)}`)
  for (const [kind, fields] of fieldsOf(found)) {
    if (kind !== '') lines.push(`  ${kind}`)
    const width = Math.max(...fields.map(([name]) => name.length))
    for (const [name, text] of fields) lines.push(`  ${kind === '' ? '' : '  '}${name.padEnd(width)}  ${text}`)
  }
  return lines
}

/** ` (did you mean churn?)` for a field that is not there, or nothing. */
export function suggestField(field: string): string {
  const parts = field.split('.')
  return didYouMean(parts.at(-1) ?? '', childFields(parts.slice(0, -1)))
}

/** The fields of each shape that an object may have, with what each is. */
function fieldsOf(schemas: readonly Schema[]): Array<[kind: string, fields: Array<[name: string, text: string]>]> {
  return schemas
    .flatMap(branches)
    .flatMap((branch) => (branch.type === 'array' && branch.items !== undefined ? branches(branch.items) : [branch]))
    .filter((branch) => branch.properties !== undefined)
    .map((branch) => {
      const properties = Object.entries(branch.properties ?? {})
      const kind = branch.properties?.['kind']
      const label = kind === undefined ? '' : `kind: ${String(kind.const)}${kind.description === undefined ? '' : ` (${kind.description})`}`
      const fields = properties
        .filter(([name]) => name !== 'kind')
        .map(([name, property]): [string, string] => [name, summary(property, branch.required?.includes(name) === true)])
      return [label, fields]
    })
}

function summary(schema: Schema, required: boolean): string {
  const whole = deref(schema)
  const text = whole.description ?? expected(whole)
  const fallback = whole.default === undefined || typeof whole.default === 'object' ? '' : ` [${String(whole.default)}]`
  return `${text}${fallback}${required ? ' (required)' : ''}`
}

/** What a value may be, in a few words. */
function expected(schema: Schema): string {
  const whole = deref(schema)
  if (schema.$ref !== undefined) return rootSchema().$defs?.[schema.$ref.replace('#/$defs/', '')]?.description ?? ''
  const inner = [...(whole.anyOf ?? []), ...(whole.oneOf ?? [])]
  if (inner.length > 0) return [...new Set(inner.map(expected).filter((text) => text !== ''))].join(', or ')
  if (whole.const !== undefined) return String(whole.const)
  if (whole.enum !== undefined) return whole.enum.map(String).join(' | ')
  if (whole.type === 'object') {
    const kind = whole.properties?.['kind']?.const
    return kind === undefined ? 'fields' : `fields of kind ${String(kind)}`
  }
  return (
    { array: 'a list', string: 'text', number: 'a number', integer: 'a whole number', boolean: 'true or false' }[whole.type ?? ''] ?? ''
  )
}
