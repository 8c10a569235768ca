/**
 * How a thread hands another one small things quickly. A message between threads is serialised, queued and read by the other
 * thread's event loop, and where every cache is cold that takes longer than a hop's ciphers and sockets: 420 us there and
 * back. Numbers and bytes in memory that both share, and a bell on which the other thread sleeps, take 200.
 *
 * What does not fit, or is rare, goes as a message; the bell rings for it all the same, so that everything keeps its order.
 *
 * @packageDocumentation
 */
import { receiveMessageOnPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import type { Reply } from './messages.ts'

/** Numbers of one letter. */
const numberCount = 512
/** Bytes of one letter. Those of a larger one are handed over and not copied. Pages that nobody touches take no memory. */
const byteCount = 256 * 2 ** 10

const headerBytes = 64
/** Cells of the header: how often the bell has rung, and whether the last letter is a message on the port. */
const rung = 0
const onPort = 1

/** The memory of one direction. */
export function makeMailMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + 8 * numberCount + byteCount)
}

/** Where a letter is written; it stays as it is until the next one in the same direction. */
export interface Paper {
  readonly numbers: Float64Array
  readonly bytes: Uint8Array
}

/** How letters of one kind are put on paper. */
export interface PaperCodec<T> {
  /** @returns whether it fits; what is on the paper does not count otherwise */
  write(letter: T, paper: Paper): boolean
  /** What it returns may be a view of the paper. */
  read(paper: Paper): T
}

/** Everything goes as a message. */
const messagesOnly: PaperCodec<never> = {
  write: () => false,
  read: () => {
    throw new Error('no letter was written on paper')
  }
}

/** How requests and replies are put on paper; the other end of the worker says the same. */
export interface MailCodecs<Request, Value> {
  readonly request: PaperCodec<Request>
  readonly reply: PaperCodec<Reply<Value>>
}

/** Of workers whose requests are rare or large. */
export const messageCodecs: MailCodecs<never, never> = { request: messagesOnly, reply: messagesOnly }

/** One direction, as one of its ends sees it. The sender waits for an answer before it sends again. */
export class MailLine<T> {
  readonly #cells: Int32Array
  readonly #paper: Paper
  #taken = 0

  /** @param port - this end's port; messages of both directions pass through it */
  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly codec: PaperCodec<T>
  ) {
    this.#cells = new Int32Array(memory, 0, headerBytes / 4)
    this.#paper = {
      numbers: new Float64Array(memory, headerBytes, numberCount),
      bytes: new Uint8Array(memory, headerBytes + 8 * numberCount, byteCount)
    }
  }

  /** @param transfer - buffers that a message hands over; a letter on paper leaves them alone */
  send(letter: T, transfer?: readonly ArrayBuffer[]): void {
    if (this.codec.write(letter, this.#paper)) this.#ring(0)
    else this.sendMessage(letter, transfer)
  }

  /** As a message, whatever it is. */
  sendMessage(letter: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.port.postMessage(letter, transfer)
    this.#ring(1)
  }

  /** Waits for the next letter, and lets the thread do nothing else meanwhile. */
  receive(): T {
    Atomics.wait(this.#cells, rung, this.#taken)
    return this.#take()
  }

  /** Waits for the next letter. Never settles when none comes, and keeps no process alive. */
  receiveAsync(): Promise<T> {
    const bell = Atomics.waitAsync(this.#cells, rung, this.#taken)
    return bell.async ? bell.value.then(() => this.#take()) : Promise.resolve().then(() => this.#take())
  }

  #ring(isMessage: 0 | 1): void {
    this.#cells[onPort] = isMessage
    Atomics.add(this.#cells, rung, 1)
    Atomics.notify(this.#cells, rung)
  }

  #take(): T {
    this.#taken = (this.#taken + 1) | 0
    if (this.#cells[onPort] === 0) return this.codec.read(this.#paper)
    return (receiveMessageOnPort(this.port) as { message: T }).message
  }
}
