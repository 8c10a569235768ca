import { type NodeState, SkeinError } from '@skein/protocol'

const allowed: Readonly<Record<NodeState, readonly NodeState[]>> = {
  joining: ['serving', 'draining', 'offline'],
  serving: ['draining', 'offline'],
  draining: ['offline'],
  offline: []
}

/** A node was asked to go into a state that its present one does not lead to: a mistake in the program. */
class StateError extends SkeinError<'ERR_SKEIN_STATE'> {
  constructor(from: NodeState, to: NodeState) {
    super('ERR_SKEIN_STATE', `a node cannot go from ${from} to ${to}`)
  }
}

/** The life of a node, `joining -> serving -> draining -> offline`. The only place that changes the state. */
export class NodeLife {
  #state: NodeState = 'joining'
  readonly #listeners = new Set<(state: NodeState) => void>()

  get state(): NodeState {
    return this.#state
  }

  /** Does nothing when the node is in that state already. @throws StateError */
  transition(to: NodeState): void {
    if (to === this.#state) return
    if (!allowed[this.#state].includes(to)) throw new StateError(this.#state, to)
    this.#state = to
    for (const listener of this.#listeners) listener(to)
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener: (state: NodeState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
