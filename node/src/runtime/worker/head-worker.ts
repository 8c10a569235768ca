/**
 * The worker in which a coordinator computes the final norm and the LM head.
 *
 * @packageDocumentation
 */
import { workerData } from 'node:worker_threads'
import { HeadEngine } from '../ort/head-engine.ts'
import type { HeadRequest, HeadWorkerInit } from './messages.ts'
import { transferable } from './messages.ts'
import { serve } from './serve.ts'
import type { Served } from './serve.ts'

void serve<HeadRequest>(() => {
  const engine = new HeadEngine(workerData as HeadWorkerInit)
  const handle = (request: HeadRequest): Served => {
    if (request.kind === 'stop') {
      engine.close()
      return { value: undefined, last: true }
    }
    const logits = engine.run(request.hidden)
    return { value: logits, transfer: transferable([logits]) }
  }
  return { ready: undefined, handle }
})
