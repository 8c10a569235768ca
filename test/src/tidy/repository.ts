import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder; this file is compiled to test/dist/tidy. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))

const skippedFolders = new Set(['node_modules', 'dist', 'coverage', '.git', '.cache'])
const textFile = /\.(?:ts|mts|js|mjs|cjs|json|jsonc|md|yml|yaml|py|sh|txt|service)$|(?:^|\/)(?:\.npmrc|\.gitignore|run|Dockerfile|LICENSE)$/
const code = /\.(?:ts|mts|js|mjs|cjs)$/

/** The paths of all text files of the repository, relative to its root, with `/` between folders, sorted. */
export function textFiles(): string[] {
  return walk(root)
    .map((path) => relative(root, path).replaceAll('\\', '/'))
    .filter((path) => textFile.test(path))
    .sort()
}

/** Those of {@link textFiles} that a person wrote as code: nothing generated. */
export function codeFiles(): string[] {
  return textFiles().filter((path) => code.test(path) && !path.includes('/generated/'))
}

export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readText(join(folder, 'package.json'))) as Manifest
}

export interface Manifest {
  name: string
  version?: string
  license?: string
  engines?: Record<string, string>
  workspaces?: string[]
  dependencies?: Record<string, string>
  exports?: Record<string, unknown>
}

export function packageFolders(): string[] {
  return readManifest('.').workspaces ?? []
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return skippedFolders.has(entry.name) ? [] : walk(path)
    return entry.isFile() ? [path] : []
  })
}
