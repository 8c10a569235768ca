import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { compileSnippets, type Snippet } from './compile-snippets.ts'
import { readText, root, textFiles } from './repository.ts'

describe('tidy: docs', function () {
  this.timeout(120_000)

  const documents = textFiles().filter((path) => path.endsWith('.md'))

  it('link only to files and headings that exist', () => {
    assert.deepEqual(documents.flatMap(brokenLinks), [])
  })

  it('show TypeScript that compiles', () => {
    const guides = documents.filter((path) => /(?:^|\/)README\.md$/.test(path) || path.startsWith('docs/guide/'))
    assert.deepEqual(compileSnippets(guides.map((path) => ({ path, snippets: snippetsOf(readText(path)) }))), [])
  })

  it('would find errors in snippets, so the check above is one', () => {
    const text = [
      '# A guide',
      '```ts',
      "import { SkeinError } from '@skein/protocol'",
      "const error = new SkeinError('a', 'b')",
      '```',
      '```ts',
      "import { SkeinError, isSkeinError } from '@skein/protocol'",
      'const right: boolean = isSkeinError(error)',
      'const wrong: number = error.code',
      '```',
      '```ts',
      'right',
      '```',
      ''
    ].join('\n')
    const errors = compileSnippets([{ path: 'guide.md', snippets: snippetsOf(text) }])
    assert.equal(errors.length, 2)
    assert.match(errors[0] ?? '', /^guide\.md:9: .*not assignable to type 'number'/)
    assert.match(errors[1] ?? '', /^guide\.md:12: .*'right'/)
  })
})

function snippetsOf(text: string): Snippet[] {
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length + 1,
    text: match[1]!
  }))
}

function brokenLinks(path: string): string[] {
  const prose = readText(path)
    .replaceAll(/^```.*?^```$/gms, '')
    .replaceAll(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap((match) => {
    const link = match[1]!
    if (/^[a-z][a-z+.-]*:/.test(link)) return []
    const [file, heading] = link.split('#')
    const target = file === '' ? path : normalize(join(dirname(path), decodeURIComponent(file!))).replaceAll('\\', '/')
    if (!existsSync(join(root, target))) return [`${path}: ${link} does not exist`]
    if (heading !== undefined && target.endsWith('.md') && !headings(target).has(heading)) return [`${path}: ${link}: no such heading`]
    return []
  })
}

/** The anchors that GitHub gives to the headings of a document. */
function headings(path: string): Set<string> {
  const text = readText(path).replaceAll(/^```.*?^```$/gms, '')
  const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-')
  )
  return new Set(anchors)
}
