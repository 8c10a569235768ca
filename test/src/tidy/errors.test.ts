import assert from 'node:assert/strict'
import { codeFiles, readText } from './repository.ts'

const document = 'docs/reference/errors.md'

describe('tidy: error codes', () => {
  const sources = codeFiles().filter((path) => /^(?:protocol|node|coordinator|sim)\/src\//.test(path) && !isTest(path))
  const documented = [...readText(document).matchAll(/^\| `(ERR_SKEIN_[A-Z0-9_]+)` \| (.+?) \| (.+?) \|$/gm)]

  it('have each a row in the reference, and each row a use', () => {
    const rows = documented.map((row) => row[1]!)
    assert.deepEqual(rows, [...new Set(rows)], 'a code has two rows')
    const used = new Map<string, string>()
    for (const path of sources) for (const [, found] of readText(path).matchAll(/'(ERR_SKEIN_[A-Z0-9_]*[A-Z0-9])'/g)) used.set(found!, path)
    const missing = [...used].filter(([found]) => !rows.includes(found)).map(([found, path]) => `${found} (${path})`)
    assert.deepEqual(missing, [], `add a row to ${document} for each of these`)
    assert.deepEqual(
      rows.filter((row) => !used.has(row)),
      [],
      `no code has these any more; remove their rows from ${document}`
    )
  })

  it('are real where a comment names them', () => {
    const rows = new Set(documented.map((row) => row[1]))
    const unknown = sources.flatMap((path) =>
      [...readText(path).matchAll(/`(ERR_SKEIN_[A-Z0-9_]*[A-Z0-9])`/g)]
        .filter(([, found]) => !rows.has(found))
        .map(([, found]) => `${found} in ${path}`)
    )
    assert.deepEqual(unknown, [])
  })
})

function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.includes('/testing/') || path.includes('/testing.')
}
