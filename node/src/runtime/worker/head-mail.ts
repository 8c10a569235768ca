/**
 * Rows for the LM head, and logits, on paper: see `mailbox.ts`.
 *
 * @packageDocumentation
 */
import type { MailCodecs, Paper, PaperCodec } from './mailbox.ts'
import type { HeadRequest, Reply } from './messages.ts'

const requestCodec: PaperCodec<HeadRequest> = {
  write: (request, paper) => request.kind === 'run' && writeFloats(request.hidden, paper),
  read: (paper) => ({ kind: 'run', hidden: readFloats(paper) })
}

/** Logits of a large vocabulary do not fit, and are handed over. */
const replyCodec: PaperCodec<Reply<Float32Array | undefined>> = {
  write: (reply, paper) => reply.ok && reply.value !== undefined && writeFloats(reply.value, paper),
  read: (paper) => ({ ok: true, value: readFloats(paper).slice() })
}

export const headCodecs: MailCodecs<HeadRequest, Float32Array | undefined> = { request: requestCodec, reply: replyCodec }

function writeFloats(values: Float32Array, { numbers, bytes }: Paper): boolean {
  if (values.byteLength > bytes.length) return false
  numbers[0] = values.length
  new Float32Array(bytes.buffer, bytes.byteOffset, values.length).set(values)
  return true
}

/** A view of the paper. */
function readFloats({ numbers, bytes }: Paper): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, numbers[0])
}
