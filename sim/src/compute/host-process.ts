import type { Clock } from '@skein/protocol'
import type { ScenarioDevice } from '../scenario/scenario.ts'
import type { Job, Machine } from './machine.ts'

/** After a machine has done nothing for so long, its cores are asleep and its caches cold. */
const pauseMs = 2

export interface HostProcessInit {
  /** The clock of this life of the process. */
  readonly clock: Clock
  readonly device: ScenarioDevice
  /** Whose cores it shares. @default a machine of its own with cores enough */
  readonly machine?: Machine | undefined
}

/**
 * What a process of a peer takes of its machine: its computing, which is done by threads of its own, and its messages, which are
 * handled by one thread, one after another.
 */
export class HostProcess {
  readonly #init: HostProcessInit
  readonly #jobs = new Map<Job, () => void>()
  /** Of a process that stands still: what its jobs still need, and who waits for them. */
  #kept: Array<readonly [us: number, done: () => void]> | undefined
  #busy = 0
  #idleSinceMs: number
  #lastMessage: Promise<void> = Promise.resolve()

  constructor(init: HostProcessInit) {
    this.#init = init
    this.#idleSinceMs = init.clock.monotonicMs()
  }

  /** Whether a message costs it anything. */
  get countsMessages(): boolean {
    const { overheadUsPerMessage = 0, overheadNsPerMessageByte = 0, overheadUsAfterPause = 0 } = this.#init.device
    const { overheadUsPerSession = 0, overheadUsPerLink = 0 } = this.#init.device
    return Math.max(overheadUsPerMessage, overheadNsPerMessageByte, overheadUsPerSession, overheadUsPerLink, overheadUsAfterPause) > 0
  }

  /** Whether its computing takes its time and nothing else: on a machine of its own, after a pause as without. */
  get isPlain(): boolean {
    return this.#init.machine === undefined && !this.countsMessages
  }

  /** Computes for so long, and longer where others compute on the same cores. */
  compute(us: number): Promise<void> {
    return this.#spend(us)
  }

  /** Takes in a message, when those before it are through. @param bytes of the rows in it */
  message(bytes = 0): Promise<void> {
    const { overheadUsPerMessage = 0, overheadNsPerMessageByte = 0 } = this.#init.device
    return this.#handle(overheadUsPerMessage + (bytes * overheadNsPerMessageByte) / 1000)
  }

  /** Opens a session on a stage, or is the stage, when the messages before it are through. */
  session(): Promise<void> {
    const { overheadUsPerMessage = 0, overheadUsPerSession = 0 } = this.#init.device
    return this.#handle(overheadUsPerMessage + overheadUsPerSession)
  }

  /** Has one end of a channel for activations opened, when the messages before it are through. */
  link(): Promise<void> {
    const { overheadUsPerMessage = 0, overheadUsPerLink = 0 } = this.#init.device
    return this.#handle(overheadUsPerMessage + overheadUsPerLink)
  }

  /** It stands still, or goes on. */
  freeze(frozen: boolean): void {
    if (frozen === (this.#kept !== undefined)) return
    if (frozen) {
      this.#kept = this.#takeAll()
      return
    }
    const kept = this.#kept ?? []
    this.#kept = undefined
    for (const [us, done] of kept) this.#begin(us, done)
  }

  /** It is gone: what it computed is never done. */
  end(): void {
    this.#takeAll()
    this.#kept = []
  }

  #handle(us: number): Promise<void> {
    // A process that is dead waits for ever; nothing in it rejects.
    this.#lastMessage = this.#lastMessage.then(() => this.#spend(us))
    return this.#lastMessage
  }

  async #spend(us: number): Promise<void> {
    const { clock, machine } = this.#init
    const wholeUs = Math.max(1, Math.round(us + this.#pausedUs()))
    this.#busy++
    if (machine === undefined) await clock.sleep(wholeUs / 1000)
    else await new Promise<void>((resolve) => this.#begin(wholeUs, resolve))
    this.#busy--
    this.#idleSinceMs = clock.monotonicMs()
  }

  /** What it costs to begin something now. */
  #pausedUs(): number {
    const { clock, device, machine } = this.#init
    const ownMs = this.#busy === 0 ? clock.monotonicMs() - this.#idleSinceMs : 0
    const idleMs = machine === undefined ? ownMs : machine.idleUs / 1000
    return idleMs >= pauseMs ? (device.overheadUsAfterPause ?? 0) : 0
  }

  #begin(us: number, done: () => void): void {
    if (this.#kept !== undefined) {
      this.#kept.push([us, done])
      return
    }
    const { machine } = this.#init
    const job = machine!.begin(us, () => {
      this.#jobs.delete(job)
      done()
    })
    this.#jobs.set(job, done)
  }

  #takeAll(): Array<readonly [us: number, done: () => void]> {
    const taken = [...this.#jobs].map(([job, done]) => [this.#init.machine!.take(job), done] as const)
    this.#jobs.clear()
    return taken
  }
}
