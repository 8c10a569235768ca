/** The worker thread of conversions. Its input is a {@link ConvertJob}; see `util/worker-task.ts` for its messages. */
import { parentPort, workerData } from 'node:worker_threads'
import { toThrownMessage, type WorkerReply } from '../util/worker-task.ts'
import { runConvertJob, type ConvertJob, type ConvertProgress } from './convert-job.ts'

const port = parentPort
if (port === null) throw new Error('convert-worker must be started as a worker thread')

const controller = new AbortController()
port.on('message', (message: unknown) => {
  if (message === 'abort') controller.abort()
})

const post = (reply: WorkerReply<ConvertProgress, undefined>): void => port.postMessage(reply)

try {
  await runConvertJob(workerData as ConvertJob, {
    signal: controller.signal,
    onProgress: (progress) => post({ kind: 'progress', progress })
  })
  post({ kind: 'done', result: undefined })
} catch (error) {
  post({ kind: 'failed', error: toThrownMessage(error) })
}
port.close()
