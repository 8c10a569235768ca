/**
 * Puts an ONNX `ModelProto` together: inputs, outputs, initializers (small ones inside the message, large ones in external
 * data files) and nodes. The helpers in `operators.ts` give each operator a typed form.
 *
 * @packageDocumentation
 */
import { create, toBinary } from '@bufbuild/protobuf'
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType as AttributeType,
  type AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type TensorProtoSchema,
  type ValueInfoProtoSchema
} from './generated/onnx_pb.ts'

/** ONNX element types that the graphs use. */
export type ElementType = 'f32' | 'i64' | 'i32' | 'u8'

/** A dimension: a number, or a name for one that is known at run time. */
export type Dimension = number | string

/** A value in the graph: an input, an initializer or a node's output. */
export interface Value {
  readonly name: string
}

/** A part of an external data file. */
export interface ExternalSlice {
  /** File name, in the folder that is handed to ORT. */
  readonly file: string
  readonly offset: number
  readonly byteLength: number
}

/** An attribute: an integer (`int`), a float, integers or text. Integers and floats are told apart because ONNX does. */
export type Attribute =
  { readonly int: number } | { readonly float: number } | { readonly ints: readonly number[] } | { readonly text: string }

export interface NodeOptions {
  /** The node's own name, within the present scope. Output names follow from it. */
  readonly name: string
  /** Operator domain; the ONNX domain when left out. */
  readonly domain?: 'com.microsoft'
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** Number of outputs. @default 1 */
  readonly outputs?: number
  /** Names of graph outputs that this node's outputs become; the rest are named after the node. An empty name drops one. */
  readonly outputNames?: readonly (string | undefined)[]
}

const elementTypes: Readonly<Record<ElementType, DataType>> = {
  f32: DataType.FLOAT,
  i64: DataType.INT64,
  i32: DataType.INT32,
  u8: DataType.UINT8
}

const elementBytes: Readonly<Record<ElementType, number>> = { f32: 4, i64: 8, i32: 4, u8: 1 }

/** IR 10 and opset 21 are what ONNX Runtime 1.30 reads without converting. */
const irVersion = 10n
const opsetVersion = 21n

/** A page: large external tensors begin on one, so that they can be mapped and released on their own. */
const pageBytes = 4096
/** Small ones are packed closer: norms and biases, aligned for vector loads. */
const smallAlignBytes = 64

/**
 * Builds one graph. Names of nodes are prefixed with the present scope (`block3/`), so that a profile of a run tells the
 * blocks apart.
 */
export class GraphBuilder {
  readonly #nodes: MessageInitShape<typeof NodeProtoSchema>[] = []
  readonly #initializers: MessageInitShape<typeof TensorProtoSchema>[] = []
  readonly #inputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = []
  readonly #outputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = []
  readonly #names = new Set<string>()
  readonly #fileEnds = new Map<string, number>()
  readonly #constants = new Map<string, Value>()
  #prefix = ''

  constructor(readonly name: string) {}

  /** Prefixes the names of all nodes and initializers that `body` adds. */
  scope<T>(name: string, body: () => T): T {
    const outer = this.#prefix
    this.#prefix = `${outer}${name}/`
    try {
      return body()
    } finally {
      this.#prefix = outer
    }
  }

