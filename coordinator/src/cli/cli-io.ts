import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import type { Storage } from '@skein/protocol'
import type { ConnectOptions, SwarmClient } from '../client/types.ts'

/** A stream of a command, which may be a terminal. */
export type TextSink = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** Where a command's input comes from, which may be a terminal. */
export type TextSource = Readable & { readonly isTTY?: boolean }

/** All that the command reaches beyond its arguments, so that a test can hand over its own. */
export interface CliComponents {
  /** The command's name and version, as `--version` prints it. */
  readonly version: string
  readonly stdin: TextSource
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly connect: (options: ConnectOptions) => Promise<SwarmClient>
  /** Small files of the user's own: `folder`, or the default data folder. */
  readonly storage: (folder: string | undefined) => Promise<Storage>
  /** Calls the listener at each interrupt (Ctrl-C, SIGTERM); returns the function that ends that. */
  readonly onInterrupt: (listener: () => void) => () => void
  /** Ends the process at once: for a second interrupt, when the first has not ended it. */
  readonly exit: (code: number) => void
}

/**
 * Standard output: waits for a slow reader, and tells when the reader has gone. A reader that goes away (`skein run ... |
 * head -1`) is no failure of the command; a full disk is.
 */
export class TextOutput {
  readonly #stream: TextSink
  readonly #broken = new AbortController()
  #failure: NodeJS.ErrnoException | undefined
  #atLineStart = true

  constructor(stream: TextSink) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= error
      this.#broken.abort()
    })
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true
  }

  /** Fires when nothing that is written can arrive any more. */
  get broken(): AbortSignal {
    return this.#broken.signal
  }

  /** Resolves when there is room again. Does nothing once the stream is broken. */
  async write(text: string): Promise<void> {
    if (this.broken.aborted || text === '') return
    this.#atLineStart = text.endsWith('\n')
    if (this.#stream.write(text)) return
    // The rejection is the stream's error or the signal, and the listener above has kept the error.
    await once(this.#stream, 'drain', { signal: this.broken }).catch(() => undefined)
  }

  /** Ends a line that was begun. */
  async endLine(): Promise<void> {
    if (!this.#atLineStart) await this.write('\n')
  }

  /** Resolves when all that was written is out. @throws the stream's error, unless it is that the reader has gone */
  async flush(): Promise<void> {
    if (!this.broken.aborted) await new Promise<void>((resolve) => void this.#stream.write('', () => resolve()))
    if (this.#failure !== undefined && this.#failure.code !== 'EPIPE') throw this.#failure
  }
}
