/** The demonstration behind `npm run quickstart`. Imports what `npm run build` made. */
import { join } from 'node:path'
import { eventLine, generationReport, statsLines } from '../../coordinator/dist/cli/report.js'
import { safeText, shortPeerId } from '../../coordinator/dist/cli/terminal.js'
import { SwarmClient } from '../../coordinator/dist/index.js'
import { LocalSwarm, sleep, weightsDir } from './local-swarm.mjs'
import { formatMs } from './run.mjs'
import { root } from './workspace.mjs'

const model = join('test', 'models', 'skein-tiny')
const spans = [
  { name: 'a', blocks: '0:3' },
  { name: 'b', blocks: '3:6' },
  { name: 'c', blocks: '3:6' },
  { name: 'd', blocks: '6:8' }
]
const doubled = '3:6'
const knownTimeoutMs = 30_000
/** The longest answer: enough for a story of this model, and it ends its answers itself. */
const maxTokens = 256

/**
 * @param {{ prompt: string, keep: boolean, json: boolean }} options
 * @returns {Promise<boolean>} whether the two answers are the same
 */
export async function quickstart(options) {
  // With --json standard output is for the object alone.
  const output = options.json ? process.stderr : process.stdout
  const say = (line = '') => output.write(`${line}\n`)
  const started = performance.now()
  const swarm = new LocalSwarm(model)
  let client
  try {
    say(`Four nodes on this machine host the blocks of ${model}; blocks ${doubled} are hosted twice.`)
    const bootstrap = await startNodes(swarm, say)
    client = await connect(bootstrap, say)
    await untilAllAreKnown(client, swarm)
    say(`the swarm is whole after ${formatMs(performance.now() - started)}: every block is covered\n`)

    const first = await answer(client, options.prompt, output)
    say(`\nThe same again, and in the middle of it the node in use of blocks ${doubled} is killed (SIGKILL).\n`)
    const { result: second, killed } = await answerWithKill(client, options.prompt, output, swarm, first)
    const sameText = report(first, second, killed, say)

    await client.close()
    client = undefined
    if (options.keep) await keep(swarm, killed, say)
    else await swarm.stop()
    if (options.json) {
      await print(`${JSON.stringify({ first: generationReport(first), withKill: generationReport(second), sameText })}\n`)
    }
    return sameText
  } catch (error) {
    await client?.close().catch((closing) => say(`(closing the client failed as well: ${closing.message})`))
    await swarm.stop()
    throw error
  }
}

/** @returns {Promise<string[]>} addresses of the first node, where the others and the client begin */
async function startNodes(swarm, say) {
  const tell = (node) => say(`  blocks ${node.blocks}  ready  process ${node.pid}  peer ${shortPeerId(node.peerId)}`)
  const [entry, ...others] = spans
  const first = await swarm.start(entry.name, entry.blocks, [])
  tell(first)
  await Promise.all(others.map(async ({ name, blocks }) => tell(await swarm.start(name, blocks, first.addresses))))
  return first.addresses
}

async function connect(bootstrap, say) {
  let phase = ''
  return SwarmClient.connect({
    model: join(root, model),
    bootstrap,
    lan: true,
    cacheDir: weightsDir,
    // So that the answer after a recovery is the same bit for bit; see docs/architecture.md.
    exact: true,
    encoding: 'f32',
    onProgress: (progress) => {
      if (progress.phase !== phase && progress.phase !== 'ready') say(`  client: ${progress.message}`)
      phase = progress.phase
    }
  })
}

/** The client is content as soon as every block is covered; the demonstration needs both nodes of the doubled span. */
async function untilAllAreKnown(client, swarm) {
  const wanted = swarm.nodes.map(({ peerId }) => peerId)
  const giveUpAt = performance.now() + knownTimeoutMs
  for (;;) {
    const { nodes, uncoveredBlocks } = await client.status()
    const serving = new Set(nodes.filter(({ state }) => state === 'serving').map(({ peerId }) => peerId))
    if (uncoveredBlocks.length === 0 && wanted.every((peerId) => serving.has(peerId))) return
    if (performance.now() > giveUpAt)
      throw new Error(`after ${formatMs(knownTimeoutMs)} the client knows only ${serving.size} of ${wanted.length} nodes`)
    await sleep(100)
  }
}

/** Streams an answer. `onPiece` is told how many tokens there are so far. */
async function answer(client, prompt, output, { onEvent, onPiece } = {}) {
  output.write(`> ${prompt}\n`)
  const generation = client.generate(prompt, { temperature: 0, maxTokens, onEvent })
  // It rejects with what the loop throws.
  generation.result.catch(() => {})
  let tokens = 0
  for await (const piece of generation) {
    output.write(safeText(piece.text))
    tokens += piece.tokens.length
    await onPiece?.(tokens)
  }
  const result = await generation.result
  output.write(`\n\n${statsLines(result).join('\n')}\n`)
  return result
}

async function answerWithKill(client, prompt, output, swarm, first) {
  const killAt = Math.max(1, Math.floor(first.completionTokens / 3))
  let chain = []
  let killed
  const result = await answer(client, prompt, output, {
    onEvent: (event) => {
      if (event.type === 'chain-opened') chain = event.chain
      const line = eventLine(event)
      if (line !== undefined) output.write(`\n[${line}]\n`)
    },
    onPiece: async (tokens) => {
      if (killed !== undefined || tokens < killAt) return
      const inUse = new Set(chain.map(({ peerId }) => peerId))
      const node = swarm.nodes.find(({ blocks, peerId }) => blocks === doubled && inUse.has(peerId))
      if (node === undefined) throw new Error(`no node of blocks ${doubled} is in the chain, so there is none to kill`)
      killed = { node, tokens }
      output.write(`\n[process ${node.pid}, blocks ${doubled}, is killed after ${tokens} tokens]\n`)
      await swarm.kill(node)
    }
  })
  return { result, killed }
}

/** @returns {boolean} whether the texts are the same */
function report(first, second, killed, say) {
  const sameText = first.text === second.text && first.finishReason === second.finishReason
  say()
  if (killed === undefined) say('The answer was over before a node could be killed; ask for something longer.')
  else if (second.recoveries === 0) say('The answer was over before the killed node was missed; ask for something longer.')
  else say(`Node ${shortPeerId(killed.node.peerId)} was replaced in the middle of the answer, and what it had seen was replayed.`)
  say(sameText ? 'The text is complete, and the same as without the kill.' : 'The text is NOT the same as without the kill: this is a bug.')
  return sameText
}

/** Leaves a whole swarm behind, with every span as at the start. */
async function keep(swarm, killed, say) {
  const bootstrap = swarm.nodes.find(({ name }) => name === spans[0].name).addresses
  if (killed !== undefined) await swarm.start(killed.node.name, killed.node.blocks, bootstrap)
  const { nodes } = swarm
  await swarm.release()
  say('\nThe swarm runs on. To use it from this folder:\n')
  say(`  export SKEIN_MODEL=${model} SKEIN_BOOTSTRAP=${bootstrap[0]}`)
  say('  npx skein run "What is the capital of France?"')
  say('  npx skein chat')
  say('  npx skein status')
  say('\nTo lose a node: kill one of')
  for (const { blocks, pid } of nodes) say(`  ${pid}  (blocks ${blocks})`)
  say('\nTo stop the swarm:\n')
  say(`  kill ${nodes.map(({ pid }) => pid).join(' ')}; sleep 3; rm -r ${swarm.dir}`)
}

/** Resolves when the text is out, even into a slow pipe. */
function print(text) {
  return new Promise((resolve) => process.stdout.write(text, resolve))
}
