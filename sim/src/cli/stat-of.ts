import { type Stats, statSync } from 'node:fs'

/** What is at a path; undefined if nothing can be: it is not there, is below a file, or is no path at all. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}
