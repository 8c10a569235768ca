/** The worker thread of conversions. */
import { serveWorkerTask } from '../util/worker-task.ts'
import { runConvertJob, type ConvertJob, type ConvertProgress } from './convert-job.ts'

await serveWorkerTask<ConvertJob, ConvertProgress, undefined>(async (job, context) => {
  await runConvertJob(job, context)
  return undefined
})
