import type { AnnouncementReader, PeerId, Random } from '@skein/protocol'
import type { Machine } from '../compute/machine.ts'
import type { WorldModel } from '../compute/world-model.ts'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { VirtualInternet } from '../net/virtual-network.ts'
import type { Recorder } from '../record/recorder.ts'
import type { RunEvent } from '../record/run-record.ts'
import type { Scenario } from '../scenario/scenario.ts'
import type { Census } from './census.ts'

/** Contacts that a newcomer is given, as a list of bootstrap peers would name them. */
export const contactCount = 4

/** What the peers of a world share. */
export interface WorldContext {
  readonly scenario: Scenario
  readonly model: WorldModel
  readonly clock: VirtualClock
  readonly internet: VirtualInternet
  /** Those that peers share, by name. */
  readonly machines: ReadonlyMap<string, Machine>
  /** Remembers: a thousand peers read the same announcements. */
  readonly reader: AnnouncementReader
  readonly recorder: Recorder
  /** Who serves now, as far as those who would know it at once can tell. */
  readonly census: Census
  /** A few peers that are up now, whom a newcomer may ask first. */
  contacts(self: PeerId, random: Random): PeerId[]
  nodeOf(peer: PeerId): number | undefined
  peersOf(nodes: Iterable<number>): PeerId[]
  happened(event: Omit<RunEvent, 'atMs'>): void
  /** Something that must hold does not. */
  violated(oracle: string, text: string, peers: readonly PeerId[]): void
}
