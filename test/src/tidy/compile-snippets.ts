import { join } from 'node:path'
import ts from 'typescript'
import { root } from './repository.ts'

export interface Snippet {
  /** The line of the document on which it begins. */
  line: number
  text: string
}

export interface SnippetDocument {
  path: string
  /** The first sets the scene; each later one sees what the first declares, and nothing of the others. */
  snippets: Snippet[]
}

/** A line of the module that a document becomes, with the line of the document that it came from. */
interface ModuleLine {
  text: string
  line: number
}

/**
 * Type-checks the snippets of documents as modules of the test package, one a document, so that `@skein/...` means what a
 * user gets: the built packages by their `exports`. Nothing is written.
 *
 * @returns one line per error, empty when all is well
 */
export function compileSnippets(documents: SnippetDocument[]): string[] {
  const modules = new Map(
    documents
      .filter(({ snippets }) => snippets.length > 0)
      .map((document, index) => [
        join(root, 'test', 'src', 'tidy', `document-${index}.ts`),
        { path: document.path, lines: toModule(document.snippets) }
      ])
  )
  if (modules.size === 0) return []
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.dom.asynciterable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    moduleDetection: ts.ModuleDetectionKind.Force,
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    noEmit: true
  }
  const host = ts.createCompilerHost(options)
  const textOf = (path: string): string | undefined =>
    modules
      .get(path)
      ?.lines.map(({ text }) => text)
      .join('\n')
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (path) => modules.has(path) || fileExists(path)
  host.readFile = (path) => textOf(path) ?? readFile(path)
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const text = textOf(path)
    return text === undefined ? getSourceFile(path, languageVersion, ...rest) : ts.createSourceFile(path, text, languageVersion, true)
  }
  host.getCurrentDirectory = () => join(root, 'test')
  return ts.getPreEmitDiagnostics(ts.createProgram([...modules.keys()], options, host)).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ')
    const { file, start } = diagnostic
    const module = file === undefined ? undefined : modules.get(file.fileName)
    if (file === undefined || start === undefined || module === undefined) return message
    return `${module.path}:${module.lines[file.getLineAndCharacterOfPosition(start).line]?.line}: ${message}`
  })
}

/** The imports of all, once each; then the first snippet, then each other one in a block of its own. */
function toModule(snippets: Snippet[]): ModuleLine[] {
  const imports = new Map<string, ModuleLine>()
  const body: ModuleLine[] = []
  for (const [index, snippet] of snippets.entries()) {
    const lines = snippet.text.split('\n').map((text, offset) => ({ text, line: snippet.line + offset }))
    const isImport = ({ text }: ModuleLine): boolean => /^import\b/.test(text)
    for (const line of lines.filter(isImport).flatMap(splitImport)) if (!imports.has(line.text)) imports.set(line.text, line)
    const rest = lines.filter((line) => !isImport(line))
    if (index === 0) body.push(...rest)
    else body.push({ text: '{', line: snippet.line }, ...rest, { text: '}', line: snippet.line })
  }
  return [...imports.values(), ...body]
}

/** One import a name, so that two snippets may import overlapping names. */
function splitImport({ text, line }: ModuleLine): ModuleLine[] {
  const match = /^import (type )?\{ (.+) \} from (.+)$/.exec(text)
  if (match === null) return [{ text, line }]
  const [, type = '', names, from] = match
  return names!.split(', ').map((name) => ({ text: `import ${type}{ ${name} } from ${from}`, line }))
}
