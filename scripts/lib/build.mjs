/** Compiles the packages when their sources changed, and only then. */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { withLock } from './lock.mjs'
import { formatMs, run, runNode } from './run.mjs'
import { cacheDir, packageBins, packageFolders, root, toolPath } from './workspace.mjs'

const stampPath = join(cacheDir, 'build-stamp')
const buildLock = join(cacheDir, 'build.lock')
const compiled = /\.(?:js|d\.ts)(?:\.map)?$/

/**
 * Makes every package's `dist` match its `src`. Does nothing, in some ten milliseconds, when it does already.
 *
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<{ built: boolean, ok: boolean, output: string }>} `ok` is false when the compiler found errors, which are
 *   then in `output`
 */
export async function ensureBuilt(options = {}) {
  const log = options.log ?? ((line) => console.error(line))
  const work = async () => {
    const sources = listSources()
    const before = fingerprint(sources)
    const missing = packagesWithMissingOutput(sources)
    if (missing.length === 0 && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === before) {
      return { built: false, ok: true, output: '' }
    }
    log('building with tsc -b')
    removeOrphans(sources)
    // The compiler believes its record; it would not notice that an output was deleted.
    for (const folder of missing) rmSync(join(root, folder, 'dist', '.tsbuildinfo'), { force: true })
    const { code, output, ms } = await runNode([toolPath('typescript', 'tsc'), '-b'], { capture: true })
    if (code !== 0) return { built: true, ok: false, output }
    await linkBins()
    // Sources that were edited during the build have another fingerprint, so the next call builds again.
    writeFileSync(stampPath, before)
    log(`built in ${formatMs(ms)}`)
    return { built: true, ok: true, output }
  }
  return withLock(buildLock, work, (holder) => log(`waiting for process ${holder}, which builds`))
}

/** @returns {Map<string, string[]>} package folder -> paths of its `.ts` files below `src`, sorted */
function listSources() {
  return new Map(
    packageFolders().map((folder) => {
      const src = join(root, folder, 'src')
      const files = listFiles(src).map((file) => relative(src, file))
      return [folder, files.filter((file) => file.endsWith('.ts')).sort()]
    })
  )
}

function listFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

function fingerprint(sources) {
  const hash = createHash('sha256')
  const add = (file) => hash.update(`${file}\n`).update(readFileSync(join(root, file)))
  for (const file of ['package-lock.json', 'tsconfig.base.json', 'tsconfig.json']) add(file)
  for (const [folder, files] of sources) {
    for (const file of ['package.json', 'tsconfig.json', ...files.map((name) => join('src', name))]) add(join(folder, file))
  }
  return hash.digest('hex')
}

/**
 * A hash of all that one source file can see of the others: their compiled declarations, and the installed packages. While
 * it stays the same, what a linter with types said about a file stays true as long as that file stays the same.
 */
export function declarationsFingerprint() {
  const hash = createHash('sha256')
  for (const folder of packageFolders()) {
    const files = listFiles(join(root, folder, 'dist')).filter((file) => file.endsWith('.d.ts'))
    for (const file of files.sort()) hash.update(`${relative(root, file)}\n`).update(readFileSync(file))
  }
  for (const file of ['package-lock.json', 'eslint.config.js', 'tsconfig.base.json']) hash.update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function packagesWithMissingOutput(sources) {
  return [...sources].flatMap(([folder, files]) => {
    const dist = join(root, folder, 'dist')
    const outputs = files.filter((file) => !file.endsWith('.d.ts')).map((file) => file.replace(/\.ts$/, '.js'))
    return outputs.every((file) => existsSync(join(dist, file))) ? [] : [folder]
  })
}

/** Deletes outputs whose source is gone: mocha would still run a deleted test. */
function removeOrphans(sources) {
  for (const [folder, files] of sources) {
    const dist = join(root, folder, 'dist')
    const known = new Set(files.map((file) => file.replace(/(?:\.d)?\.ts$/, '')))
    for (const file of listFiles(dist)) {
      const name = relative(dist, file)
      if (compiled.test(name) && !known.has(name.replace(compiled, ''))) rmSync(file)
    }
  }
}

/** npm links a package's commands only if they exist, and on a fresh clone they do not before the first build. */
async function linkBins() {
  const bins = packageBins().filter((bin) => existsSync(bin.file))
  for (const { name, file } of bins) {
    if (process.platform === 'win32') continue
    chmodSync(file, 0o755)
    const link = join(root, 'node_modules', '.bin', name)
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    mkdirSync(dirname(link), { recursive: true })
    try {
      symlinkSync(relative(dirname(link), file), link)
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
  }
  if (process.platform === 'win32' && bins.some(({ name }) => !existsSync(join(root, 'node_modules', '.bin', `${name}.cmd`)))) {
    await run('npm.cmd', ['rebuild', '--ignore-scripts'], { toStderr: true })
  }
}
