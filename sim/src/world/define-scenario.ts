import { InvalidArgumentError } from '@skein/protocol'
import { devicePresets } from '../compute/device-presets.ts'
import { modelPresets } from '../compute/model-presets.ts'
import type { ClientGroup, NodeGroup, Scenario, ScenarioDevice, ScenarioModel, ScenarioNetwork } from '../scenario/scenario.ts'

type WithDevice<Group> = Omit<Partial<Group>, 'device'> & { readonly device?: ScenarioDevice | string }

/** A scenario of which only what matters is said; see {@link defineScenario}. Models and devices may be presets by name. */
export interface PartialScenario extends Partial<Omit<Scenario, 'model' | 'network' | 'nodes' | 'clients'>> {
  readonly model?: ScenarioModel | string
  readonly network?: Partial<ScenarioNetwork>
  /** @default one group of three nodes that hold a third of the model each */
  readonly nodes?: ReadonlyArray<WithDevice<NodeGroup>>
  /** @default one client with no workload of its own */
  readonly clients?: ReadonlyArray<WithDevice<ClientGroup>>
}

const network: ScenarioNetwork = {
  latency: { kind: 'constant', oneWayMs: 20 },
  jitterMs: { kind: 'constant', value: 0 },
  lossShare: 0,
  connectRoundTrips: 4,
  holePunching: false
}

/**
 * Fills in what a scenario does not say, for tests: a small model on laptops 20 ms apart, who never leave, and clients that
 * do nothing by themselves. Scenarios for people are YAML files, with defaults of their own.
 *
 * @throws InvalidArgumentError for a preset that does not exist
 */
export function defineScenario(partial: PartialScenario = {}): Scenario {
  const model = typeof partial.model === 'object' ? partial.model : presetOf(modelPresets, partial.model ?? 'skein-tiny', 'model')
  const regions = partial.regions ?? [{ name: 'here', latitude: 50, longitude: 8 }]
  const names = regions.map(({ name }) => name)
  const nodes = partial.nodes ?? [{ count: 3 }]
  const clients = partial.clients ?? [{}]
  return {
    name: partial.name ?? 'test',
    question: partial.question ?? 'Does it work?',
    seed: partial.seed ?? 1,
    durationMs: partial.durationMs ?? 60_000,
    startHour: partial.startHour ?? 0,
    settleMs: partial.settleMs ?? 120_000,
    model,
    network: { ...network, ...partial.network },
    regions,
    ...(partial.machines === undefined ? {} : { machines: partial.machines }),
    nodes: nodes.map((group, index) => nodeGroup(group, index, names, model)),
    clients: clients.map((group, index) => clientGroup(group, index, names)),
    faults: partial.faults ?? [],
    allowLies: partial.allowLies ?? false,
    expect: partial.expect ?? []
  }
}

function nodeGroup(group: WithDevice<NodeGroup>, index: number, regions: readonly string[], model: ScenarioModel): NodeGroup {
  const { churn, ...rest } = group
  const count = group.count ?? 1
  return {
    name: `nodes ${index}`,
    regions,
    upMbps: { kind: 'constant', value: 100 },
    downMbps: { kind: 'constant', value: 100 },
    nat: 'open',
    span: 'auto',
    blocksPerNode: Math.max(1, Math.ceil(model.blocks / Math.max(1, count))),
    kvTokens: 16_384,
    historyBytes: 256 * 1024 * 1024,
    maxSessions: 32,
    ...rest,
    count,
    device: deviceOf(group.device),
    ...(churn === undefined ? {} : { churn })
  }
}

function clientGroup(group: WithDevice<ClientGroup>, index: number, regions: readonly string[]): ClientGroup {
  return {
    name: `clients ${index}`,
    count: 1,
    regions,
    upMbps: { kind: 'constant', value: 100 },
    downMbps: { kind: 'constant', value: 100 },
    nat: 'open',
    transport: 'ring',
    workload: {
      kind: 'closed',
      startMs: { kind: 'constant', value: 0 },
      thinkMs: { kind: 'constant', value: 0 },
      promptTokens: { kind: 'constant', value: 32 },
      outputTokens: { kind: 'constant', value: 16 },
      maxRequests: 0
    },
    ...group,
    device: deviceOf(group.device)
  }
}

function deviceOf(device: ScenarioDevice | string | undefined): ScenarioDevice {
  return typeof device === 'object' ? device : presetOf(devicePresets, device ?? 'laptop-cpu', 'device')
}

function presetOf<T>(presets: Readonly<Record<string, T>>, name: string, what: string): T {
  const preset = presets[name]
  if (preset === undefined) {
    throw new InvalidArgumentError(`${name} is no preset of a ${what}: there are ${Object.keys(presets).join(', ')}`)
  }
  return preset
}
