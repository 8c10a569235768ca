/**
 * `npm run bench`: runs every `*.bench.ts` of this folder, prints their figures, and fails when a target is missed.
 *
 *   npm run bench -- --only runtime   one of them, or several with commas
 *   npm run bench -- --list           their names
 *   npm run bench -- --quick          few rounds, only to see that they run
 *   npm run bench -- --json           one JSON object on standard output, and nothing else there
 */
import { readdirSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { describeError } from '@skein/protocol'
import { isMet, type Bench, type BenchReport } from './bench.ts'
import { formatFigure, formatTable } from './table.ts'

type Result = { name: string; about: string } & ({ report: BenchReport } | { error: string })

process.exitCode = await main()

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }
    }
  })
  const benches = await findBenches()
  if (values.list) {
    for (const { name, about } of benches) console.log(`${name.padEnd(20)} ${about}`)
    return 0
  }
  const wanted = (values.only ?? []).flatMap((list) => list.split(','))
  const unknown = wanted.find((name) => !benches.some((bench) => bench.name === name))
  if (unknown !== undefined) {
    console.error(`there is no benchmark ${unknown}; there are: ${benches.map((bench) => bench.name).join(', ')}`)
    return 2
  }
  const machine = describeMachine()
  if (!values.json) console.log(machineLine(machine))
  const results: Result[] = []
  for (const bench of benches.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const result = await runBench(bench, values.quick)
    results.push(result)
    if (!values.json) print(result)
  }
  if (values.json) console.log(JSON.stringify({ machine, quick: values.quick, results }))
  // Figures of a quick run are not to be trusted, so neither are its misses.
  return results.some((result) => 'error' in result || (!values.quick && !result.report.targets.every(isMet))) ? 1 : 0
}

/** In the order of the files' names; the files are the compiled ones beside this. */
async function findBenches(): Promise<Bench[]> {
  const files = readdirSync(fileURLToPath(new URL('.', import.meta.url))).filter((file) => file.endsWith('.bench.js'))
  return Promise.all(files.sort().map(async (file) => ((await import(`./${file}`)) as { bench: Bench }).bench))
}

async function runBench(bench: Bench, quick: boolean): Promise<Result> {
  const { name, about } = bench
  // Processes that a bench has started do not keep this one alive while it waits for them to end.
  const awake = setInterval(() => {}, 1000)
  try {
    return { name, about, report: await bench.run({ quick, log: (line) => console.error(`${name}: ${line}`) }) }
  } catch (error) {
    return { name, about, error: describeError(error) }
  } finally {
    clearInterval(awake)
  }
}

function print(result: Result): void {
  console.log(`\n== ${result.name}: ${result.about} ==`)
  if ('error' in result) {
    console.log(`failed: ${result.error}`)
    return
  }
  const { measures, targets, notes } = result.report
  if (measures.length > 0) {
    const rows = measures.map((measure) => [
      measure.name,
      measure.unit,
      ...[measure.median, measure.p95, measure.min, measure.max].map(formatFigure),
      String(measure.samples)
    ])
    for (const line of formatTable(['measured', 'unit', 'median', 'p95', 'min', 'max', 'samples'], rows)) console.log(line)
  }
  for (const target of targets) {
    const limit = `${target.kind === 'at-most' ? 'at most' : 'at least'} ${formatFigure(target.limit)}`
    console.log(`${isMet(target) ? '✓' : '✗'} ${target.name}: ${formatFigure(target.value)} (${limit})`)
  }
  for (const note of notes) console.log(`note: ${note}`)
}

/** What the figures depend on. `cores` is what this process may use, which is what it is pinned to where it is pinned. */
function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    loadBefore: loadavg()[0] ?? 0,
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node
  }
}

function machineLine(machine: ReturnType<typeof describeMachine>): string {
  const { cpu, cores, loadBefore, memoryBytes, node, platform } = machine
  const busy = loadBefore > 0.5 ? ', BUSY: the figures are not to be trusted' : ''
  return `${cpu}, ${cores} cores for this process, ${(memoryBytes / 2 ** 30).toFixed(1)} GiB, ${platform}, Node ${node}, load ${loadBefore.toFixed(2)}${busy}`
}
