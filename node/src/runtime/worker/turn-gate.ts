/**
 * Lets the main thread give up the turn that a worker computes, and no other one. ONNX Runtime ends a run through its run
 * options, which the worker cannot touch while it computes; they serve every turn, so the two threads agree on which turn
 * is meant. The first int32 holds the turn under way, doubled, plus one once its options are told to terminate, or 0; the
 * second the last turn whose options were; the third the last turn that was given up, which may not have begun.
 *
 * @packageDocumentation
 */

const idle = 0

export function makeGate(): SharedArrayBuffer {
  return new SharedArrayBuffer(12)
}

/** The worker's side. */
export class TurnGate {
  readonly #cells: Int32Array
  #turn = 0

  constructor(gate: SharedArrayBuffer) {
    this.#cells = new Int32Array(gate)
  }

  enter(turn: number): void {
    this.#turn = turn
    Atomics.store(this.#cells, 0, 2 * turn)
  }

  get cancelled(): boolean {
    return Atomics.load(this.#cells, 2) === this.#turn
  }

  /** Ends the turn. @returns whether its run options were told to terminate; the other thread has then finished with them */
  leave(): boolean {
    const state = Atomics.exchange(this.#cells, 0, idle)
    if ((state & 1) === 0) return false
    const turn = state >> 1
    for (let seen = Atomics.load(this.#cells, 1); seen !== turn; seen = Atomics.load(this.#cells, 1)) Atomics.wait(this.#cells, 1, seen)
    return true
  }
}

/** The main thread's side: gives up `turn`, which has been handed over. @param terminate - ends the run, if one is under way */
export function cancelTurn(gate: SharedArrayBuffer, turn: number, terminate: () => void): void {
  const cells = new Int32Array(gate)
  Atomics.store(cells, 2, turn)
  if (Atomics.compareExchange(cells, 0, 2 * turn, 2 * turn + 1) !== 2 * turn) return
  try {
    terminate()
  } finally {
    Atomics.store(cells, 1, turn)
    Atomics.notify(cells, 1)
  }
}
