import { type LinkEnd, type OpenRequest, parseModelId, parseSessionId } from '@skein/protocol'
import type { SpanRuntime } from '../runtime/span-runtime.ts'

const span = { start: 0, end: 2 }
const numerics = { weights: 'f32', kernels: 'k' } as const
const coordinator: LinkEnd = { term: 1, to: { kind: 'coordinator' } }

/** Opens a stage that is a chain by itself. @param number names the session */
export function openRequest(number = 1, successor: LinkEnd = coordinator): OpenRequest {
  return {
    ...{ type: 'open', id: 1, session: parseSessionId(number.toString(16).padStart(32, '0')) },
    ...{ model: parseModelId('m@00000000000000000000000000000000'), span, numerics, exact: false },
    ...{ kvTokens: 16, historyBytes: 0, encoding: 'raw', predecessor: coordinator, successor, leaseMs: 30_000 }
  }
}

/** A runtime that has room for every session, and computes nothing. */
export const roomyRuntime = {
  info: { span, entryPoints: [0, 1, 2], hiddenSize: 8, numerics, contextTokens: 1024, kvTokens: 1 << 20 },
  freeKvTokens: () => 1 << 20,
  reserve: () => Promise.resolve(),
  release: () => Promise.resolve()
} as unknown as SpanRuntime
