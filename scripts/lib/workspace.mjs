/** Where things are in this repository, and which packages it has. Plain Node.js: nothing may be installed yet. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** Small files that the scripts keep between calls; may be deleted at any time. */
export const cacheDir = join(root, '.cache')

/** @param {string} path */
export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** The folders of the packages, in the order of their dependencies. @returns {string[]} */
export function packageFolders() {
  return readJson(join(root, 'package.json')).workspaces
}

/** The commands that the packages bring. @returns {{ name: string, file: string, package: string }[]} */
export function packageBins() {
  return packageFolders().flatMap((folder) => {
    const manifest = readJson(join(root, folder, 'package.json'))
    return Object.entries(manifest.bin ?? {}).map(([name, file]) => ({ name, file: join(root, folder, file), package: manifest.name }))
  })
}

/** The JavaScript file behind a tool's command, so that no shell and no `npx` stand between. */
export function toolPath(packageName, binName = packageName) {
  const folder = join(root, 'node_modules', packageName)
  const { bin } = readJson(join(folder, 'package.json'))
  const file = typeof bin === 'string' ? bin : bin[binName]
  if (file === undefined || !existsSync(join(folder, file))) throw new Error(`${packageName} has no command ${binName}: run npm ci`)
  return join(folder, file)
}

/** Stops with advice when this Node.js is older than package.json asks for. */
export function requireNode() {
  const wanted = /(\d+)\.(\d+)/.exec(readJson(join(root, 'package.json')).engines.node)
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [wantedMajor, wantedMinor] = [Number(wanted[1]), Number(wanted[2])]
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return
  console.error(`skein needs Node.js ${wantedMajor}.${wantedMinor} or newer; this is ${process.versions.node}. See https://nodejs.org`)
  process.exit(2)
}
