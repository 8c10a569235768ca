import { ortApi, outPointer } from './api.ts'
import type { Handle } from './api.ts'
import type { OrtEnvironment } from './environment.ts'
import type { NativeMemory } from './memory.ts'

/** Element types of `ONNXTensorElementDataType` that skein uses, with their sizes. */
const elementTypes = { f32: [1, 4], u8: [2, 1], i32: [6, 4], i64: [7, 8], f16: [10, 2] } as const

export type ElementType = keyof typeof elementTypes

/** An `OrtValue` that stands on memory of ours: inputs are read from it and outputs written to it, without a copy. */
export class OrtTensor {
  readonly handle: Handle
  // Held so that the memory outlives the value.
  readonly #memory: NativeMemory
  #released = false

  /**
   * @param byteOffset - where the tensor begins in `memory`
   * @throws OrtError
   */
  constructor(environment: OrtEnvironment, memory: NativeMemory, type: ElementType, shape: readonly number[], byteOffset = 0) {
    const [code, elementBytes] = elementTypes[type]
    const byteLength = shape.reduce((product, n) => product * n, elementBytes)
    if (byteOffset < 0 || byteOffset + byteLength > memory.byteLength) {
      throw new RangeError(`a tensor of ${byteLength} bytes at ${byteOffset} does not fit into ${memory.byteLength} bytes`)
    }
    const dims = BigInt64Array.from(shape, BigInt)
    this.#memory = memory
    this.handle = outPointer((place) =>
      ortApi().CreateTensorWithDataAsOrtValue(
        environment.memoryInfo,
        this.#memory.address + BigInt(byteOffset),
        byteLength,
        dims,
        dims.length,
        code,
        place
      )
    )
  }

  /** Idempotent; the memory stays. */
  release(): void {
    if (this.#released) return
    this.#released = true
    ortApi().ReleaseValue(this.handle)
  }
}
