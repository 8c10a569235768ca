import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { devicePresets } from '../compute/device-presets.ts'
import type { RunRecord } from '../record/run-record.ts'
import { figures } from '../report/figures.ts'
import { writeDevice } from '../scenario/device-file.ts'
import { syntheticRecord } from '../report/synthetic-record.test-helper.ts'
import type { RunInit } from './engine.ts'
import { runSkeinSim } from './program.ts'
import type { SimComponents } from './sim-io.ts'
import { parseVary } from './sweep.ts'

const smallScenario = `
name: small
question: Is it small?
duration: 1m
model: llama-3.2-1b
nodes:
  - { name: homes, count: 4, device: rtx-3060, blocksPerNode: 8 }
clients:
  - { name: users, count: 1, device: laptop-cpu, workload: { kind: closed } }
`

const laptop = devicePresets['laptop-cpu']!

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A simulator that makes up its records; what the commands do with them is what is tested here. */
class FakeWorld {
  readonly inits: RunInit[] = []
  readonly children: string[][] = []
  record: (init: RunInit) => RunRecord = ({ scenario, seed }) => ({ ...syntheticRecord({ seed }), scenario: scenario.name, seed })
  hang = false
  interrupt: (() => void) | undefined

  components(stdout: PassThrough, stderr: PassThrough): SimComponents {
    return {
      version: '1.2.3',
      stdout,
      stderr,
      env: {},
      engine: {
        simulate: async (init) => {
          this.inits.push(init)
          init.onProgress({ virtualMs: 1000, events: 10 })
          if (this.hang) {
            setImmediate(() => this.interrupt?.())
            await new Promise<never>(() => undefined)
          }
          return this.record(init)
        },
        fuzz: async ({ seeds, firstSeed }) => ({
          json: { seeds, firstSeed },
          lines: ['nothing found'],
          failed: seeds === 9,
          ...(seeds === 9 && { scenario: 'name: small\n', seed: firstSeed + 2 })
        }),
        calibrate: async ({ name, threads, onProgress }) => {
          onProgress('measuring')
          return { json: { threads }, lines: ['measured'], failed: false, file: writeDevice({ ...laptop, name }) }
        },
        studies: {
          paper: { question: 'Is it as in the paper?', run: async () => ({ json: { rows: [] }, lines: ['as published'], failed: false }) }
        }
      },
      runChild: async (argv) => {
        this.children.push([...argv])
        const { code, stdout: out, stderr: err } = await this.run(argv)
        return { exitCode: code, stdout: out, stderr: err }
      },
      parallelism: 2,
      onInterrupt: (listener) => {
        this.interrupt = listener
        return () => undefined
      }
    }
  }

  async run(argv: readonly string[]): Promise<Ran> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const code = await runSkeinSim(argv, this.components(stdout, stderr))
    return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
  }
}

