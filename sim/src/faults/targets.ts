import type { Random } from '@skein/protocol'
import type { FaultTarget } from '../scenario/scenario.ts'

interface Placed {
  readonly group: { readonly name: string }
  readonly region: string
}

/** Nodes that a fault hits. The same seed draws the same ones, simulated and live. */
export function nodesHit<Node extends Placed & { readonly number: number }>(
  target: FaultTarget,
  nodes: readonly Node[],
  random: Random
): Node[] {
  if ('node' in target) return nodes.filter(({ number }) => number === target.node)
  if (!('random' in target)) return nodes.filter((node) => isNamed(target, node))
  const pool = [...nodes]
  const chosen: Node[] = []
  while (chosen.length < target.random && pool.length > 0) chosen.push(...pool.splice(random.below(pool.length), 1))
  return chosen
}

/** Clients that it hits, of a region or a group. */
export function clientsHit<Client extends Placed & { readonly number: number }>(target: FaultTarget, clients: readonly Client[]): Client[] {
  if ('client' in target) return clients.filter(({ number }) => number === target.client)
  return clients.filter((client) => isNamed(target, client))
}

/** Clients whose process it hits: those that it names. What is done to nodes of a region or to random ones is done to nodes alone. */
export function clientsStruck<Client extends Placed & { readonly number: number }>(
  target: FaultTarget,
  clients: readonly Client[]
): Client[] {
  return 'client' in target || 'group' in target ? clientsHit(target, clients) : []
}

function isNamed(target: FaultTarget, { group, region }: Placed): boolean {
  return ('group' in target && group.name === target.group) || ('region' in target && region === target.region)
}
