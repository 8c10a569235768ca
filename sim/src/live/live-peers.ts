import type { BlockRange } from '@skein/protocol'
import type { ClientGroup, NodeGroup } from '../scenario/scenario.ts'
import type { ChurnSchedule } from '../world/churn.ts'

/** A peer of a live run by its place in it, such as `node 3` or `client 0`. */
export type PlaceName = string

/** A node to be started as a process. */
export interface LiveNodePlan {
  readonly number: number
  readonly place: PlaceName
  readonly group: NodeGroup
  readonly region: string
  readonly span: BlockRange
  readonly upMbps: number
  readonly downMbps: number
  /** When it comes and goes; undefined when it never leaves. */
  readonly schedule: ChurnSchedule | undefined
}

/** A client to be run in this process. */
export interface LiveClientPlan {
  readonly number: number
  readonly place: PlaceName
  readonly group: ClientGroup
  readonly region: string
  readonly upMbps: number
  readonly downMbps: number
}
