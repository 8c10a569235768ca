/**
 * The worker in which a node computes its span.
 *
 * @packageDocumentation
 */
import { systemClock } from '@skein/protocol/node'
import { OrtRunOptions } from '../ort/session.ts'
import { SpanEngine } from '../ort/span-engine.ts'
import { transferable } from './messages.ts'
import type { SpanAnswer, SpanReady, SpanRequest, SpanWorkerInit } from './messages.ts'
import { serve } from './serve.ts'
import { spanCodecs } from './span-mail.ts'
import type { Served } from './serve.ts'
import { TurnGate } from './turn-gate.ts'

void serve<SpanWorkerInit, SpanRequest, SpanAnswer>(async (init) => {
  const engine = await SpanEngine.open(init, systemClock())
  const gate = new TurnGate(init.gate)
  const runOptions = new OrtRunOptions()
  const answer = (more: Partial<SpanAnswer> = {}): SpanAnswer => ({ freeKvTokens: engine.store.freeTokens, ...more })

  const run = (request: Extract<SpanRequest, { kind: 'run' }>): Served<SpanAnswer> => {
    gate.enter(request.turn)
    try {
      const cancelled = (): boolean => request.cancelled || gate.cancelled
      const result = engine.run(request.entries, { cancelled, runOptions })
      const outputs = result.outputs.flatMap((output) => (output.ok ? [output.output] : []))
      return { value: answer({ result }), transfer: transferable(outputs) }
    } finally {
      if (gate.leave()) runOptions.reset()
    }
  }

  const handle = (request: SpanRequest): Served<SpanAnswer> => {
    switch (request.kind) {
      case 'reserve':
        engine.reserve(request.cache, request.tokens, request.span)
        return { value: answer() }
      case 'run':
        return run(request)
      case 'release':
        engine.release(request.cache)
        return { value: answer() }
      case 'stop':
        runOptions.release()
        engine.close()
        return { value: { freeKvTokens: 0 }, last: true }
    }
  }
  return { ready: { info: engine.info, runOptions: runOptions.handle } satisfies SpanReady, handle }
}, spanCodecs)
