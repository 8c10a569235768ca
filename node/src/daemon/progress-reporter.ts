import type { Logger } from '@skein/protocol'

/** A line on a terminal that is overwritten, or a line in the log for each tenth of the way where there is no terminal. */
export class ProgressReporter {
  readonly #terminal: NodeJS.WriteStream | undefined
  readonly #logger: Logger
  #lastShare = -1
  #lastWhat = ''
  #shown = false

  constructor(terminal: NodeJS.WriteStream | undefined, logger: Logger) {
    this.#terminal = terminal?.isTTY === true ? terminal : undefined
    this.#logger = logger
  }

  show(what: string, doneBytes: number, totalBytes: number): void {
    const share = totalBytes > 0 ? doneBytes / totalBytes : 1
    const step = this.#terminal === undefined ? 10 : 100
    if (what === this.#lastWhat && Math.floor(share * step) === Math.floor(this.#lastShare * step)) return
    this.#lastWhat = what
    this.#lastShare = share
    const percent = Math.floor(share * 100)
    if (this.#terminal === undefined) {
      this.#logger.info(what, { event: 'progress', percent })
    } else {
      this.#terminal.write(`\r\u001B[K${what}: ${percent} % of ${(totalBytes / 2 ** 20).toFixed(0)} MiB`)
      this.#shown = true
    }
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown) this.#terminal?.write('\r\u001B[K')
    this.#shown = false
  }
}
