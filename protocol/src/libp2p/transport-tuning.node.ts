/**
 * What libp2p's transport layers do for every message that small messages need not pay: a frame of a decode step is 4 KiB,
 * and each socket write and each wake-up of the other process costs more than sealing it. The wire format stays as it is.
 * Where a library changes inside, the guards here leave it alone, and `transport-tuning.node.test.ts` says so.
 *
 * @packageDocumentation
 */
import type { Stream } from '@libp2p/interface'

/** A byte stream as the layers of libp2p hand it to each other; `Bytes` is one array or a list of them. */
interface Sink {
  send(data: Bytes): boolean
}

type Bytes = Uint8Array | { subarray(): Uint8Array }

/**
 * Joins the parts of a message before they are written. Noise hands over length, sealed text and tag one by one, and each
 * would be a write, a packet and a wake-up of its own. To copy them (64 KiB at most) costs less than one write.
 */
export function joinWrites(connection: Sink): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => send(data.subarray())
}

/** The decoder of noise's length prefix, as its stream holds it. */
interface PrefixDecoding {
  decoder: { lengthDecoder: (data: PrefixBytes) => number }
}

interface PrefixBytes {
  readonly byteLength: number
  get(index: number): number
}

/** Longer than a prefix that has not arrived whole, and not longer than noise allows: the decoder waits for more. */
const notYet = 0xffff

/** Noise's decoder ends every read with an exception, since it asks for the next length where no byte is left. */
export function decodeWithoutThrowing(secured: object): void {
  if (!isPrefixDecoding(secured)) return
  secured.decoder.lengthDecoder = (data) => (data.byteLength < 2 ? notYet : (data.get(0) << 8) | data.get(1))
}

function isPrefixDecoding(secured: object): secured is PrefixDecoding {
  const { decoder } = secured as Partial<PrefixDecoding>
  return typeof decoder?.lengthDecoder === 'function' && decoder.lengthDecoder.name === 'uint16BEDecode'
}

interface YamuxWindow {
  recvWindow: number
  recvWindowCapacity: number
  sendWindowUpdate(): void
}

/**
 * Grants more window only when an eighth of it is used up. Yamux would answer every data frame with an update, which is
 * sealed, written and read like any other message. Long frames still get theirs at once, so that the window grows as fast.
 *
 * @param stream - its protocol is agreed on, so that no flag of its opening waits for an update
 */
export function updateWindowLazily(stream: Stream): void {
  if (!isYamux(stream)) return
  const update = stream.sendWindowUpdate.bind(stream)
  stream.sendWindowUpdate = () => {
    if (stream.recvWindow - stream.recvWindowCapacity >= stream.recvWindow / 8) update()
  }
}

function isYamux(stream: object): stream is YamuxWindow {
  const { recvWindow, recvWindowCapacity, sendWindowUpdate } = stream as Partial<YamuxWindow>
  return typeof recvWindow === 'number' && typeof recvWindowCapacity === 'number' && typeof sendWindowUpdate === 'function'
}
