/**
 * Parsers of flag values, shared by the commands of this package and of the coordinator. Each throws commander's
 * `InvalidArgumentError`, which prints one line and exits with 2.
 *
 * @packageDocumentation
 */
import { isSkeinError, parseBlockRange, type BlockRange } from '@skein/protocol'
import { InvalidArgumentError } from 'commander'

/** An integer of at least `minimum` and at most `maximum`. */
export function integerParser(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN
    if (!(value >= minimum && value <= maximum)) {
      throw new InvalidArgumentError(
        `expected an integer ${maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`}.`
      )
    }
    return value
  }
}

/** A number of at least `minimum` and at most `maximum`. */
export function numberParser(minimum: number, maximum = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!(value >= minimum && value <= maximum)) {
      throw new InvalidArgumentError(
        `expected a number ${maximum === Number.MAX_VALUE ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`}.`
      )
    }
    return value
  }
}

/** A path: an empty one, as of a variable that is set to nothing, would mean the folder in which the command was started. */
export function parsePath(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('expected a path.')
  return text
}

/** `START:END`, or undefined for `all`. */
export function parseBlocks(text: string): BlockRange | undefined {
  if (text === 'all') return undefined
  try {
    return parseBlockRange(text)
  } catch (error) {
    throw new InvalidArgumentError(isSkeinError(error) ? `${error.message}.` : 'expected START:END.')
  }
}

/** Adds to what earlier uses of the same flag gave; commas separate several in one use, as in an environment variable. */
export function collect(text: string, earlier: readonly string[] | undefined): string[] {
  const added = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  return [...(earlier ?? []), ...added]
}
