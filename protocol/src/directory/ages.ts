/**
 * Signs of life, as they travel: by the ages of what two peers both hold, in a byte each. So a swarm in which nothing
 * changes costs little however often its members are heard of.
 *
 * @packageDocumentation
 */
import { limits } from '../limits.ts'
import type { ModelId } from '../ids.ts'
import type { DeltaResponse } from '../messages/directory.ts'
import type { AnnouncementStore } from './announcement-store.ts'
import type { Digest } from './digest.ts'
import type { ComparedRecords, RecordRows } from './model-records.ts'

/** Parts of a life. Ages are rounded up, so that no record grows younger by travelling. */
const partsOfLife = 255

/** How long ago the peers of records that are held were last heard of, a byte each. */
export function partsOfAges({ columns: { heardMs, lifeMs }, rows }: RecordRows, nowMs: number): Uint8Array {
  const parts = new Uint8Array(rows.length)
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number
    const ageMs = Math.max(0, nowMs - (heardMs[row] as number))
    parts[index] = Math.min(partsOfLife, Math.ceil((ageMs * partsOfLife) / (lifeMs[row] as number)))
  }
  return parts
}

/**
 * Takes in what an answer says of the lives of peers whose announcements are held.
 *
 * @param held - what was compared
 * @param digest - that of `held`
 */
export function hearDelta(
  store: AnnouncementStore,
  model: ModelId,
  held: ComparedRecords,
  digest: Digest,
  delta: DeltaResponse,
  nowMs: number
): void {
  for (const [peer, sequence, ageMs] of delta.entries) store.hear(model, peer, sequence, ageMs, nowMs)
  const differs = new Uint8Array(digest.words.length)
  for (const bucket of delta.buckets) differs[bucket] = 1
  const { columns, rows } = store.whereNow(model, held)
  const agesMs = new Float64Array(rows.length).fill(Infinity)
  let same = 0
  for (let index = 0; index < rows.length; index++) {
    if (differs[digest.buckets[index] as number] !== 0) continue
    const parts = delta.ages[same++] ?? partsOfLife
    if (parts < partsOfLife) agesMs[index] = (parts * (columns.lifeMs[rows[index] as number] as number)) / partsOfLife
  }
  // Of another length they are of other records: two that differ have the same digest, which the next salt brings to light.
  if (delta.ages.length === Math.min(same, limits.maxDirectoryAges)) store.hearAll(model, rows, agesMs, nowMs)
}
