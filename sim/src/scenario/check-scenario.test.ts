import assert from 'node:assert/strict'
import { base, problemsOf, read } from './read-scenario.test-helper.ts'

type Case = readonly [from: string, to: string, problem: RegExp]

function assertRefused(cases: readonly Case[]): void {
  for (const [from, to, problem] of cases) {
    assert.ok(base.includes(from), from)
    assert.match(problemsOf(base.replace(from, to)).join('\n'), problem, to)
  }
}

describe('checkScenario', () => {
  it('refuses devices that would take minutes for one token', () => {
    assertRefused([
      [
        'device: rtx-3090',
        'device: { preset: rtx-3090, memoryBandwidthBytesPerSecond: 936000 }',
        /nodes\[0\]\.device: one token would take a node .*; at most 1 min are simulated: expected a faster device or fewer blocks/
      ]
    ])
  })

  it('refuses faults that cannot happen or could hit nobody', () => {
    assertRefused([
      ['clients:', 'faults: [{ kind: crash, at: 1m, target: { node: 8 } }]\nclients:', /there are 8 nodes, numbered from 0/],
      ['clients:', 'faults: [{ kind: crash, at: 11m, target: { node: 1 } }]\nclients:', /before the scenario's duration ends/],
      ['clients:', 'faults: [{ kind: lie, at: 1m, target: { node: 1 }, share: 1 }]\nclients:', /unless the scenario has allowLies/],
      [
        'clients:',
        'faults: [{ kind: partition, at: 1m, for: 1m, between: [{ group: homs }, { region: frankfurt }] }]\nclients:',
        /no group is called 'homs'/
      ],
      [
        'clients:',
        'faults: [{ kind: slow, at: 1m, for: 1m, target: { node: 0 }, factor: 100000 }]\nclients:',
        /faults\[0\]\.factor: one token would take a node of homes .*; at most 1 min are simulated: expected a factor of at most \d+/
      ],
      ['clients:', 'faults: [{ kind: crash, at: 1m, target: { random: 0 } }]\nclients:', /target\.random: expected at least 1/],
      [
        'clients:',
        'faults: [{ kind: full-disk, at: 1m, for: 1m, target: { group: users } }]\nclients:',
        /faults\[0\]\.target\.group: there are only clients in the group users: they can be cut off \(partition\)/
      ],
      [
        'clients:',
        'faults: [{ kind: crash, at: 1m, target: { client: 99 } }]\nclients:',
        /target\.client: there are \d+ clients, numbered from 0/
      ],
      [
        'clients:',
        'faults: [{ kind: full-disk, at: 1m, for: 1m, target: { client: 0 } }]\nclients:',
        /target\.client: it is a client: they can be cut off/
      ],
      [
        'nodes:\n  - name: homes',
        'faults: [{ kind: crash, at: 1m, target: { region: virginia } }]\nnodes:\n  - name: homes\n    regions: [frankfurt]',
        /target\.region: there are only clients in virginia/
      ],
      [
        'nodes:',
        'faults: [{ kind: crash, at: 1m, target: { group: none } }]\nnodes:\n  - { name: none, count: 0, device: rtx-3090, blocksPerNode: 8 }',
        /target\.group: there is nobody in the group none: such a fault does nothing/
      ],
      ...[
        '{ region: frankfurt }, { region: frankfurt }',
        '{ node: 0 }, { node: 0 }',
        '{ region: frankfurt }, { node: 2 }',
        '{ group: homes }, { random: 8 }',
        '{ group: homes }, { group: homes }'
      ].map((between): Case => [
        'clients:',
        `faults: [{ kind: partition, at: 1m, for: 1m, between: [${between}] }]\nclients:`,
        /faults\[0\]\.between: all of the second side are on the first: nobody would be cut off/
      ]),
      ...(
        [
          ['', /faults\[0\]\.at: missing; expected a time, or every instead of it/],
          ['at: 1m, every: 1m', /faults\[0\]\.every: expected one of at and every/],
          ['at: 1m, until: 2m', /faults\[0\]\.until: expected with every, not with at/],
          ['at: 1m, from: 2m', /faults\[0\]\.from: expected with every, not with at/],
          ['every: 1m, from: 10m', /faults\[0\]\.from: expected a time before the scenario's duration ends/],
          ['every: 1m, from: 2m, until: 2m', /faults\[0\]\.until: expected a time after from/],
          ['every: { kind: exponential, mean: 50ms }', /faults\[0\]\.every: it would happen 12000 times; at most 10000 are simulated/],
          ['every: 0', /faults\[0\]\.every: it would happen endlessly many times/],
          ['every: 1m, how: power', /faults\[0\]\.how: expected one of process, host/]
        ] as const
      ).map(([fields, problem]): Case => [
        'clients:',
        `faults: [{ kind: crash, target: { node: 1 }${fields === '' ? '' : `, ${fields}`} }]\nclients:`,
        problem
      ])
    ])
  })

  it('refuses networks on which nobody could meet', () => {
    assertRefused([
      ['clients:', 'network: { loss: 100 % }\nclients:', /loss: expected less than 50 %/],
      ['clients:', 'network: { loss: 0.5 }\nclients:', /network\.loss: expected less than 50 %: timeouts double/],
      [
        'clients:',
        'network: { jitter: 10h }\nclients:',
        /network\.jitter: the mean round trip of the nearest peers would be 20 h, and .* silent for 5 s are given up/
      ],
      ['clients:', 'network: { latency: 3s }\nclients:', /network\.latency: the mean round trip of the nearest peers would be 6 s/],
      ['clients:', 'network: { latency: 0.8s }\nclients:', /network\.latency: even the nearest peers would need 6\.4 s to connect/],
      ['clients:', 'network: { latency: { kind: geographic, access: 1s } }\nclients:', /would need 8 s to connect/],
      ['clients:', 'network: { latency: { kind: matrix, oneWay: [[1s, 2s], [2s, 1s]] } }\nclients:', /would need 8 s to connect/],
      ...['cone', 'symmetric'].map((nat): Case => [
        'blocksPerNode: 8',
        `blocksPerNode: 8\n    nat: ${nat}`,
        /^x\.yaml:\d+:\d+: nodes\[0\]\.nat: nobody relays, .* skein-node runs none/
      ]),
      [
        'clients:',
        '  - { name: hidden, count: 1, device: rtx-3090, blocksPerNode: 8, nat: cone }\nclients:',
        /nodes\[1\]\.nat: nobody relays/
      ],
      ['blocksPerNode: 8', 'blocksPerNode: 8\n    nat: cone\n    relay: true', /nodes\[0\]\.relay: who relays must be reached/]
    ])
  })

  it('reads faults that come again and again, and of power that goes', () => {
    const faults = (text: string) => read(`${base}faults: [${text}]`).faults
    const gaps = '{ kind: exponential, mean: 1m }'
    assert.deepEqual(faults(`{ kind: crash, every: ${gaps}, from: 1m, until: 5m, target: { random: 1 }, how: host }`), [
      {
        kind: 'crash',
        atMs: 60_000,
        repeat: { everyMs: { kind: 'exponential', mean: 60_000 }, untilMs: 300_000 },
        target: { random: 1 },
        how: 'host'
      }
    ])
    assert.deepEqual(faults('{ kind: freeze, every: 30s, for: 1s, target: { node: 0 } }'), [
      { kind: 'freeze', atMs: 0, repeat: { everyMs: { kind: 'constant', value: 30_000 } }, target: { node: 0 }, forMs: 1_000 }
    ])
    const trace = read(`${base}faults: [{ kind: crash, every: { kind: empirical, file: gaps.csv }, target: { node: 0 } }]`, {
      readFile: () => '10s\n20s\n'
    })
    assert.deepEqual(trace.faults[0]?.repeat?.everyMs, { kind: 'empirical', values: [10_000, 20_000] })
  })

  it('takes networks that are bad, and on which peers still meet', () => {
    for (const network of [
      '{ loss: 49 %, jitter: 1s }',
      '{ latency: 700ms }',
      '{ latency: 2.4s, connectRoundTrips: 1 }',
      '{ latency: { kind: matrix, oneWay: [[1ms, 3s], [3s, 1ms]] } }'
    ]) {
      assert.equal(read(`${base}network: ${network}`).network.connectRoundTrips > 0, true, network)
    }
    const relayed = '  - { name: hubs, count: 1, device: rtx-3090, blocksPerNode: 8, relay: true }\nclients:'
    assert.equal(read(base.replace('count: 8', 'count: 8\n    nat: symmetric').replace('clients:', relayed)).nodes[0]?.nat, 'symmetric')
  })

  it('takes faults that hit clients, and some of both sides', () => {
    for (const between of [
      '{ group: users }, { group: homes }',
      '{ node: 0 }, { region: frankfurt }',
      '{ client: 0 }, { group: homes }',
      '{ random: 8 }, { group: users }',
      '{ random: 7 }, { group: homes }'
    ]) {
      const fault = `{ kind: partition, at: 1m, for: 1m, between: [${between}] }`
      assert.equal(read(base.replace('clients:', `faults: [${fault}]\nclients:`)).faults.length, 1, between)
    }
    assert.equal(read(`${base}faults: [{ kind: corrupt, at: 1m, for: 1m, share: 1, target: { group: users } }]`).faults.length, 1)
    for (const target of ['{ group: users }', '{ client: 0 }']) {
      assert.equal(read(`${base}faults: [{ kind: crash, at: 1m, target: ${target} }]`).faults.length, 1, target)
      assert.equal(read(`${base}faults: [{ kind: freeze, at: 1m, for: 1m, target: ${target} }]`).faults.length, 1, target)
    }
  })
})