describe('skein-sim', () => {
  let folder: string
  let file: string
  let world: FakeWorld

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-sim-'))
    file = join(folder, 'small.yaml')
    await writeFile(file, smallScenario)
    world = new FakeWorld()
  })

  afterEach(async () => rm(folder, { recursive: true, force: true }))

  const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

  it('prints one object with counts, hash and figures', async () => {
    const { code, stdout, stderr } = await world.run(['run', file, '--seed', '7', '--json'])
    assert.equal(stderr, '')
    assert.equal(code, 0)
    assert.equal(stdout.trim().split('\n').length, 1)
    const object = json(stdout)
    const expected = figures(syntheticRecord({ seed: 7 }))
    assert.equal(object['seed'], 7)
    assert.equal(object['scenario'], 'small')
    for (const name of ['generations', 'completed', 'failed', 'violations'] as const) assert.equal(object[name], expected[name])
    for (const name of ['eventLogHash', 'virtualMs', 'wallMs', 'events']) assert.ok(name in object, name)
    assert.deepEqual(object['figures'], JSON.parse(JSON.stringify(expected)))
  })

  it("takes the scenario's seed, and what --set replaces", async () => {
    const { code } = await world.run(['run', file, '--set', 'nodes.homes.count=9', '--set', 'nodes.homes.churn={up: 1m, down: 5s}'])
    assert.equal(code, 0)
    const [init] = world.inits
    assert.equal(init?.seed, 1)
    assert.equal(init.scenario.nodes[0]?.count, 9)
    const constant = (value: number) => ({ kind: 'constant', value })
    assert.deepEqual(init.scenario.nodes[0].churn, { kind: 'renewal', upMs: constant(60_000), downMs: constant(5000), graceful: false })
  })

  it('tells a summary to people', async () => {
    const { stdout } = await world.run(['run', file])
    assert.match(stdout, /Is it small\?/)
    assert.match(stdout, /first token/)
    assert.match(stdout, /compute\s+█/)
    assert.match(stdout, /no promise was broken/)
    // Of a run in which nobody watched some of them, it does not claim those.
    world.record = ({ seed }) => ({ ...syntheticRecord({ seed }), notJudged: ['leaks', 'age'] })
    const partly = await world.run(['run', file])
    assert.match(partly.stdout, /no promise that a live run can be judged by was broken\nnot judged: leaks; age/)
  })

  it('computes with a real model when it is asked to, and shows what it wrote', async () => {
    world.record = ({ seed }) => {
      const record = syntheticRecord({ seed })
      return { ...record, generations: record.generations.map((one) => ({ ...one, prompt: 'Once upon', text: ' a\ttime' })) }
    }
    const model = join(folder, 'model')
    await mkdir(model)
    const missing = await world.run(['run', file, '--runtime', 'ort', '--model', model])
    assert.equal(missing.code, 2)
    assert.match(missing.stderr, /no config\.json/)
    assert.match((await world.run(['run', file, '--model', model])).stderr, /--model is for --runtime ort/)
    await writeFile(join(model, 'config.json'), '{}')
    const { code, stdout } = await world.run(['run', file, '--runtime', 'ort', '--model', model])
    assert.equal(code, 0)
    assert.equal(world.inits[0]?.realModel, model)
    assert.match(stdout, /generation 0, .*: Once upon \.\.\.\n {2}a time\n/)
    const { texts } = json((await world.run(['run', file, '--runtime', 'ort', '--json'])).stdout) as { texts: Array<{ text: string }> }
    assert.equal(texts[0]?.text, ' a\ttime')
    assert.match(world.inits[1]?.realModel ?? '', /skein-tiny$/)
    assert.equal('texts' in json((await new FakeWorld().run(['run', file, '--json'])).stdout), false)
  })

  it('fails with 1 when an expectation is missed, and says which', async () => {
    const { code, stdout } = await world.run(['run', file, '--set', 'expect={completedShare: {atLeast: 1}}'])
    assert.equal(code, 1)
    assert.match(stdout, /expectation missed: completedShare is 0\.95, expected at least 1/)
  })

  it('fails with 1 on a violation, and prints how to replay it', async () => {
    const violation = { oracle: 'tokens', atMs: 1500, text: 'wrong token', lastEvents: ['node 1: step 3'] }
    world.record = ({ seed, replayCommand: replay }) => ({ ...syntheticRecord({ seed }), violations: [{ ...violation, replay }] })
    const { code, stdout } = await world.run(['run', file, '--seed', '3', '--set', 'duration=2m'])
    assert.equal(code, 1)
    assert.match(stdout, /violation of tokens at 1\.5 s: wrong token\n {4}node 1: step 3\n {2}replay it: skein-sim run /)
    assert.ok(stdout.includes(`replay it: skein-sim run ${file} --seed 3 --set duration=2m\n`))
  })

  it('writes a page, a record and a trace', async () => {
    const out = join(folder, 'deep', 'report')
    const { code } = await world.run(['run', file, '--out', out, '--json'])
    assert.equal(code, 0)
    assert.match(await readFile(join(out, 'report.html'), 'utf8'), /Is it small\?[^]*<svg/)
    assert.equal((JSON.parse(await readFile(join(out, 'record.json'), 'utf8')) as RunRecord).seed, 1)
    assert.match(await readFile(join(out, 'trace.json'), 'utf8'), /"traceEvents"/)
    const compared = await world.run(['compare', join(out, 'record.json'), file, '--json'])
    assert.equal(compared.code, 0)
    assert.ok((json(compared.stdout)['rows'] as unknown[]).length > 20)
  })

  it('refuses bad usage with 2', async () => {
    await writeFile(join(folder, 'bad.yaml'), smallScenario.replace('count: 4', 'cuont: 4'))
    await writeFile(join(folder, 'record.json'), '{"a": 1}')
    const cases: Array<[string[], RegExp]> = [
      [['run'], /missing required argument/],
      [['run', 'no-such'], /no file 'no-such'/],
      [['run', file, '--seed', '-1'], /expected an integer/],
      [['run', file, '--set', 'nodes'], /FIELD=VALUE/],
      [['run', file, '--trace', 'x'], /expected an integer/],
      [['run', file, '--ci'], /no ci section/],
      [['run', join(folder, 'bad.yaml')], /bad\.yaml:7:20: nodes\[0\]\.cuont: unknown field; did you mean count\?/],
      [['compare', file, join(folder, 'record.json')], /no record of a run/],
      [['compare', file, file, '--only', 'x'], /--only is for --live/],
      [['compare', file, file, '--no-check'], /--no-check is for --live/],
      [['compare', 'a.json', 'b.json', '--seed', '7'], /--seed does nothing for the records of two runs/],
      [['fuzz', '--from', '4294967294', '--seeds', '3'], /3 seeds from 4294967294 on go beyond the last one, 4294967295/],
      [['sweep', file, '--vary', 'duration=1m', '--seed', '4294967295', '--seeds', '2'], /2 seeds from 4294967295 on go beyond/],
      [['compare', '--live', 'reality', '--seed', '1'], /--seed does nothing for --live/],
      [['compare', '--live', 'reality', '--only', 'nothing'], /no setting's name holds 'nothing': there are '1 stage/],
      [['compare', '--live', 'dreams'], /no set of live settings 'dreams'/],
      [['run', 'paper', '--set', 'a=1'], /paper is a study of its own runs/],
      [['run', join(file, 'below')], /no file/],
      [['run', file, '--out', file], /--out: .*small\.yaml is a file; expected a folder/],
      [['run', file, '--out', join(file, 'below')], /--out: .*small\.yaml is a file; expected a folder/],
      ...(process.platform === 'linux'
        ? ([[['run', file, '--out', '/proc/skein/report'], /--out: the folder \/proc\/skein cannot be made: ENOENT/]] satisfies Array<
            [string[], RegExp]
          >)
        : []),
      [['calibrate', '--out', folder], /--out: .* is a folder; expected a file/],
      [['run', file, '--set', 'nodes.homes.churn={up: 0, down: 0}'], /would leave endlessly many times/],
      [
        ['run', file, '--set', 'clients.users.workload={kind: open, interArrival: 1us}'],
        /would make 1000000 requests; fewer than 1000000 are simulated/
      ],
      [['run', file, '--set', 'network.latency=2m'], /latency: expected at most 1m/],
      [['run', file, '--set', 'nodes.homes.device={preset: rtx-3060, flopsPerSecond: .nan}'], /flopsPerSecond: expected a number from 1e3/],
      [['sweep', file], /--vary/],
      [['run', file, '--set', 'nodes.fiends.count=1'], /no group 'fiends' in nodes: there is homes/],
      [['sweep', file, '--vary', 'nodes.fiends.count=1,2'], /no group 'fiends' in nodes: there is homes/],
      [['sweep', file, '--vary', 'nodes.homes.cuont=1,2'], /unknown field.*\(from --vary nodes\.homes\.cuont=1\)/],
      [
        ['sweep', file, '--vary', 'nodes.homes.count=4,1', '--vary', 'duration=1m,2m', '--set', 'seed=3'],
        /cannot be run with --set seed=3 --vary nodes\.homes\.count=1 --vary duration=1m\n.*cannot host them all/
      ],
      [['explain', 'nodes.chrun'], /did you mean churn/],
      [['juggle'], /unknown command/]
    ]
    for (const [argv, message] of cases) {
      const { code, stderr, stdout } = await world.run(argv)
      assert.equal(code, 2, argv.join(' '))
      assert.match(stderr, message)
      assert.equal(stdout, '')
    }
    assert.equal(world.inits.length, 0, 'nothing was run')
    const { code, stdout } = await world.run(['run', 'no-such', '--json'])
    assert.equal(code, 2)
    assert.match(JSON.stringify(json(stdout)['error']), /ERR_SKEIN_INVALID_ARGUMENT/)
  })

  it('lets one run at a time write into a folder, and is not stopped by one that was killed', async () => {
    const out = join(folder, 'report')
    await mkdir(out)
    await writeFile(join(out, '.skein-sim.lock'), String(process.pid))
    const second = await world.run(['run', file, '--out', out])
    assert.equal(second.code, 2)
    assert.match(second.stderr, /another run \(process \d+\) writes into .*report: wait for it/)
    // No process has such a number.
    await writeFile(join(out, '.skein-sim.lock'), '4194305')
    const third = await world.run(['run', file, '--out', out, '--trace', '4000'])
    assert.equal(third.code, 0)
    assert.match(third.stdout, /nothing was traced: there is no generation 4000/)
    assert.deepEqual((await readdir(out)).sort(), ['record.json', 'report.html', 'trace.json'])
    assert.equal((await world.run(['run', 'paper', '--out', out])).code, 0)
    assert.equal(await readFile(join(out, 'paper.json'), 'utf8'), '{"rows":[]}\n')
  })

  it('ends with 130 when it is interrupted in the middle of a run', async () => {
    world.hang = true
    const { code, stderr } = await world.run(['run', file])
    assert.equal(code, 130)
    assert.match(stderr, /interrupted/)
  })

  it('sweeps every combination with every seed, and takes means', async () => {
    const argv = ['sweep', file, '--vary', 'nodes.homes.count=4,8', '--vary', 'duration=1m,2m', '--seeds', '2', '--jobs', '3', '--json']
    const { code, stdout } = await world.run(argv)
    assert.equal(code, 0)
    assert.equal(world.children.length, 8)
    const { rows, seeds } = json(stdout) as { rows: Array<{ set: unknown; figures: { tokens: number } }>; seeds: number[] }
    assert.deepEqual(seeds, [1, 2])
    assert.deepEqual(
      rows.map(({ set }) => set),
      [
        { 'nodes.homes.count': 4, duration: '1m' },
        { 'nodes.homes.count': 4, duration: '2m' },
        { 'nodes.homes.count': 8, duration: '1m' },
        { 'nodes.homes.count': 8, duration: '2m' }
      ]
    )
    const tokens = [1, 2].map((seed) => figures(syntheticRecord({ seed })).tokens ?? 0)
    assert.equal(rows[0]?.figures.tokens, ((tokens[0] ?? 0) + (tokens[1] ?? 0)) / 2)
  })

  it('shows in the table of a sweep what a field held, also when it was a mapping', async () => {
    const argv = ['sweep', file, '--vary', 'network.latency=20ms,{kind: geographic, detour: 2}', '--jobs', '1']
    const { stdout } = await world.run(argv)
    assert.match(stdout, /^20ms .*\n\{"kind":"geographic","detour":2\} /m)
  })

  it('ends a sweep at the first run that fails, and says which it was', async () => {
    world.record = ({ scenario }) => {
      if (scenario.nodes[0]?.count === 8) throw new Error('the world fell apart')
      return syntheticRecord()
    }
    const { code, stderr } = await world.run(['sweep', file, '--vary', 'nodes.homes.count=4,8', '--jobs', '1'])
    assert.equal(code, 1)
    assert.match(stderr, /nodes\.homes\.count=8, seed 1\): the world fell apart/)
  })

  it('splits values at commas, but not inside of them', () => {
    assert.deepEqual(parseVary('a.b=1, 2'), { field: 'a.b', values: ['1', '2'] })
    assert.deepEqual(parseVary('a={kind: uniform, min: 1},3'), { field: 'a', values: ['{kind: uniform, min: 1}', '3'] })
    assert.throws(() => parseVary('a='), /FIELD=V1,V2/)
  })

  it('writes the smallest scenario that fuzzing finds', async () => {
    assert.equal((await world.run(['fuzz', '--seeds', '3'])).code, 0)
    const { code, stdout } = await world.run(['fuzz', '--seeds', '9', '--from', '4', '--out', join(folder, 'found')])
    assert.equal(code, 1)
    assert.match(stdout, /run the smallest one: skein-sim run .*fuzz-6\.yaml/)
    assert.equal(await readFile(join(folder, 'found', 'fuzz-6.yaml'), 'utf8'), 'name: small\n')
  })

  it('measures this machine, and writes it as a device that a scenario names', async () => {
    const out = join(folder, 'devices', 'mine.yaml')
    const measured = await world.run(['calibrate', '--name', 'my box', '--threads', '2', '--out', out])
    assert.equal(measured.code, 0, measured.stderr)
    assert.match(measured.stdout, /^measured\n\nwrote .*mine\.yaml; in a scenario beside it: device: \{ file: mine\.yaml \}\n$/)
    assert.deepEqual(json((await world.run(['calibrate', '--threads', '3', '--json'])).stdout), { threads: 3 })
    await writeFile(file, smallScenario.replace('rtx-3060', '{ file: devices/mine.yaml }'))
    assert.equal((await world.run(['run', file])).code, 0)
    assert.deepEqual(world.inits[0]?.scenario.nodes[0]?.device, { ...laptop, name: 'my box' })
    assert.match((await world.run(['calibrate', '--name', '-'])).stderr, /expected a name/)
  })

  it('runs a study by its name', async () => {
    const { code, stdout } = await world.run(['run', 'paper'])
    assert.equal(code, 0)
    assert.equal(stdout, 'as published\n')
  })

  it('lists, explains and prints its schema', async () => {
    const list = await world.run(['list'])
    assert.equal(list.code, 0)
    assert.match(list.stdout, /paper.*Is it as in the paper/)
    assert.match((await world.run(['explain', 'nodes.churn'])).stdout, /graceful/)
    assert.match((await world.run(['explain', 'firstTokenMsP90'])).stdout, /unit: ms/)
    assert.match((await world.run(['explain', 'devices'])).stdout, /rtx-3090/)
    assert.equal(json((await world.run(['explain', '--schema'])).stdout)['title'], 'skein-sim scenario')
    assert.match((await world.run(['--help'])).stdout, /Exit codes/)
    assert.match((await world.run(['fuzz', '--seeds', '3'])).stdout, /nothing found/)
  })
})
