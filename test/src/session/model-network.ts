import type { ControlRequest, ControlResponse, LinkMessage } from '@skein/protocol'

export const totalBlocks = 6
export const kvTokens = 160
export const maxStepRows = 8
export const replayChunkRows = 6

/** A bug that the harness plants, to show that the test would see it. */
export type Mutation = 'staleCache' | 'appliedTwice' | 'oldTermAccepted'

export interface WorldConfig {
  readonly seed: number
  /** Rows of history that each stage reserves. */
  readonly historyRows: number
  readonly stages: number
  readonly spares: number
  readonly star: boolean
  readonly mutation?: Mutation
}

export type Random = (below: number) => number

export function seeded(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** One end of a channel: what takes delivered items. False means that it cannot take one now. */
export type Sink = (item: Item) => void
export type Item =
  | { readonly kind: 'message'; readonly message: LinkMessage | ControlRequest | ControlResponse; readonly body?: Uint8Array }
  /** `ended`: by the other end, and not because it broke. */
  | { readonly kind: 'closed'; readonly ended?: boolean }

export interface Pipe {
  readonly channel: Channel
  readonly from: string
  readonly to: string
  items: Item[]
  sink: Sink
  /** No reading before this time. */
  stalledUntilMs: number
}

export interface Channel {
  readonly kind: 'control' | 'link'
  readonly pipes: readonly [Pipe, Pipe]
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}
