import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Bench, BenchMeasure, BenchTarget } from './bench.ts'
import { summarize } from './stats.ts'

interface World {
  readonly name: string
  readonly nodes: number
  readonly users: number
  /** For which there are users; that everything comes to its end afterwards is not counted as gain. */
  readonly minutes: number
  /** Virtual seconds per second of wall time that it must reach, and memory that it must not pass. */
  readonly leastSpeed?: number
  readonly mostBytes?: number
}

const GB = 1e9

const worlds: readonly World[] = [
  { name: '100 nodes, 50 users', nodes: 100, users: 50, minutes: 10 },
  // The scenario as it is shipped.
  { name: '1,000 nodes, 50 users', nodes: 1000, users: 50, minutes: 60, leastSpeed: 20, mostBytes: 1.5 * GB },
  { name: '10,000 nodes, 20 users', nodes: 10_000, users: 20, minutes: 10, leastSpeed: 1, mostBytes: 6 * GB }
]

/** What one run printed. */
interface Printed {
  readonly wallMs: number
  readonly events: number
  readonly peakMemoryBytes: number
  readonly violations: number
}

export const bench: Bench = {
  name: 'sim-swarm',
  about: 'whole swarms with churn in the simulator: the scenario thousand, and smaller and larger ones, each in a process of its own',
  async run({ quick, log }) {
    const measures: BenchMeasure[] = []
    const targets: BenchTarget[] = []
    for (const { name, nodes, users, minutes: full, leastSpeed, mostBytes } of quick ? worlds.slice(0, 1) : worlds) {
      const minutes = quick ? 1 : full
      log(`${name}, ${minutes} minutes of virtual time`)
      const run = await simulate([`duration=${minutes}m`, `nodes.homes.count=${nodes}`, `clients.users.count=${users}`])
      if (run.violations > 0) throw new Error(`${name}: ${run.violations} violations; skein-sim run thousand shows them`)
      const speed = (minutes * 60_000) / run.wallMs
      measures.push(summarize(`${name}: an event`, 'us', [(1000 * run.wallMs) / run.events]))
      measures.push(summarize(`${name}: virtual to wall time`, 'ratio', [speed]))
      measures.push(summarize(`${name}: peak memory`, 'MB', [run.peakMemoryBytes / 1e6]))
      if (leastSpeed !== undefined) {
        targets.push({ name: `${name}: virtual to wall time`, value: speed, limit: leastSpeed, kind: 'at-least' })
      }
      if (mostBytes !== undefined) {
        targets.push({ name: `${name}: peak memory, MB`, value: run.peakMemoryBytes / 1e6, limit: mostBytes / 1e6, kind: 'at-most' })
      }
    }
    return { measures, targets, notes: ['One run each. The runs use one core, but for garbage collection.'] }
  }
}

/** Runs the scenario thousand with some of its fields replaced. */
async function simulate(settings: readonly string[]): Promise<Printed> {
  const bin = fileURLToPath(new URL('../../../sim/dist/bin/skein-sim.js', import.meta.url))
  const overrides = settings.flatMap((setting) => ['--set', setting])
  const child = spawn(process.execPath, [bin, 'run', 'thousand', '--json', ...overrides], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (printed += chunk))
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  return JSON.parse(printed) as Printed
}
