import { blockCount } from '@skein/protocol'
import { answerMs, connectMs } from '../directory/swarm-map.ts'
import type { NodeStatus, SwarmStatus } from '../client/types.ts'
import { formatBlocks } from './report.ts'
import { formatMs, shortPeerId, table, type Style } from './terminal.ts'

/** The widest map of blocks that is drawn; a cell stands for several blocks of a model that has more. */
const maxMapCells = 64

/** What a node is that is shown as silent: it may just be far. */
const silence = `silent: no answer within ${answerMs / 1000} s, or ${(connectMs + answerMs) / 1000} s where it had to be connected first; it is not counted`

/** What `skein status` prints, one line each: a table of the nodes, a map of the blocks, and what is missing. */
export function statusLines(status: SwarmStatus, style: Style): string[] {
  const { model, blocks, nodes, uncoveredBlocks } = status
  const uncovered = uncoveredBlocks.reduce((sum, range) => sum + blockCount(range), 0)
  const verdict =
    uncovered === 0
      ? style('green', 'every block is covered')
      : style('red', `nobody serves ${uncovered} of ${blocks} blocks: ${formatBlocks(uncoveredBlocks)}`)
  return [
    `model   ${model}`,
    `blocks  ${blocks}`,
    `nodes   ${nodes.length}`,
    '',
    ...(nodes.length === 0 ? [] : [...nodeTable(nodes), '', ...blockMap(status), '']),
    ...(nodes.some(({ hasAnswered }) => hasAnswered === false) ? [silence, ''] : []),
    verdict
  ]
}

function nodeTable(nodes: readonly NodeStatus[]): string[] {
  const unknown = '?'
  return table(
    ['node', 'blocks', 'state', 'step', 'round trip', 'free KV', 'sessions', 'weights'],
    nodes.map((node) => [
      shortPeerId(node.peerId),
      `${node.start}:${node.end}`,
      node.hasAnswered === false ? 'silent' : node.state,
      formatMs(node.stepMs),
      node.roundTripMs === undefined ? unknown : formatMs(node.roundTripMs),
      `${node.freeKvTokens ?? unknown} of ${node.kvTokens}`,
      String(node.sessions ?? unknown),
      node.numerics.weights
    ]),
    new Set([3, 4, 5, 6])
  )
}

/**
 * A line for each node with the blocks that it hosts (`?`: it does not answer), and one that counts the serving nodes of each
 * block (`+`: 10 or more; `-`: none). Where a cell stands for several blocks, it is filled if the node hosts any of them, and counts the least.
 */
export function blockMap({ blocks, nodes }: SwarmStatus): string[] {
  const perCell = Math.ceil(blocks / maxMapCells)
  const cells = Array.from({ length: Math.ceil(blocks / perCell) }, (_, index) => ({
    start: index * perCell,
    end: Math.min(blocks, (index + 1) * perCell)
  }))
  const label = Math.max('serving'.length, ...nodes.map(({ peerId }) => shortPeerId(peerId).length))
  const filled: Record<NodeStatus['state'], string> = { serving: '█', joining: '░', draining: '▒', offline: '·' }
  const fill = ({ state, hasAnswered }: NodeStatus): string => (hasAnswered === false ? '?' : filled[state])
  const counts = cells.map((cell) => {
    const each = Array.from({ length: blockCount(cell) }, (_, offset) => servingNodes(nodes, cell.start + offset))
    const least = Math.min(...each)
    return least === 0 ? '-' : least > 9 ? '+' : String(least)
  })
  return [
    `${''.padEnd(label)}  0${String(blocks).padStart(cells.length)}${perCell > 1 ? `   (a cell is ${perCell} blocks)` : ''}`,
    ...nodes.map(
      (node) =>
        `${shortPeerId(node.peerId).padEnd(label)}  ${cells.map((cell) => (node.start < cell.end && cell.start < node.end ? fill(node) : '·')).join('')}`
    ),
    `${'serving'.padEnd(label)}  ${counts.join('')}`
  ]
}

function servingNodes(nodes: readonly NodeStatus[], block: number): number {
  return nodes.filter(({ state, hasAnswered, start, end }) => state === 'serving' && hasAnswered !== false && start <= block && block < end)
    .length
}
