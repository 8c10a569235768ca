import type { CacheKey } from '@skein/node'
import type { PeerId } from '@skein/protocol'
import { leakGraceMs } from './checks.ts'

/** Between two looks at what is still held for a client that has gone. */
const lookAgainMs = 15_000

/** What is asked of a node. */
export interface Holder {
  readonly number: number
  readonly peer: PeerId
  /** Stands still, or is so slow that no time holds. */
  readonly isHampered: boolean
  /** Caches that are reserved for a coordinator. */
  cachesOf(coordinator: PeerId): CacheKey[]
}

export interface Client {
  readonly number: number
  readonly peer: PeerId
}

export interface GoneClientsComponents {
  readonly clock: { setTimer(delayMs: number, callback: () => void): unknown }
  readonly nodes: () => readonly Holder[]
  readonly violated: (text: string, peers: readonly PeerId[]) => void
}

interface Gone {
  readonly client: Client
  /** What was held when its next life began: all that is held later is that one's. */
  held?: ReadonlySet<string>
  /** What was still held at the last look, by nodes that could have freed it. */
  overdue: ReadonlySet<string>
}

/**
 * Of a client whose process has ended without a word, every node frees what it holds: when the connection breaks, and at the latest
 * when the lease is over. A session that outlives its lease is seen here while the run goes on, whatever closes later.
 */
export class GoneClients {
  readonly #components: GoneClientsComponents
  readonly #gone = new Set<Gone>()

  constructor(components: GoneClientsComponents) {
    this.#components = components
  }

  /** Its process has ended. */
  gone(client: Client): void {
    const gone: Gone = { client, overdue: new Set() }
    this.#gone.add(gone)
    this.#components.clock.setTimer(leakGraceMs, () => this.#look(gone))
  }

  /** Another one is about to start. */
  back(client: Client): void {
    for (const gone of this.#gone) {
      if (gone.client === client) gone.held ??= new Set([...this.#heldOf(client)].map(({ name }) => name))
    }
  }

  #look(gone: Gone): void {
    const { clock, violated } = this.#components
    const { client, held, overdue } = gone
    const still = [...this.#heldOf(client)].filter(({ name }) => held === undefined || held.has(name))
    for (const { name, node } of still) {
      if (node.isHampered || !overdue.has(name)) continue
      const text = `node ${node.number} still has a cache for client ${client.number}, which has been gone for longer than any lease`
      violated(text, [node.peer, client.peer])
      this.#gone.delete(gone)
      return
    }
    gone.overdue = new Set(still.filter(({ node }) => !node.isHampered).map(({ name }) => name))
    if (still.length === 0) this.#gone.delete(gone)
    else clock.setTimer(lookAgainMs, () => this.#look(gone))
  }

  *#heldOf({ peer }: Client): Generator<{ readonly node: Holder; readonly name: string }> {
    for (const node of this.#components.nodes()) for (const key of node.cachesOf(peer)) yield { node, name: `${node.number} ${key}` }
  }
}
