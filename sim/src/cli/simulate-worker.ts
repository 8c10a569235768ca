/** The worker thread in which a scenario is run. */
import { setMaxListeners } from 'node:events'
import { serveWorkerTask } from '@skein/node'
import type { RunRecord } from '../record/run-record.ts'
import { simulate } from '../world/simulate.ts'
import type { RunProgress, SimulateJob } from './engine.ts'

// As in skein-node, whose code runs here: every channel that waits listens to its node's shutdown, and that is no leak.
setMaxListeners(0)
await serveWorkerTask<SimulateJob, RunProgress, RunRecord>((job, context) => simulate({ ...job, ...context }).run())
