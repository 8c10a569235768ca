/**
 * The slowest that a stage of a healthy swarm may be, before anything was learnt of it. They are far below what anybody
 * wants to use: whoever is slower is not told from somebody who is stuck.
 */
const slowestMsPerRow = 200
/** Half a megabit a second. */
const slowestBytesPerMs = 64

/**
 * How long a step may take by its size alone: its bytes on a slow uplink, and its rows on a slow machine. One row of any
 * model takes a fraction of a second; a chunk of 128 rows of a 70B model is two megabytes, and half a minute on a laptop.
 */
export function stepPatienceMs(rows: number, bytesPerRow: number): number {
  return rows * (slowestMsPerRow + bytesPerRow / slowestBytesPerMs)
}
