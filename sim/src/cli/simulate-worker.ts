/** The worker thread in which a scenario is run. Its input is a {@link SimulateJob}; its messages are those of `runWorkerTask`. */
import { setMaxListeners } from 'node:events'
import { parentPort, workerData } from 'node:worker_threads'
import { toThrownMessage, type WorkerReply } from '@skein/node'
import type { RunRecord } from '../record/run-record.ts'
import { simulate } from '../world/simulate.ts'
import type { RunProgress, SimulateJob } from './engine.ts'

const port = parentPort
if (port === null) throw new Error('simulate-worker must be started as a worker thread')

// As in skein-node, whose code runs here: every channel that waits listens to its node's shutdown, and that is no leak.
setMaxListeners(0)
const controller = new AbortController()
port.on('message', (message: unknown) => {
  if (message === 'abort') controller.abort()
})

const post = (reply: WorkerReply<RunProgress, RunRecord>): void => port.postMessage(reply)

try {
  const onProgress = (progress: RunProgress): void => post({ kind: 'progress', progress })
  const world = simulate({ ...(workerData as SimulateJob), signal: controller.signal, onProgress })
  post({ kind: 'done', result: await world.run() })
} catch (error) {
  post({ kind: 'failed', error: toThrownMessage(error) })
}
port.close()
