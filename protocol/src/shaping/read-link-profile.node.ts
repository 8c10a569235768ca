import { readFileSync, statSync } from 'node:fs'
import { describeError, InvalidArgumentError } from '../errors.ts'
import { type LinkProfile, parseLinkProfile } from './link-profile.ts'

const maxFileBytes = 1_000_000

/**
 * Reads a profile from JSON text (what begins with `{`) or from a file that holds it.
 *
 * @throws InvalidArgumentError when there is no such file, or what it holds is no profile
 */
export function readLinkProfile(textOrFile: string): LinkProfile {
  if (textOrFile.trimStart().startsWith('{')) return parseLinkProfile(textOrFile)
  let text: string
  try {
    if (statSync(textOrFile).size > maxFileBytes) throw new InvalidArgumentError(`it is larger than ${maxFileBytes} bytes`)
    text = readFileSync(textOrFile, 'utf8')
  } catch (error) {
    throw new InvalidArgumentError(
      `the link profile ${textOrFile} is no JSON object and cannot be read as a file: ${describeError(error)}`,
      {
        cause: error
      }
    )
  }
  try {
    return parseLinkProfile(text)
  } catch (error) {
    throw new InvalidArgumentError(`${textOrFile}: ${describeError(error)}`, { cause: error })
  }
}
