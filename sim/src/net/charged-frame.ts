import type { Attachment, Frame } from '@skein/protocol'
import { BytePool } from '../kernel/byte-pool.ts'

/** Heads are gone once they are decoded; bodies may be kept for as long as a session. */
const heads = new BytePool()
const bodies = new BytePool()

/** A body that counts for more on the network than it has bytes: a row of a modelled model stands for one of the real one. */
export class ChargedBody implements Attachment {
  readonly chargedBytes: number
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, chargedBytes: number) {
    this.chargedBytes = chargedBytes
    this.#bytes = bytes
  }

  get byteLength(): number {
    return this.#bytes.byteLength
  }

  read(): Uint8Array {
    return this.#bytes
  }
}

/** A body whose bytes are its own, of the size that the sender has stated. */
class CopiedBody implements Attachment {
  readonly byteLength: number
  readonly #bytes: Uint8Array

  constructor(body: Attachment) {
    this.byteLength = body.byteLength
    this.#bytes = bodies.copy(body.read())
  }

  read(): Uint8Array {
    return this.#bytes
  }
}

/** What a frame's body counts for; 0 without one. */
export function chargedBytes(body: Attachment | undefined): number {
  if (body === undefined) return 0
  return body instanceof ChargedBody ? body.chargedBytes : body.byteLength
}

/** A frame that shares no memory with the sender's. */
export function copyFrame({ head, body }: Frame): Frame {
  if (body === undefined || body.byteLength === 0) return { head: heads.copy(head), body: undefined }
  const copy = body instanceof ChargedBody ? new ChargedBody(bodies.copy(body.read()), body.chargedBytes) : new CopiedBody(body)
  return { head: heads.copy(head), body: copy }
}
