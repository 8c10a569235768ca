/** Installs the packages that are missing. Plain Node.js: nothing is installed yet when this runs. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { formatMs, run, runNode } from './run.mjs'
import { cacheDir, packageFolders, readJson, requireNode, root } from './workspace.mjs'

const modules = join(root, 'node_modules')
/** Stands in node_modules, so that it goes when they go. */
const stampPath = join(modules, '.skein-install')
const installLock = join(cacheDir, 'install.lock')

/**
 * Makes node_modules match package-lock.json. Does nothing, in a few milliseconds, when it does already.
 *
 * @param {{ log?: (line: string) => void }} [options] `log` gets a line before and after an install
 * @returns {Promise<{ installed: boolean }>}
 * @throws Error when npm fails; npm's own output has then gone to standard error
 */
export async function ensureInstalled(options = {}) {
  requireNode()
  const log = options.log ?? ((line) => console.error(line))
  const wanted = fingerprint()
  if (stamped() === wanted) return { installed: false }
  const work = async (share) => {
    // Another process may have finished while this one waited. A person may also have run npm by hand.
    if (stamped() === wanted) return { installed: false }
    if (modulesMatchLock()) {
      writeFileSync(stampPath, wanted)
      return { installed: false }
    }
    log('installing packages with npm ci (about a minute the first time)')
    const { code, ms } = await npm(['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'], share)
    if (code !== 0) throw new Error(`npm ci failed with exit code ${code}: see its output above. Is the registry reachable?`)
    writeFileSync(stampPath, wanted)
    log(`installed in ${formatMs(ms)}`)
    return { installed: true }
  }
  return withLock(installLock, work, (holder) => log(`waiting for process ${holder}, which installs packages`))
}

/** Runs npm: the one that runs this script if there is one, else the one on the path. Its output goes to standard error. */
function npm(args, onSpawn) {
  // Also said in .npmrc; onnxruntime-node's own install script would otherwise fetch CUDA libraries.
  const env = { ...process.env, npm_config_ignore_scripts: 'true', ONNXRUNTIME_NODE_INSTALL: 'skip' }
  const npmCli = process.env.npm_execpath
  if (npmCli?.endsWith('.js') === true && existsSync(npmCli)) return runNode([npmCli, ...args], { env, toStderr: true, onSpawn })
  return run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, { env, toStderr: true, onSpawn })
}

function stamped() {
  return existsSync(stampPath) ? readFileSync(stampPath, 'utf8') : undefined
}

/** A hash of all that decides what npm would put into node_modules. */
function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`)
  for (const file of ['package-lock.json', 'package.json', '.npmrc', ...packageFolders().map((folder) => `${folder}/package.json`)]) {
    hash.update(`${file}\n`).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

/** Whether npm's own record of node_modules, which it writes last, has every package of the lock at its version. */
function modulesMatchLock() {
  const recordPath = join(modules, '.package-lock.json')
  if (!existsSync(recordPath)) return false
  const installed = readJson(recordPath).packages
  return Object.entries(readJson(join(root, 'package-lock.json')).packages).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true
    if (entry.link === true) return existsSync(join(root, path))
    if (entry.optional === true || entry.devOptional === true || entry.peer === true) return true
    return installed[path]?.version === entry.version && existsSync(join(root, path, 'package.json'))
  })
}

/** Makes the folder of small files that the scripts keep. */
export function ensureCacheDir() {
  mkdirSync(cacheDir, { recursive: true })
  return cacheDir
}
