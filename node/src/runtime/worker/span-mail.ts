/**
 * Turns and their results on paper: see `mailbox.ts`. Turns of a few rows are written in numbers; everything else about a span is rare.
 *
 * @packageDocumentation
 */
import type { TensorEncoding } from '@skein/protocol'
import type { TurnEntry, TurnOutput } from '../span-runtime.ts'
import type { MailCodecs, Paper, PaperCodec } from './mailbox.ts'
import type { Reply, SpanAnswer, SpanRequest } from './messages.ts'

const encodings: readonly TensorEncoding[] = ['f32', 'f16', 'bf16', 'raw']
/** Numbers of a turn before those of its entries, and of each entry. */
const turnNumbers = 3
const entryNumbers = 8
/** Numbers of an answer before the sizes of its outputs. */
const answerNumbers = 3
/** Rows begin at a multiple of it, so that f32 can be read where it lies. */
const alignment = 8

const align = (offset: number): number => Math.ceil(offset / alignment) * alignment

const requestCodec: PaperCodec<SpanRequest> = {
  write(request, paper) {
    if (request.kind !== 'run') return false
    const { entries } = request
    if (turnNumbers + entryNumbers * entries.length > paper.numbers.length) return false
    paper.numbers[0] = request.turn
    paper.numbers[1] = request.cancelled ? 1 : 0
    paper.numbers[2] = entries.length
    let offset = 0
    for (let index = 0; index < entries.length; index++) {
      offset = writeEntry(entries[index] as TurnEntry, paper, turnNumbers + entryNumbers * index, offset)
      if (offset < 0) return false
    }
    return true
  },

  read(paper) {
    const { numbers } = paper
    const entries: TurnEntry[] = []
    let offset = 0
    for (let index = 0; index < (numbers[2] as number); index++) {
      const at = turnNumbers + entryNumbers * index
      const keyLength = numbers[at + 6] as number
      const inputAt = align(offset + keyLength)
      const end = inputAt + (numbers[at + 7] as number)
      entries.push({
        cache: readText(paper.bytes, offset, keyLength),
        position: numbers[at] as number,
        rows: numbers[at + 1] as number,
        span: { start: numbers[at + 2] as number, end: numbers[at + 3] as number },
        exact: numbers[at + 4] === 1,
        encoding: encodings[numbers[at + 5] as number] as TensorEncoding,
        // A copy: in f32 the rows become the results in place, and those may go as a message while the next turn is written here.
        input: paper.bytes.slice(inputAt, end)
      })
      offset = align(end)
    }
    return { kind: 'run', turn: numbers[0] as number, cancelled: numbers[1] === 1, entries }
  }
}

/** @returns where the next entry begins, or -1 when there is no room for this one */
function writeEntry({ cache, position, rows, span, exact, encoding, input }: TurnEntry, paper: Paper, at: number, offset: number): number {
  const { numbers, bytes } = paper
  const inputAt = align(offset + cache.length)
  const end = inputAt + input.byteLength
  if (end > bytes.length || !writeText(cache, bytes, offset)) return -1
  bytes.set(input, inputAt)
  numbers[at] = position
  numbers[at + 1] = rows
  numbers[at + 2] = span.start
  numbers[at + 3] = span.end
  numbers[at + 4] = exact ? 1 : 0
  numbers[at + 5] = encodings.indexOf(encoding)
  numbers[at + 6] = cache.length
  numbers[at + 7] = input.byteLength
  return align(end)
}

const replyCodec: PaperCodec<Reply<SpanAnswer>> = {
  write(reply, { numbers, bytes }) {
    if (!reply.ok || reply.value.result === undefined) return false
    const { outputs, computeUs } = reply.value.result
    if (answerNumbers + outputs.length > numbers.length) return false
    numbers[0] = reply.value.freeKvTokens
    numbers[1] = computeUs
    numbers[2] = outputs.length
    let offset = 0
    for (let index = 0; index < outputs.length; index++) {
      const output = outputs[index] as TurnOutput
      // Why there is no output is text, and rare.
      if (!output.ok || offset + output.output.byteLength > bytes.length) return false
      bytes.set(output.output, offset)
      numbers[answerNumbers + index] = output.output.byteLength
      offset = align(offset + output.output.byteLength)
    }
    return true
  },

  read({ numbers, bytes }) {
    const outputs: TurnOutput[] = []
    let offset = 0
    for (let index = 0; index < (numbers[2] as number); index++) {
      const end = offset + (numbers[answerNumbers + index] as number)
      outputs.push({ ok: true, output: bytes.slice(offset, end) })
      offset = align(end)
    }
    return { ok: true, value: { freeKvTokens: numbers[0] as number, result: { outputs, computeUs: numbers[1] as number } } }
  }
}

export const spanCodecs: MailCodecs<SpanRequest, SpanAnswer> = { request: requestCodec, reply: replyCodec }

/** Writes the characters of a cache's name, a byte each. @returns false when one does not fit into a byte */
function writeText(text: string, bytes: Uint8Array, offset: number): boolean {
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index)
    if (character > 0xff) return false
    bytes[offset + index] = character
  }
  return true
}

function readText(bytes: Uint8Array, offset: number, length: number): string {
  let text = ''
  for (let index = 0; index < length; index++) text += String.fromCharCode(bytes[offset + index] as number)
  return text
}
