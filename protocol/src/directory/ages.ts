/**
 * Signs of life, as they travel: by the ages of what two peers both hold, in a byte each. So a swarm in which nothing
 * changes costs little however often its members are heard of.
 *
 * @packageDocumentation
 */
import { limits } from '../limits.ts'
import type { ModelId } from '../ids.ts'
import type { DeltaResponse } from '../messages/directory.ts'
import type { AnnouncementStore, StoredAnnouncement } from './announcement-store.ts'
import type { Digest } from './digest.ts'

/** Parts of a life. Ages are rounded up, so that no record grows younger by travelling. */
const partsOfLife = 255

/** How long ago the peer of a record was last heard of, as a byte. */
export function partsOfAge(store: AnnouncementStore, record: StoredAnnouncement, nowMs: number): number {
  return Math.min(partsOfLife, Math.ceil((store.ageMs(record, nowMs) * partsOfLife) / record.lifeMs))
}

/**
 * Takes in what an answer says of the lives of peers whose announcements are held.
 *
 * @param held - what was compared, in the order of the peer ids
 * @param digest - that of `held`
 */
export function hearDelta(
  store: AnnouncementStore,
  model: ModelId,
  held: readonly StoredAnnouncement[],
  digest: Digest,
  delta: DeltaResponse,
  nowMs: number
): void {
  for (const [peer, sequence, ageMs] of delta.entries) store.hear(model, peer, sequence, ageMs, nowMs)
  const differs = new Uint8Array(digest.words.length)
  for (const bucket of delta.buckets) differs[bucket] = 1
  const { buckets } = digest
  let same = 0
  for (let index = 0; index < held.length; index++) if (differs[buckets[index] as number] === 0) same++
  // Of another length they are of other records: two that differ have the same digest, which the next salt brings to light.
  if (delta.ages.length !== Math.min(same, limits.maxDirectoryAges)) return
  let next = 0
  for (let index = 0; index < held.length && next < delta.ages.length; index++) {
    if (differs[buckets[index] as number] !== 0) continue
    const parts = delta.ages[next++] as number
    const record = held[index] as StoredAnnouncement
    if (parts < partsOfLife) store.hearOf(record, (parts * record.lifeMs) / partsOfLife, nowMs)
  }
}
