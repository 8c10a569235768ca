/**
 * `npm test`: installs and builds what is missing, checks the code, runs the tests. The last line is `N passed, N failed`.
 *
 *   npm test                          everything
 *   npm test -- --only node           the tests of one package (or several: --only node,sim)
 *   npm test -- --only lint           one check: lint, format, architecture or unused
 *   npm test -- --grep "cuts back"    the tests whose title matches, in all packages
 *   npm test -- --checks              the checks and no tests
 *   npm test -- --no-coverage         without measuring coverage
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { declarationsFingerprint, ensureBuilt } from './lib/build.mjs'
import { c8Arguments, coverageTable } from './lib/coverage.mjs'
import { ensureCacheDir, ensureInstalled } from './lib/install.mjs'
import { formatMs, runNode } from './lib/run.mjs'
import { cacheDir, packageFolders, readJson, root, toolPath } from './lib/workspace.mjs'

const lintCache = join(cacheDir, 'eslint')

/** Each check counts as one passed or failed in the closing line. */
const checks = [
  {
    name: 'lint',
    tool: ['eslint'],
    args: ['--max-warnings=0', '--cache', '--cache-strategy=content', `--cache-location=${lintCache}/results`, '.']
  },
  {
    name: 'format',
    tool: ['prettier'],
    args: ['--check', '--log-level=warn', '--cache', '--cache-strategy=content', '.']
  },
  {
    name: 'architecture',
    tool: ['dependency-cruiser', 'depcruise'],
    args: ['--config', '.dependency-cruiser.cjs', '--output-type', 'err-long', ...packageFolders().map((folder) => `${folder}/src`)]
  },
  { name: 'unused', tool: ['knip'], args: ['--no-progress', '--no-config-hints'] }
]

/** The tools' output passes through a pipe, so they cannot see where it goes. */
const colorEnv = { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }) }
if (!process.stdout.isTTY) delete colorEnv.FORCE_COLOR

const options = readOptions()
const started = performance.now()
const totals = { passed: 0, failed: 0, skipped: 0 }
const failures = []

try {
  await main()
} catch (error) {
  console.error(error.message)
  totals.failed++
  failures.push('install')
}
console.log()
if (totals.skipped > 0) console.log(`skipped tests: ${totals.skipped}`)
if (failures.length > 0) console.log(`failed: ${failures.join(', ')}`)
console.log(`took ${formatMs(performance.now() - started)}`)
console.log(`${totals.passed} passed, ${totals.failed} failed`)
process.exitCode = totals.failed === 0 ? 0 : 1

async function main() {
  heading('install')
  const { installed } = await ensureInstalled({ log: console.log })
  if (!installed) console.log('up to date')
  ensureCacheDir()

  heading('build')
  const { built, ok, output } = await ensureBuilt({ log: console.log })
  if (!built) console.log('up to date')
  if (!ok) console.log(output)
  count('build', ok)

  if (options.checks.length > 0) {
    heading('checks')
    dropStaleLintCache()
    await runChecks(options.checks)
  }
  if (options.packages.length > 0) {
    heading('tests')
    await runTests(options.packages)
  }
}

function readOptions() {
  const spec = {
    only: { type: 'string', multiple: true },
    grep: { type: 'string', short: 'g' },
    checks: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: true },
    help: { type: 'boolean', short: 'h', default: false }
  }
  try {
    const { values } = parseArgs({ options: spec, allowNegative: true })
    const wanted = (values.only ?? []).flatMap((list) => list.split(','))
    const known = [...checks.map((check) => check.name), ...packageFolders()]
    const unknown = wanted.find((name) => !known.includes(name))
    if (unknown !== undefined) throw new Error(`--only does not know ${unknown}; it knows ${known.join(', ')}`)
    if (values.help) {
      console.log(`npm test -- [--only ${known.join('|')}] [--grep TEXT] [--checks] [--no-coverage]`)
      process.exit(0)
    }
    const partial = wanted.length > 0 || values.grep !== undefined
    const isWanted = (name) => wanted.length === 0 || wanted.includes(name)
    return {
      grep: values.grep,
      checks: checks.filter((check) => (partial && !values.checks ? wanted.includes(check.name) : isWanted(check.name))),
      packages: values.checks ? [] : packageFolders().filter(isWanted),
      coverage: values.coverage && !partial
    }
  } catch (error) {
    console.error(error.message)
    process.exit(2)
  }
}

function heading(text) {
  console.log(`\n== ${text} ==`)
}

function count(name, ok) {
  if (ok) totals.passed++
  else {
    totals.failed++
    failures.push(name)
  }
}

/** Runs the checks, as many at a time as there are cores, and prints each one's output in one piece. */
async function runChecks(wanted) {
  const queue = [...wanted]
  const worker = async () => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      const { code, output, ms } = await runNode([toolPath(...check.tool), ...check.args], { capture: true, env: colorEnv })
      console.log(`${code === 0 ? '✓' : '✗'} ${check.name} (${formatMs(ms)})`)
      if (code !== 0) console.log(output.trimEnd())
      count(check.name, code === 0)
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), wanted.length) }, worker))
}

/** What eslint remembers of a file is wrong once the types that the file imports have changed. */
function dropStaleLintCache() {
  const stampPath = join(lintCache, 'declarations')
  const declarations = declarationsFingerprint()
  if (existsSync(stampPath) && readFileSync(stampPath, 'utf8') === declarations) return
  rmSync(lintCache, { recursive: true, force: true })
  mkdirSync(lintCache, { recursive: true })
  writeFileSync(stampPath, declarations)
}

async function runTests(packages) {
  const files = packages.flatMap((folder) => findTests(join(folder, 'dist')))
  if (files.length === 0) {
    console.log('there are no tests')
    return
  }
  const statsPath = join(cacheDir, `mocha-${process.pid}.json`)
  const mocha = [toolPath('mocha'), '--reporter', 'scripts/lib/mocha-reporter.cjs', ...files]
  if (options.grep !== undefined) mocha.push('--grep', options.grep)
  const command = options.coverage ? [toolPath('c8'), ...c8Arguments, process.execPath, ...mocha] : mocha
  const { code, ms } = await runNode(command, { env: { ...process.env, SKEIN_MOCHA_STATS: statsPath } })
  console.log(`tests took ${formatMs(ms)}`)
  const stats = existsSync(statsPath) ? readJson(statsPath) : undefined
  rmSync(statsPath, { force: true })
  if (stats === undefined) {
    console.log('mocha ended before it could report: see above')
    count('tests', false)
    return
  }
  totals.passed += stats.passed
  totals.failed += stats.failed
  totals.skipped += stats.skipped
  if (stats.failed > 0) failures.push('tests')
  else if (code !== 0) count(`tests (exit code ${code} though none failed)`, false)
  if (options.coverage) for (const line of ['', ...coverageTable()]) console.log(line)
}

/** @returns {string[]} the compiled tests below a folder, relative to the root, in a fixed order */
function findTests(folder) {
  const path = join(root, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => join(folder, file))
    .sort()
}
