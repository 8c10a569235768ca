import { availableParallelism } from 'node:os'
import pMap from 'p-map'
import { AbortError } from '@skein/protocol'
import type { PreparedGraph } from '../../graph/span-graph.ts'
import { OrtEnvironment, type OrtEnvironmentOptions } from './environment.ts'
import { OrtSession } from './session.ts'

/** Graphs of one environment, ready to run. */
export interface OpenedGraphs {
  readonly environment: OrtEnvironment
  /** In the order of the graphs. */
  readonly sessions: readonly OrtSession[]
}

/** Libuv has four threads for all of a process; one of them stays free for files and names. */
const mostAtOnce = 3

/**
 * Opens graphs on other threads, as many at once as there are cores: to pack the weights of a block is the work of one
 * core, and a start waits for all of them.
 *
 * @throws OrtError when a graph cannot be loaded, OrtUnavailableError, InvalidArgumentError; then nothing is left open
 */
export async function openGraphs(graphs: readonly PreparedGraph[], options: OrtEnvironmentOptions): Promise<OpenedGraphs> {
  const environment = new OrtEnvironment(options)
  const opened: OrtSession[] = []
  const concurrency = Math.min(availableParallelism(), mostAtOnce)
  let failed = false
  try {
    const open = async ({ folder, modelFile }: PreparedGraph): Promise<OrtSession> => {
      if (failed) throw new AbortError('an earlier graph could not be opened')
      const session = await OrtSession.open(environment, folder, modelFile).catch((error: unknown) => {
        failed = true
        throw error
      })
      opened.push(session)
      return session
    }
    // Those under way are waited for, since the environment must outlive them.
    return { environment, sessions: await pMap(graphs, open, { concurrency, stopOnError: false }) }
  } catch (error) {
    releaseGraphs({ environment, sessions: opened })
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

/** The same on the calling thread, which it blocks. */
export function openGraphsSync(graphs: readonly PreparedGraph[], options: OrtEnvironmentOptions): OpenedGraphs {
  const environment = new OrtEnvironment(options)
  const sessions: OrtSession[] = []
  try {
    for (const { folder, modelFile } of graphs) sessions.push(OrtSession.openSync(environment, folder, modelFile))
    return { environment, sessions }
  } catch (error) {
    releaseGraphs({ environment, sessions })
    throw error
  }
}

export function releaseGraphs({ environment, sessions }: OpenedGraphs): void {
  for (const session of sessions) session.release()
  environment.close()
}
