import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { compileSnippets } from './compile-snippets.ts'
import { readText, root, textFiles } from './repository.ts'

describe('tidy: docs', () => {
  const documents = textFiles().filter((path) => path.endsWith('.md'))

  it('link only to files and headings that exist', () => {
    assert.deepEqual(documents.flatMap(brokenLinks), [])
  })

  it('show TypeScript that compiles', () => {
    const guides = documents.filter((path) => /(?:^|\/)README\.md$/.test(path) || path.startsWith('docs/guide/'))
    const snippets = guides.flatMap((path) =>
      [...readText(path).matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => ({
        name: `${path}:${readText(path).slice(0, match.index).split('\n').length + 1}`,
        text: match[1]!
      }))
    )
    assert.deepEqual(compileSnippets(snippets), [])
  })

  it('would find an error in a snippet, so the check above is one', () => {
    const wrong = [
      { name: 'wrong', text: "import { SkeinError } from '@skein/protocol'\nconst code: number = new SkeinError('a', 'b').code\n" }
    ]
    const [error] = compileSnippets(wrong)
    assert.match(error ?? '', /^wrong: line 2: .*not assignable to type 'number'/)
  })
})

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