  input(name: string, type: ElementType, shape: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, shape))
    return this.#claim(name)
  }

  /** Declares a graph output; a node must give one of its outputs this name. */
  output(name: string, type: ElementType, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(name, type, shape))
  }

  /** An int64 vector inside the message, such as a shape. The same vector is kept once. */
  int64s(values: readonly number[]): Value {
    const key = `int64s_${values.join('_')}`
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const data = new BigInt64Array(values.map(BigInt))
    const value = this.#claim(key)
    this.#initializers.push({
      name: key,
      dims: [BigInt(values.length)],
      dataType: DataType.INT64,
      rawData: new Uint8Array(data.buffer)
    })
    this.#constants.set(key, value)
    return value
  }

  /** A tensor of zeros inside the message: small ones only. The same shape is kept once. */
  zeros(shape: readonly number[]): Value {
    const key = `zeros_${shape.join('x')}`
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const count = shape.reduce((product, size) => product * size, 1)
    const value = this.#claim(key)
    this.#initializers.push({ name: key, dims: shape.map(BigInt), dataType: DataType.FLOAT, rawData: new Uint8Array(4 * count) })
    this.#constants.set(key, value)
    return value
  }

  /**
   * Reserves room for a tensor in an external data file. Tensors of a page or more begin on a page.
   *
   * @returns the value, and where in the file its bytes (little-endian, row-major) must be written
   */
  external(name: string, type: ElementType, shape: readonly number[], file: string): { value: Value; slice: ExternalSlice } {
    const byteLength = shape.reduce((product, size) => product * size, elementBytes[type])
    const align = byteLength >= pageBytes ? pageBytes : smallAlignBytes
    const offset = Math.ceil((this.#fileEnds.get(file) ?? 0) / align) * align
    this.#fileEnds.set(file, offset + byteLength)
    const fullName = this.#prefix + name
    const value = this.#claim(fullName)
    this.#initializers.push({
      name: fullName,
      dims: shape.map(BigInt),
      dataType: elementTypes[type],
      dataLocation: DataLocation.EXTERNAL,
      externalData: [
        { key: 'location', value: file },
        { key: 'offset', value: String(offset) },
        { key: 'length', value: String(byteLength) }
      ]
    })
    return { value, slice: { file, offset, byteLength } }
  }

  /** Bytes of an external data file so far: where its last tensor ends. */
  fileBytes(file: string): number {
    return this.#fileEnds.get(file) ?? 0
  }

  /** Adds a node; an undefined input is an optional one that is left out. @returns its outputs */
  node(operator: string, inputs: readonly (Value | undefined)[], options: NodeOptions): Value[] {
    const nodeName = this.#prefix + options.name
    const count = options.outputs ?? 1
    const outputs: Value[] = []
    for (let index = 0; index < count; index++) {
      const chosen = options.outputNames?.[index]
      if (chosen === '') outputs.push({ name: '' })
      else outputs.push(this.#claim(chosen ?? (count === 1 ? `${nodeName}_out` : `${nodeName}_out${index}`)))
    }
    const names = inputs.map((input) => input?.name ?? '')
    while (names.at(-1) === '') names.pop()
    this.#nodes.push({
      name: nodeName,
      opType: operator,
      domain: options.domain ?? '',
      input: names,
      output: outputs.map((value) => value.name),
      attribute: Object.entries(options.attributes ?? {}).map(([name, attribute]) => attributeInit(name, attribute))
    })
    return outputs
  }

  /** The serialized `ModelProto`. The same calls give the same bytes. */
  build(): Uint8Array {
    const model = create(ModelProtoSchema, {
      irVersion,
      producerName: 'skein',
      opsetImport: [
        { domain: '', version: opsetVersion },
        { domain: 'com.microsoft', version: 1n }
      ],
      graph: {
        name: this.name,
        node: this.#nodes,
        initializer: this.#initializers,
        input: this.#inputs,
        output: this.#outputs
      }
    })
    return toBinary(ModelProtoSchema, model)
  }

  #claim(name: string): Value {
    if (this.#names.has(name)) throw new Error(`graph ${this.name} has two values named ${name}`)
    this.#names.add(name)
    return { name }
  }
}

function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = shape.map((size) =>
    typeof size === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(size) } }
      : { value: { case: 'dimParam' as const, value: size } }
  )
  return { name, type: { value: { case: 'tensorType', value: { elemType: elementTypes[type], shape: { dim } } } } }
}

function attributeInit(name: string, attribute: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if ('int' in attribute) return { name, type: AttributeType.INT, i: BigInt(attribute.int) }
  if ('float' in attribute) return { name, type: AttributeType.FLOAT, f: attribute.float }
  if ('ints' in attribute) return { name, type: AttributeType.INTS, ints: attribute.ints.map(BigInt) }
  return { name, type: AttributeType.STRING, s: new TextEncoder().encode(attribute.text) }
}
