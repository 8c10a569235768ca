import { SwarmClient } from '@skein/coordinator'
import type { ConnectOptions } from '@skein/coordinator'
import { type NodeProcess, type NodeProcessOptions, spawnNode } from './node-process.ts'
import { eventually } from './program.ts'
import { sharedCache, tinyModel } from './work-folder.ts'

/** The nodes and clients of a group of tests, ended with it. */
export class LocalSwarm {
  readonly nodes: NodeProcess[] = []
  readonly #clients: SwarmClient[] = []
  /** Nodes that ended though nobody asked them to. */
  readonly #lost: string[] = []

  /** Starts a node in the swarm of the nodes before it, if there are any. */
  async node(options: NodeProcessOptions = {}): Promise<NodeProcess> {
    const node = await spawnNode({ bootstrap: this.bootstrap, ...options })
    this.nodes.push(node)
    void node.exited.then((exit) => {
      if (!node.asked())
        this.#lost.push(`node ${node.ready.start}:${node.ready.end} ended with ${JSON.stringify(exit)}:
${node.logs().slice(-3000)}`)
    })
    return node
  }

  /** Where the swarm is entered: a node that lives. */
  get bootstrap(): readonly string[] {
    return this.nodes.find((node) => !node.program.ended)?.addresses ?? []
  }

  /** By default a client whose results are the same bit for bit, whatever happens. */
  async client(options: Partial<ConnectOptions> = {}): Promise<SwarmClient> {
    const client = await SwarmClient.connect({
      model: tinyModel,
      bootstrap: this.bootstrap,
      cacheDir: sharedCache(),
      exact: true,
      encoding: 'f32',
      ...options
    })
    this.#clients.push(client)
    return client
  }

  /** Waits until the client knows that these nodes serve. */
  async known(client: SwarmClient, nodes: readonly NodeProcess[] = this.nodes): Promise<void> {
    await eventually('the client knows all nodes', async () => {
      const { nodes: found } = await client.status()
      const serving = new Set(found.filter(({ state }) => state === 'serving').map(({ peerId }) => peerId))
      return nodes.every(({ peerId }) => serving.has(peerId)) || undefined
    })
  }

  /** Waits until no session is open on any node that lives, and all of its KV cache is free. */
  async idle(nodes: readonly NodeProcess[] = this.nodes): Promise<void> {
    for (const node of nodes) {
      if (node.program.ended) continue
      await eventually(`the node ${node.ready.start}:${node.ready.end} has freed its caches`, async () => {
        const { load, kvTokens } = await node.status()
        return (load.sessions === 0 && load.freeKvTokens === kvTokens) || undefined
      })
    }
  }

  /** @throws Error when a node has ended by itself, whatever the tests made of that */
  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()))
    // Nothing that a test looks at: they need no farewell.
    await Promise.all(this.nodes.map((node) => node.crash()))
    if (this.#lost.length > 0) throw new Error(this.#lost.join('\n'))
  }
}
