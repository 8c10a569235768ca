import { readFileSync, statSync } from 'node:fs'
import { describeError, InvalidArgumentError } from '../errors.ts'
import type { Logger } from '../ports/logger.ts'
import { type LinkProfile, parseLinkProfile } from './link-profile.ts'

const maxFileBytes = 1_000_000

/** A link profile, and what gives a newer one when the file that it came from has changed: see `shapeNetwork`. */
export interface LinkSource {
  readonly profile: LinkProfile
  readonly reread?: () => LinkProfile | undefined
}

/**
 * Reads a profile from JSON text (what begins with `{`) or from a file that holds it. A file is read again when it changes;
 * what cannot be used then is told to the logger, and the link stays as it is.
 *
 * @throws InvalidArgumentError when there is no such file, or what it holds is no profile
 */
export function readLinkProfile(textOrFile: string, logger: Logger): LinkSource {
  if (isText(textOrFile)) return { profile: parseLinkProfile(textOrFile) }
  const profile = parseFile(textOrFile, readProfileFile(textOrFile))
  let last = textOf(textOrFile)
  const reread = (): LinkProfile | undefined => {
    const text = textOf(textOrFile)
    if (text === last) return undefined
    last = text
    try {
      return parseFile(textOrFile, text)
    } catch (error) {
      logger.warn('the link stays as it is: its profile has become one that cannot be used', {}, error)
      return undefined
    }
  }
  return { profile, reread }
}

/** Nothing when it cannot be read. */
function textOf(file: string): string {
  try {
    return readProfileFile(file)
  } catch {
    return ''
  }
}

function isText(textOrFile: string): boolean {
  return textOrFile.trimStart().startsWith('{')
}

function readProfileFile(file: string): string {
  try {
    if (statSync(file).size > maxFileBytes) throw new InvalidArgumentError(`it is larger than ${maxFileBytes} bytes`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new InvalidArgumentError(`the link profile ${file} is no JSON object and cannot be read as a file: ${describeError(error)}`, {
      cause: error
    })
  }
}

function parseFile(file: string, text: string): LinkProfile {
  try {
    return parseLinkProfile(text)
  } catch (error) {
    throw new InvalidArgumentError(`${file}: ${describeError(error)}`, { cause: error })
  }
}
