import { join } from 'node:path'
import ts from 'typescript'
import { root } from './repository.ts'

export interface Snippet {
  /** Where it stands, for the message. */
  name: string
  text: string
}

/**
 * Type-checks pieces of TypeScript as modules of the test package, so that `@skein/...` means what a user gets: the built
 * packages by their `exports`. Nothing is written.
 *
 * @returns one line per error, empty when all is well
 */
export function compileSnippets(snippets: Snippet[]): string[] {
  if (snippets.length === 0) return []
  const folder = join(root, 'test', 'src', 'tidy')
  const files = new Map(snippets.map((snippet, index) => [join(folder, `snippet-${index}.ts`), snippet]))
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
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path)?.text ?? readFile(path)
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const snippet = files.get(path)
    if (snippet === undefined) return getSourceFile(path, languageVersion, ...rest)
    return ts.createSourceFile(path, snippet.text, languageVersion, true)
  }
  host.getCurrentDirectory = () => join(root, 'test')
  const program = ts.createProgram([...files.keys()], options, host)
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ')
    const { file, start } = diagnostic
    if (file === undefined || start === undefined) return message
    const name = files.get(file.fileName)?.name ?? file.fileName
    return `${name}: line ${file.getLineAndCharacterOfPosition(start).line + 1}: ${message}`
  })
}
