import assert from 'node:assert/strict'
import { readText, textFiles } from './repository.ts'

/** Words that mean something that has a name already, with that name. See the list of words in docs/architecture.md. */
const rightWords: [wrong: RegExp, right: string][] = [
  [/\b(?:model|weight|layer) shards?\b/i, 'span'],
  [/\blayer ranges?\b/i, 'span'],
  [/\bworker[ -]nodes?\b/i, 'node'],
  [/\b(?:server|host|compute) peers?\b/i, 'node'],
  [/\bhidden[ -]layer peers?\b/i, 'node'],
  [/\bpeer layers?\b/i, 'stage'],
  [/\borchestrators?\b/i, 'coordinator'],
  [/\bpipeline stages?\b/i, 'stage'],
  [/\bnode(?:'s)? adverts?\b|\badvertisements?\b/i, 'announcement']
]

describe('tidy: words', () => {
  it('are those of the design', () => {
    const found = textFiles()
      .filter((path) => /\.(?:ts|mjs|md)$/.test(path) && !path.startsWith('test/src/tidy/') && !path.includes('/generated/'))
      .flatMap((path) => {
        const text = readText(path)
        return rightWords.flatMap(([wrong, right]) => {
          const match = wrong.exec(text)
          return match === null ? [] : [`${path}:${text.slice(0, match.index).split('\n').length}: "${match[0]}" is called ${right} here`]
        })
      })
    assert.deepEqual(found, [])
  })
})
