import assert from 'node:assert/strict'
import fc from 'fast-check'
import { devicePresets } from '../compute/device-presets.ts'
import { workloadPresets } from '../workload/workload-presets.ts'
import { writeDevice } from './device-file.ts'
import { parseOverride } from './overrides.ts'
import { ScenarioError } from './problems.ts'
import { base, problemsOf, read } from './read-scenario.test-helper.ts'
import { regionPresets } from './region-presets.ts'
import type { Distribution, Scenario } from './scenario.ts'

function upOf({ nodes: [group] }: Scenario): Distribution | undefined {
  return group?.churn?.kind === 'renewal' ? group.churn.upMs : undefined
}

describe('readScenario', () => {
  it('fills in presets, defaults and units', () => {
    const scenario = read(base)
    assert.equal(scenario.durationMs, 600_000)
    assert.equal(scenario.settleMs, 120_000)
    assert.equal(scenario.model.blocks, 32)
    assert.deepEqual(scenario.regions[1], regionPresets['virginia'])
    assert.deepEqual(scenario.nodes[0]?.regions, ['frankfurt', 'virginia'])
    assert.equal(scenario.nodes[0].device.name, 'rtx-3090')
    assert.deepEqual(scenario.nodes[0].upMbps, { kind: 'constant', value: 20 })
    const up = upOf(scenario)
    assert.ok(up?.kind === 'exponential' && Math.abs(up.mean * Math.LN2 - 600_000) < 1e-6)
    assert.deepEqual(scenario.network.latency, { kind: 'constant', oneWayMs: 20 })
    assert.equal(scenario.clients[0]?.transport, 'ring')
  })

  it('takes a preset with what differs from it, and a model with all of its fields', () => {
    const one = read(base.replace('model: llama-3-8b', 'model: { preset: llama-3-8b, rowBytes: 4 kB }'))
    assert.equal(one.model.rowBytes, 4000)
    assert.equal(one.model.blocks, 32)
    const problems = problemsOf(base.replace('model: llama-3-8b', 'model: { name: own, blocks: 8 }'))
    assert.match(problems[0] ?? '', /x\.yaml:5:1: model: without a preset, every field is needed; missing: hiddenSize, vocabSize/)
  })

  it('names the line, the column, the field and what was expected', () => {
    const cases: Array<[from: string, to: string, problem: RegExp]> = [
      ['duration: 10m', 'duration: 10', /^x\.yaml:4:11: duration: expected a duration with its unit/],
      ['duration: 10m', 'duration: 0s', /^x\.yaml:4:11: duration: expected more than 0/],
      ['duration: 10m', 'duration: 400d', /duration: expected at most 30d/],
      ['duration: 10m', 'duration: 10m\nsettle: 0', /^x\.yaml:5:9: settle: expected more than 0: what is under way needs time to end/],
      ['duration: 10m', 'duration: 10m\nsettle: 0ms', /^x\.yaml:5:9: settle: expected more than 0/],
      ['duration: 10m', 'durration: 10m', /^x\.yaml:4:1: durration: unknown field; did you mean duration\?/],
      ['duration: 10m\n', '', /^x\.yaml:2:1: duration: missing; expected a duration/],
      ['count: 8', 'count: -1', /^x\.yaml:9:12: nodes\[0\]\.count: expected at least 0|expected a whole number from 0/],
      ['count: 8', 'count: 3', /^x\.yaml:7:1: nodes: the model has 32 blocks.*nodes that can host 24/],
      ['count: 8', 'count: 0', /nodes: there are none/],
      ['blocksPerNode: 8', 'blocksPerNode: 80', /blocksPerNode: expected at most the model's 32 blocks/],
      ['blocksPerNode: 8', 'span: "8:4"', /span: expected START below END/],
      ['blocksPerNode: 8', 'span: "0:8"', /nobody hosts block 8/],
      ['blocksPerNode: 8', 'up: 0 Mbit/s', /up: expected a bandwidth/],
      ['blocksPerNode: 8\n', '\n', /blocksPerNode says how many blocks/],
      [
        'device: rtx-3090',
        'device: rtx-3091',
        /^x\.yaml:10:13: nodes\[0\]\.device: no device is called 'rtx-3091' \(did you mean rtx-3090\?\)/
      ],
      ['median: 10m', 'median: 10m, mean: 3s', /churn\.up: expected one of mean and median/],
      ['kind: exponential, median: 10m', 'kind: uniform, min: 2m, max: 1m', /churn\.up\.max: expected a value that is not below min/],
      ['kind: exponential, median: 10m', 'kind: expo, median: 10m', /churn\.up\.kind: expected one of constant, uniform, exponential/],
      ['[frankfurt, virginia]', '[frankfrt]', /^x\.yaml:6:11: regions\[0\]: no region is called 'frankfrt' \(did you mean frankfurt\?\)/],
      ['[frankfurt, virginia]', '[paris, paris]', /regions\[1\]: it is listed twice/],
      ['count: 2', 'count: 2\n    regions: [mars]', /'mars' is not one of the scenario's regions/],
      ['mean: 30s }', 'mean: 30s }, promptTokens: 9000', /the shortest request has 9064 tokens; the model's context has 8192/],
      ['blocksPerNode: 8', 'blocksPerNode: 8\n    kvTokens: 100', /no node has room for more than 100/],
      [
        'clients:',
        'expect: { completdShare: { atLeast: 1 } }\nclients:',
        /no figure is called 'completdShare' \(did you mean completedShare\?\)/
      ],
      ['clients:', 'expect: { completedShare: { atLeast: 2, atMost: 1 } }\nclients:', /expected atLeast to be at most atMost/],
      [
        'count: 8',
        'count: 8\n    regions: [frankfurt]\n    machine: desk',
        /^x\.yaml:11:14: nodes\[0\]\.machine: no machine is called 'desk'; the scenario lists no machines/
      ],
      [
        'clients:\n  - name: users',
        'machines: [{ name: desk, cores: 2 }]\nclients:\n  - name: users\n    regions: [frankfurt]\n    machine: dest',
        /clients\[0\]\.machine: no machine is called 'dest' \(did you mean desk\?\)/
      ],
      [
        'clients:\n  - name: users',
        'machines: [{ name: desk, cores: 2 }]\nclients:\n  - name: users\n    machine: desk',
        /clients\[0\]\.machine: the machine desk is in frankfurt and virginia; expected peers of one region on it/
      ],
      [
        'clients:',
        'machines: [{ name: desk, cores: 2 }, { name: desk, cores: 4 }]\nclients:',
        /machines\[1\]\.name: another machine has this name/
      ],
      ['clients:', 'machines: [{ name: desk, cores: 0.5 }]\nclients:', /machines\[0\]\.cores: expected a whole number from 1 to 1024/],
      ['clients:', 'machines: [{ name: desk, core: 2 }]\nclients:', /machines\[0\]\.core: unknown field; did you mean cores\?/],
      ['clients:', 'network: { latency: { kind: matrix, oneWay: [[1ms]] } }\nclients:', /expected 2 rows of 2 values/],
      [
        'clients:',
        'network: { latency: { kind: measured, dataSet: lap } }\nclients:',
        /no data set is called 'lap' \(did you mean lab\?\)/
      ],
      [
        'clients:',
        'network: { latency: { kind: measured, dataSet: lab } }\nclients:',
        /regions\[1\]: the data set lab has no region 'virginia'/
      ],
      ['name: base', 'name: base\nname: again', /^x\.yaml:3:1: not YAML: Map keys must be unique/],
      ['name: base', 'name: [', /not YAML/]
    ]
    for (const [from, to, problem] of cases) {
      assert.ok(base.includes(from), from)
      assert.match(problemsOf(base.replace(from, to)).join('\n'), problem, to)
    }
    assert.match(problemsOf('- 1')[0] ?? '', /^x\.yaml:1:1: expected a scenario/)
    assert.match(problemsOf('')[0] ?? '', /expected a scenario/)
  })

  it('tells all problems at once, in the order of the file', () => {
    const problems = problemsOf(base.replace('10m', '10').replace('count: 8', 'cuont: 8').replace('count: 2', 'count: x'))
    assert.deepEqual(
      problems.map((line) => line.split(': ')[1]),
      ['duration', 'nodes[0].cuont', 'clients[0].count']
    )
  })

  it('replaces fields by path, number or name, and says of a wrong value that it was replaced', () => {
    const override = (text: string): Scenario => read(base, { overrides: [parseOverride(text)] })
    for (const path of ['nodes.homes.count', 'nodes.0.count', 'nodes[0].count']) assert.equal(override(`${path}=20`).nodes[0]?.count, 20)
    assert.deepEqual(override('network.jitter=3ms').network.jitterMs, { kind: 'constant', value: 3 })
    assert.match(
      problemsOf(base, { overrides: [parseOverride('nodes.homes.count=x')] })[0] ?? '',
      /^x\.yaml: nodes\[0\]\.count: .* \(from --set nodes\.homes\.count=x\)$/
    )
    assert.match(problemsOf(base, { overrides: [{ path: 'duration', value: 1 }] })[0] ?? '', /\(from an override\)$/)
    assert.throws(() => parseOverride('a=[1'), /is not YAML/)
  })

  it('makes a field that is not there, also in an item of a list', () => {
    const text = base.replace('    churn: { up: { kind: exponential, median: 10m }, down: 30s }\n', '')
    const overrides = ['nodes.homes.churn.up=5m', 'nodes.homes.churn.down=5s'].map(parseOverride)
    assert.deepEqual(upOf(read(text, { overrides })), { kind: 'constant', value: 300_000 })
  })

  it('says of a path that leads nowhere where it ends, and what there is', () => {
    const cases: Array<[override: string, problem: RegExp]> = [
      ['nodes.fiends.count=12', /^x\.yaml: there is no field nodes\.fiends\.count to replace: no group 'fiends' in nodes: there is homes$/],
      ['nodes.hoems.churn.up.median=1m', /no group 'hoems' in nodes: there is homes \(did you mean homes\?\)$/],
      ['nodes.9.count=1', /there is no field nodes\.9\.count to replace: no group '9' in nodes: there is homes$/],
      ['clients[1]={}', /no group '1' in clients: there is users$/],
      ['nodes.-1.count=1', /no group '-1' in nodes/],
      ['regions.mars.name=1', /no item 'mars' in regions: its items are numbered from 0 to 1$/],
      ['regions.2=london', /no item '2' in regions: its items are numbered from 0 to 1$/],
      ['faults.x.at=1s', /no item 'x' in faults: it is empty$/],
      ['duration.foo.bar=1', /duration is "10m", which has no fields$/],
      ['model.blocks=3', /model is "llama-3-8b", which has no fields$/],
      ['nodes.homes.churn.up.kind.x=1', /nodes\[0\]\.churn\.up\.kind is "exponential", which has no fields$/],
      ['seed.x=1', /seed is null, which has no fields$/],
      ['clients.users.workload.think.mean=1s', /clients\[0\]\.workload\.think is the alias \*gap, which can only be replaced as a whole$/]
    ]
    const text = base.replace('mean: 30s } }', 'mean: 30s }, think: *gap }').replace('down: 30s', 'down: &gap 30s') + 'faults: []\nseed:\n'
    for (const [override, problem] of cases) {
      assert.match(problemsOf(text, { overrides: [parseOverride(override)] }).join('\n'), problem, override)
    }
    const small = `${base}ci: { set: { nodes.fiends.count: 4 } }\n`
    assert.match(problemsOf(small, { ci: true })[0] ?? '', /^x\.yaml:18:\d+: ci\.set\.nodes\.fiends\.count: .* in nodes: there is homes$/)
  })

  it('blames for what an override brought the override, and not a line where nothing is wrong', () => {
    const one = (override: string, text = base, ci = false): string =>
      problemsOf(text, { overrides: [parseOverride(override)], ci }).join('\n')
    assert.match(one('foo.bar=1'), /^x\.yaml: foo: unknown field; .* \(from --set foo\.bar=1\)$/)
    assert.match(one('network.jiter=1ms'), /^x\.yaml: network\.jiter: unknown field; .* \(from --set network\.jiter=1ms\)$/)
    assert.match(one('nodes.homes.foo.bar=1'), /^x\.yaml: nodes\[0\]\.foo: unknown field; .* \(from --set nodes\.homes\.foo\.bar=1\)$/)
    // Of two that replace one field, the last.
    const small = `${base}ci: { set: { nodes.homes.count: y, duration: 1m } }\n`
    assert.match(one('nodes.homes.count=x', small, true), /^x\.yaml: nodes\[0\]\.count: .* \(from --set nodes\.homes\.count=x\)$/)
    // What stands in the file has a place there.
    assert.match(one('seed=1', small, true), /^x\.yaml:18:\d+: nodes\[0\]\.count: expected .* \(from the ci section\)$/)
    const strict = `${base}ci: { set: {}, expect: { completdShare: { atLeast: 1 } } }\n`
    assert.match(one('seed=1', strict, true), /^x\.yaml:18:\d+: expect\.completdShare: no figure .* \(from the ci section\)$/)
    // A field of the file that does not go together with what was replaced stays where it is; the error has what was given.
    assert.throws(
      () => read(base, { overrides: [parseOverride('nodes.homes.count=1')] }),
      (error) => {
        assert.ok(error instanceof ScenarioError)
        assert.match(error.message, /^x\.yaml:7:1: nodes: /)
        assert.deepEqual(error.overrides, ['--set nodes.homes.count=1'])
        return true
      }
    )
  })

  it('takes the small variant, with expectations of its own', () => {
    const text = `${base}expect: { completedShare: { atLeast: 0.5 } }\nci: { set: { duration: 1m, nodes.homes.count: 4 }, expect: { completedShare: { atLeast: 1 } } }\n`
    const [large, small] = [read(text), read(text, { ci: true })]
    assert.deepEqual([large.durationMs, small.durationMs, small.nodes[0]?.count], [600_000, 60_000, 4])
    assert.deepEqual(small.expect, [{ figure: 'completedShare', atLeast: 1 }])
    assert.deepEqual(large.expect, [{ figure: 'completedShare', atLeast: 0.5 }])
    assert.match(problemsOf(base, { ci: true })[0] ?? '', /no ci section/)
  })

  it('reads traces, and says when a file is none', () => {
    const churn = (fields: string): string => base.replace('{ kind: exponential, median: 10m }', `{ kind: empirical, ${fields} }`)
    const values = (text: string, file: string): unknown => {
      const up = upOf(read(text, { readFile: (path) => (path === 'up.csv' ? file : assert.fail(path)) }))
      return up?.kind === 'empirical' ? up.values : assert.fail(up?.kind)
    }
    assert.deepEqual(values(churn('values: [1s, 2s]'), ''), [1000, 2000])
    assert.deepEqual(values(churn('file: up.csv'), '# seconds\n10s\n\n2m\r\n500\n'), [10_000, 120_000, 500])
    assert.deepEqual(values(churn('file: up.csv, column: stay, unit: s'), 'id,stay\na,10\nb,"20.5"\n'), [10_000, 20_500])
    const wrong = (fields: string, file: string): string => problemsOf(churn(fields), { readFile: () => file })[0] ?? ''
    assert.match(
      wrong('file: up.csv', '\u0000\u0001ELF'),
      /^x\.yaml:12:43: nodes\[0\]\.churn\.up\.file: up\.csv, line 1: expected a duration.*no trace/
    )
    assert.match(wrong('file: up.csv, column: sty', 'id,stay\na,10\n'), /no column 'sty'; its first line has: id, stay/)
    assert.match(wrong('file: up.csv', '\n#\n'), /up\.csv has no values/)
    assert.match(wrong('file: up.csv, unit: Mbit/s', '10\n'), /there is no unit 'Mbit\/s' for a duration; known: us, ms, s, m/)
    assert.match(problemsOf(churn('file: up.csv, values: [1s]'))[0] ?? '', /expected one of values and file/)
  })

  it('reads the lengths of a published workload, unless they are given, and gaps in bursts', () => {
    const workload = (fields: string): string => base.replace(/workload: .*/, `workload: { ${fields} }`)
    const gamma = 'kind: open, interArrival: { kind: gamma, mean: 30s, cv: 3 }'
    const { workload: found } = read(workload(`${gamma}, preset: lmsys-chat-1m, outputTokens: 9`)).clients[0] ?? assert.fail()
    assert.deepEqual(found.kind === 'open' && found.interArrivalMs, { kind: 'gamma', mean: 30_000, cv: 3 })
    assert.deepEqual(found.promptTokens, workloadPresets['lmsys-chat-1m']?.promptTokens)
    assert.deepEqual(found.outputTokens, { kind: 'constant', value: 9 })
    const { workload: plain } = read(workload(gamma)).clients[0] ?? assert.fail()
    assert.deepEqual([plain.promptTokens, plain.outputTokens], Array(2).fill({ kind: 'constant', value: 64 }))
    assert.match(
      problemsOf(workload(`${gamma}, preset: sharegtp`)).join(),
      /^x\.yaml:\d+:\d+: clients\[0\]\.workload\.preset: no workload is called 'sharegtp' \(did you mean sharegpt\?\)/
    )
    assert.match(problemsOf(workload('kind: open, interArrival: { kind: gamma, mean: 30s, cv: 0 }')).join(), /cv: expected at least 0\.05/)
  })

  it('reads conversations, with the think time of the workload, and says when they cannot be', () => {
    const workload = (fields: string): string => base.replace(/workload: .*/, `workload: { ${fields} }`)
    const found = (fields: string) => (read(workload(fields)).clients[0] ?? assert.fail()).workload.conversation
    const [constant, open] = [(value: number) => ({ kind: 'constant', value }), 'kind: open, interArrival: 30s']
    assert.equal(found(open), undefined)
    assert.deepEqual(found(`${open}, conversation: { turns: 3 }`), { turns: constant(3), thinkMs: constant(1_000), stopShare: 0 })
    assert.deepEqual(found('kind: closed, think: 4s, conversation: { turns: { kind: exponential, mean: 5 }, stop: 10 %, room: 900 }'), {
      turns: { kind: 'exponential', mean: 5 },
      thinkMs: constant(4_000),
      stopShare: 0.1,
      roomTokens: 900
    })
    assert.deepEqual(found('kind: closed, conversation: { turns: 2, think: 9s }')?.thinkMs, constant(9_000))
    for (const [conversation, problem] of [
      ['{ stop: 10 % }', /conversation\.turns: missing; expected a whole number/],
      ['{ turns: 0 }', /conversation\.turns: expected at least 1/],
      ['{ turns: 2, stop: 110 % }', /conversation\.stop: expected a share from 0 to 1/],
      ['{ turns: 2, room: 1 }', /conversation\.room: expected at least 2$/],
      ['{ turn: 2 }', /conversation\.turn: unknown field; did you mean turns\?/],
      ['{ turns: 70 }', /conversation\.turns: the shortest conversation has 8960 tokens; the model's context has 8192$/],
      ['{ turns: 3, room: 200 }', /conversation\.turns: the shortest conversation has 384 tokens; its session has room for 200$/]
    ] as const) {
      assert.match(problemsOf(workload(`${open}, conversation: ${conversation}`)).join('\n'), problem, conversation)
    }
    assert.match(
      problemsOf(workload('kind: open, interArrival: 1s, conversation: { turns: { kind: exponential, mean: 1000 } }')).join('\n'),
      /would make 1200000 requests/
    )
  })

  it('reads churn that follows the day, and its bounds', () => {
    const churn = (fields: string): string => base.replace(/churn: .*/, `churn: { kind: diurnal, ${fields} }`)
    const found = read(churn('least: 20 %, most: 90 %').replace('duration: 10m', 'duration: 10m\nstartHour: 6'))
    assert.equal(found.startHour, 6)
    assert.deepEqual(found.nodes[0]?.churn, {
      ...{ kind: 'diurnal', leastShare: 0.2, mostShare: 0.9, peakHour: 21, upMs: 3 * 3_600_000, dayMs: 24 * 3_600_000, graceful: false }
    })
    assert.match(problemsOf(churn('least: 0, most: 90 %')).join(), /churn\.least: expected a share from 1 % to 99 %/)
    assert.match(problemsOf(churn('least: 80 %, most: 70 %')).join(), /churn\.most: expected most not to be below least/)
    assert.match(problemsOf(churn('least: 20 %, mots: 70 %')).join('\n'), /churn\.mots: unknown field; did you mean most\?/)
    assert.match(problemsOf(churn('least: 20 %, most: 70 %, peak: 25')).join(), /churn\.peak: expected at most 24/)
    assert.match(problemsOf(base.replace('churn: {', 'churn: { kind: dirunal,')).join(), /churn\.kind: expected one of .*diurnal, trace/)
    assert.match(problemsOf(base.replace(/churn: .*/, 'churn: { up: 1m }')).join(), /churn\.down: missing; expected a duration/)
  })

  it('reads the sessions of nodes, and says in which line a file is no trace', () => {
    const churn = (fields: string): string =>
      base
        .replace('count: 8', 'count: 2')
        .replace('blocksPerNode: 8', 'blocksPerNode: 16')
        .replace(/churn: .*/, `churn: { kind: trace, ${fields} }`)
    const sessions = (text: string, file = ''): unknown => {
      const found = read(text, { readFile: (path) => (path === 'up.csv' ? file : assert.fail(path)) }).nodes[0]?.churn
      return found?.kind === 'trace' ? found.sessions : assert.fail(found?.kind)
    }
    assert.deepEqual(sessions(churn('sessions: [[[0, 1m], [90s, 2m]], [[5s, 1h]]]')), [
      [
        [0, 60_000],
        [90_000, 120_000]
      ],
      [[5_000, 3_600_000]]
    ])
    const csv = '# who, when\nnode,upMs,downMs\n10,0,60000\n9,2m,3m\n\n"9",500,1500\n11,0,1'
    assert.deepEqual(sessions(churn('file: up.csv'), csv), [
      [
        [500, 1500],
        [120_000, 180_000]
      ],
      [[0, 60_000]]
    ])
    const named = 'down,node,up\n20,pear,10\n,apple,7\r\n'
    assert.deepEqual(sessions(churn('file: up.csv, unit: s'), named), [[[10_000, 20_000]], [[7_000, 86_400_000_000]]])
    const wrong = (file: string, fields = 'file: up.csv'): string => problemsOf(churn(fields), { readFile: () => file }).join('\n')
    assert.match(
      wrong('\u0000ELF'),
      /^x\.yaml:12:\d+: nodes\[0\]\.churn\.file: up\.csv:1: expected a header with node, up and down, found "\\u0000ELF"; this is no trace/
    )
    assert.match(wrong(''), /up\.csv:1: expected a header/)
    assert.match(wrong('node,up,down\n'), /up\.csv:2: expected a session, found the end/)
    assert.match(wrong('node,up,down\n0,1s,2s\n1,soon,2s'), /up\.csv:3: expected a time that is not negative.*found "soon"/)
    assert.match(wrong('node,up,down\n0,-5,2'), /up\.csv:2: expected a time that is not negative.*found "-5"/)
    assert.match(wrong('node,up,down\n0,NaN,2'), /up\.csv:2: .*found "NaN"/)
    assert.match(wrong('node,up,down\n0,5,5'), /up\.csv:2: expected a time down after the time up/)
    assert.match(wrong('node,up,down\n,1,5'), /up\.csv:2: expected the name of a node/)
    assert.match(wrong('node,up,down\n0,5,9\n1,1,2\n0,2,6'), /up\.csv:2: expected a session that begins after that of line 4 has ended/)
    assert.match(wrong('node,up,down\n0,5,9'), /up\.csv has sessions of 1 nodes, and the group has 2/)
    assert.match(wrong('node,up,down\n0,0,9', 'file: up.csv, unit: parsec'), /there is no unit 'parsec' for a duration/)
    assert.match(problemsOf(churn('sessions: [[[5s, 1s]], []]')).join(), /expected of each node intervals that follow each other/)
    assert.match(problemsOf(churn('unit: s')).join(), /expected one of file and sessions/)
  })

  it('reads distances between regions as distributions, and from a file of round trips', () => {
    const network = (latency: string): string => base.replace('clients:', `network: { latency: ${latency} }\nclients:`)
    const spread = '{ kind: exponential, mean: 40ms }'
    assert.deepEqual(read(network(`{ kind: matrix, oneWay: [[1ms, ${spread}], [{ kind: constant, value: 9ms }, 0]] }`)).network.latency, {
      kind: 'matrix',
      oneWayMs: [
        [1, { kind: 'exponential', mean: 40 }],
        [9, 0]
      ]
    })
    assert.match(
      problemsOf(network('{ kind: matrix, oneWay: [[1ms, { kind: exponential, mean: 3m }], [1ms, 1ms]] }')).join(),
      /latency: expected at most 1m/
    )
    const measured = network('{ kind: measured, file: rtt.csv }')
    const file = (content: string) => ({ readFile: (path: string) => (path === 'rtt.csv' ? content : assert.fail(path)) })
    const oneWayOf = (content: string): unknown => {
      const { latency } = read(measured, file(content)).network
      return latency.kind === 'matrix' ? latency.oneWayMs : assert.fail(latency.kind)
    }
    const both = { kind: 'empirical', values: [44, 46] }
    assert.deepEqual(
      oneWayOf('# ping\nfrom,to,rtt\nvirginia,frankfurt,88\nfrankfurt,frankfurt,1ms\r\nvirginia, frankfurt ,92\n"virginia",virginia,0.5\n'),
      [
        [0.5, both],
        [both, 0.25]
      ]
    )
    assert.deepEqual(
      oneWayOf('{ "frankfurt": { "frankfurt": 1, "virginia": [88, 92] },\n "virginia": { "virginia": [2], "frankfurt": 90 } }'),
      [
        [0.5, both],
        [45, 1]
      ]
    )
    const wrong = (content: string): string => problemsOf(measured, file(content)).join('\n')
    assert.match(
      wrong('\u0000ELF'),
      /^x\.yaml:\d+:\d+: network\.latency\.file: rtt\.csv:1:1: expected a header with from, to and rtt, or JSON, found .*no table/
    )
    assert.match(wrong(''), /rtt\.csv:1:1: expected a header/)
    assert.match(wrong('from,to,rtt\n'), /rtt\.csv:2:1: expected a measurement/)
    for (const value of ['fast', '-3', '0', 'NaN', '', '1e9']) {
      assert.match(
        wrong(`from,to,rtt\nfrankfurt, virginia, ${value}`),
        /rtt\.csv:2:\d+: expected a round trip in milliseconds above 0/,
        value
      )
    }
    assert.match(wrong('from,to,rtt\nfrankfurt, virginia, fast'), /rtt\.csv:2:22: .*found "fast"/)
    assert.match(wrong('from,to,rtt\n,virginia,9'), /rtt\.csv:2:1: expected the name of a region/)
    assert.match(
      wrong('from,to,rtt\nfrankfurt,virginia,90'),
      /rtt\.csv has no round trip of peers in frankfurt, of peers in virginia; its regions are frankfurt, virginia/
    )
    assert.match(wrong('{ "frankfurt": { "virginia": -1 } }'), /rtt\.csv:1:30: frankfurt\.virginia: expected a round trip/)
    assert.match(wrong('{ "frankfurt": 9 }'), /rtt\.csv:1:16: frankfurt: expected fields/)
    assert.match(wrong('{ "frankfurt": '), /rtt\.csv:1:\d+: not YAML/)
    assert.match(problemsOf(network('{ kind: measured }')).join(), /latency: expected one of dataSet and file/)
  })

  it('reads a device from a file, and says what is wrong with it', () => {
    const text = writeDevice({ ...devicePresets['rtx-3090']!, name: 'mine', overheadNsPerPastRow: 5 }, ['a comment'])
    const withFile = (fields: string): string => base.replace('device: rtx-3090', `device: { file: mine.yaml${fields} }`)
    const options = (content: string) => ({ readFile: (path: string) => (path === 'mine.yaml' ? content : assert.fail(path)) })
    const { device } = read(withFile(''), options(text)).nodes[0]!
    assert.deepEqual(device, { ...devicePresets['rtx-3090'], name: 'mine', overheadNsPerPastRow: 5 })
    assert.equal(read(withFile(', efficiency: 0.25'), options(text)).nodes[0]?.device.efficiency, 0.25)
    const wrong = (content: string): string => problemsOf(withFile(''), options(content)).join('\n')
    assert.match(
      wrong(text.replace(/flopsPerSecond: .*/, 'flopsPerSecond: -3')),
      /^x\.yaml:10:\d+: nodes\[0\]\.device\.file: mine\.yaml:4:17: flopsPerSecond: expected at least 1000$/
    )
    assert.match(wrong(text.replace('efficiency', 'eficiency')), /mine\.yaml:\d+:1: eficiency: unknown field; did you mean efficiency\?/)
    assert.match(wrong('name: mine'), /memoryBandwidthBytesPerSecond: missing; expected a number from 1e3 to 1e18/)
    assert.match(wrong('- 1'), /mine\.yaml:1:1: expected a device: name, memoryBandwidthBytesPerSecond/)
    assert.match(wrong('a: ['), /mine\.yaml:1:\d+: not YAML/)
    assert.match(problemsOf(withFile(', preset: rtx-3090'), options(text)).join(), /expected one of preset and file/)
    assert.match(
      problemsOf(base.replace('device: rtx-3090', 'device: { preset: rtx-3090, overheadNsPerPastRow: -1 }')).join(),
      /at least 0/
    )
  })

  it('ends with problems for any text, and with no other error', () => {
    const lines = base.split('\n')
    const value = fc.oneof(
      fc.string(),
      fc.jsonValue().map((json) => JSON.stringify(json)),
      fc.constantFrom('*a', '&a', '{', '1e999', '-0', '~', '!!binary x')
    )
    fc.assert(
      fc.property(fc.integer({ min: 0, max: lines.length - 1 }), value, (line, text) => {
        const changed = lines.with(
          line,
          (lines[line] ?? '').replace(/: .*/, () => `: ${text}`)
        )
        try {
          read(changed.join('\n'), { readFile: () => '' })
        } catch (error) {
          assert.ok(error instanceof ScenarioError, `${String(error)}: ${changed[line]}`)
        }
      }),
      { numRuns: 300 }
    )
  })
})
