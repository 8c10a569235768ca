/**
 * The worker in which a coordinator computes the final norm and the LM head.
 *
 * @packageDocumentation
 */
import { HeadEngine } from '../ort/head-engine.ts'
import type { HeadRequest, HeadWorkerInit } from './messages.ts'
import { headCodecs } from './head-mail.ts'
import { transferable } from './messages.ts'
import { serve } from './serve.ts'
import type { Served } from './serve.ts'

void serve<HeadWorkerInit, HeadRequest, Float32Array | undefined>((init) => {
  const engine = new HeadEngine(init)
  const handle = (request: HeadRequest): Served<Float32Array | undefined> => {
    if (request.kind === 'stop') {
      engine.close()
      return { value: undefined, last: true }
    }
    const logits = engine.run(request.hidden)
    return { value: logits, transfer: transferable([logits]) }
  }
  return { ready: undefined, handle }
}, headCodecs)
