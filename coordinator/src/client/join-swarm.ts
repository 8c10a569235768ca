import type { ModelConfig } from '@skein/node'
import {
  type AnnouncementReader,
  AnnouncementStore,
  type BlockRange,
  type Clock,
  DialError,
  DirectoryService,
  formatBlockRange,
  type Logger,
  type ModelId,
  type Network,
  type PeerId,
  type Random,
  type TensorEncoding
} from '@skein/protocol'
import { SwarmMap } from '../directory/swarm-map.ts'
import type { ModelText } from '../text/model-text.ts'
import { NoCoverageError } from './coverage.ts'
import { type ClientEnds, ConnectedClient } from './swarm-client.ts'
import type { ConnectOptions, ConnectProgress, connectDefaults, SwarmClient } from './types.ts'

/** All that a coordinator touches, so that the simulator runs the same one. */
export interface JoinSwarmComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly network: Network
  readonly reader: AnnouncementReader
  readonly ends: ClientEnds
  readonly text: ModelText
  /** Called at the client's close, when everything else has stopped. */
  readonly onClosed?: () => Promise<void>
}

type Settings = Pick<ConnectOptions, 'transport' | 'exact' | 'connectTimeoutMs' | 'coverageTimeoutMs' | 'prefillChunkTokens'>

export interface JoinSwarmInit extends Required<Pick<Settings, keyof Settings & keyof typeof connectDefaults>> {
  readonly model: ModelId
  readonly config: Pick<ModelConfig, 'blocks' | 'hiddenSize' | 'vocabSize' | 'contextTokens'>
  /** `raw` is for the simulator. */
  readonly encoding: TensorEncoding
  /** Peers to ask first, whose addresses the network knows. */
  readonly contacts: readonly PeerId[]
  readonly onProgress?: (progress: ConnectProgress) => void
  readonly signal?: AbortSignal
}

/** Between two looks at the swarm while blocks are uncovered. */
const lookAgainMs = 500

/**
 * Contacts a model's swarm, waits until nodes cover every block, and returns a client of it.
 *
 * @throws DialError when no contact answers, NoCoverageError that names the uncovered blocks, AbortError; then everything that
 * was started here has stopped, and the components are the caller's to stop
 */
export async function joinSwarm(components: JoinSwarmComponents, init: JoinSwarmInit): Promise<SwarmClient> {
  const { clock, random, logger, network, reader, ends, text, onClosed } = components
  const { model, contacts, signal, onProgress = () => {} } = init
  const { blocks, hiddenSize, vocabSize, contextTokens } = init.config
  const store = new AnnouncementStore()
  const directory = new DirectoryService({ network, clock, random, reader, logger, store }, { model, mesh: false, contacts })
  const swarm = new SwarmMap({ clock, logger, network, directory, store }, { model, blocks, hiddenSize })
  try {
    await firstContact(directory, init, clock)
    directory.start()
    await coverage(swarm, init, clock)
    await swarm.measureRoundTrips({ untilCovered: true, ...(signal === undefined ? {} : { signal }) })
  } catch (error) {
    await directory.stop()
    throw error
  }
  onProgress({ phase: 'ready', message: 'the swarm is whole' })
  const { transport, encoding, exact, coverageTimeoutMs, prefillChunkTokens } = init
  return new ConnectedClient(
    {
      clock,
      random,
      logger,
      network,
      swarm,
      ends,
      ...text,
      onClose: () => directory.stop(),
      onClosed: onClosed ?? (() => Promise.resolve())
    },
    { model, blocks, hiddenSize, vocabSize, contextTokens, transport, encoding, exact, coverageTimeoutMs, prefillChunkTokens }
  )
}

/** One answer of a contact is enough; each failure is told when there is none. */
async function firstContact(directory: DirectoryService, init: JoinSwarmInit, clock: Clock): Promise<void> {
  const deadline = clock.deadline(init.connectTimeoutMs, 'the first contact with the swarm', init.signal)
  try {
    const { answered, failures } = await directory.refresh({ signal: deadline.signal })
    if (answered > 0) return
    const reasons = [...new Set(failures.map(({ reason }) => reason))].join('; ')
    throw new DialError(`no bootstrap peer answered (${reasons || 'none could be reached'}); is a node of this model running there?`)
  } catch (error) {
    if (!deadline.signal.aborted || init.signal?.aborted === true) throw error
    throw new DialError(`no bootstrap peer answered within ${init.connectTimeoutMs} ms: ${init.contacts.join(', ')}`, { cause: error })
  } finally {
    deadline.clear()
  }
}

async function coverage(swarm: SwarmMap, init: JoinSwarmInit, clock: Clock): Promise<void> {
  const { coverageTimeoutMs, onProgress, signal } = init
  const startMs = clock.monotonicMs()
  let told = ''
  for (;;) {
    const blocks: readonly BlockRange[] = swarm.uncovered()
    const waitedMs = clock.monotonicMs() - startMs
    if (blocks.length === 0 || coverageTimeoutMs === 0) return
    if (waitedMs >= coverageTimeoutMs) throw new NoCoverageError(init.model, blocks, 'no-node', waitedMs, swarm.records().length > 0)
    const ranges = blocks.map(formatBlockRange).join(', ')
    if (told !== ranges)
      onProgress?.({ phase: 'coverage', uncoveredBlocks: blocks, message: `waiting for nodes that serve blocks ${ranges}` })
    told = ranges
    await clock.sleep(lookAgainMs, signal === undefined ? {} : { signal })
    await swarm.refresh(signal === undefined ? {} : { signal })
  }
}
