import { describeError, didYouMean, InvalidArgumentError } from '@skein/protocol'
import { readChurnTrace, type Session } from './churn-trace.ts'
import { readDevice } from './device-file.ts'
import type { DistributionInput } from './fields.ts'
import { type FieldPath, type Problem, ScenarioError } from './problems.ts'
import type {
  Churn,
  ClientGroup,
  Distribution,
  Expectation,
  LatencyModel,
  NodeGroup,
  Scenario,
  ScenarioConversation,
  ScenarioDevice,
  ScenarioFault,
  ScenarioModel,
  ScenarioRegion,
  Workload
} from './scenario.ts'
import { readRoundTrips } from './round-trip-file.ts'
import type { ScenarioInput } from './schema.ts'
import { readTrace } from './trace-file.ts'

type ConversationInput = NonNullable<ScenarioInput['clients'][number]['workload']['conversation']>

/** What scenarios may call by name. */
export interface ScenarioPresets {
  readonly devices: Readonly<Record<string, ScenarioDevice>>
  readonly models: Readonly<Record<string, ScenarioModel>>
  readonly regions: Readonly<Record<string, ScenarioRegion>>
  /** Lengths of prompts and answers. */
  readonly workloads: Readonly<Record<string, Pick<Workload, 'promptTokens' | 'outputTokens'>>>
}

/** Reads a file that the scenario names. @throws when it cannot be read */
export type ReadFile = (path: string) => string

type Path = FieldPath

/** The scenario with its presets and traces filled in, and what was wrong with them; each `problem` has its field. */
export function buildScenario(
  input: ScenarioInput,
  presets: ScenarioPresets,
  readFile: ReadFile
): { scenario: Scenario; problems: Problem[] } {
  const builder = new Builder(presets, readFile)
  const scenario = builder.scenario(input)
  return { scenario, problems: builder.problems }
}

class Builder {
  readonly problems: Problem[] = []
  readonly #presets: ScenarioPresets
  readonly #readFile: ReadFile

  constructor(presets: ScenarioPresets, readFile: ReadFile) {
    this.#presets = presets
    this.#readFile = readFile
  }

  scenario(input: ScenarioInput): Scenario {
    const regions = input.regions.map((region, index) => this.#region(region, ['regions', index]))
    const names = regions.map(({ name }) => name)
    return {
      name: input.name,
      question: input.question,
      seed: input.seed,
      durationMs: input.duration,
      startHour: input.startHour,
      settleMs: input.settle,
      model: this.#model(input.model, ['model']),
      network: {
        latency: this.#latency(input.network.latency, names, ['network', 'latency']),
        jitterMs: this.#distribution(input.network.jitter, ['network', 'jitter']),
        lossShare: input.network.loss,
        connectRoundTrips: input.network.connectRoundTrips,
        holePunching: input.network.holePunching
      },
      regions,
      ...(input.machines.length === 0 ? {} : { machines: input.machines }),
      nodes: input.nodes.map((group, index) => this.#nodes(group, names, ['nodes', index])),
      clients: input.clients.map((group, index) => this.#clients(group, names, ['clients', index])),
      faults: input.faults.map((fault, index) => this.#fault(fault, ['faults', index])),
      allowLies: input.allowLies,
      expect: toExpectations(input.expect)
    }
  }

  #latency(input: ScenarioInput['network']['latency'], regions: readonly string[], path: Path): LatencyModel {
    if (input.kind === 'matrix') {
      const cell = (value: DistributionInput, at: Path): number | Distribution => {
        const found = this.#distribution(value, at)
        return found.kind === 'constant' ? found.value : found
      }
      const rows = input.oneWayMs.map((row, from) => row.map((value, to) => cell(value, [...path, 'oneWay', from, to])))
      return { kind: 'matrix', oneWayMs: rows }
    }
    if (input.kind !== 'measured') return input
    const { dataSet = '', file } = input
    if (file === undefined) return { kind: 'measured', dataSet }
    const oneWayMs = this.#read([...path, 'file'], () => readRoundTrips(this.#readFile(file), file, regions))
    return oneWayMs === undefined ? { kind: 'constant', oneWayMs: 1 } : { kind: 'matrix', oneWayMs }
  }

  #region(region: ScenarioInput['regions'][number], path: Path): ScenarioRegion {
    if (typeof region !== 'string') return region
    return this.#preset('region', region, this.#presets.regions, path) ?? { name: region, latitude: 0, longitude: 0 }
  }

  #model(input: ScenarioInput['model'], path: Path): ScenarioModel {
    const empty: ScenarioModel = {
      name: 'unknown',
      blocks: 1,
      hiddenSize: 1,
      vocabSize: 2,
      contextTokens: 2,
      weightBytesPerBlock: 1,
      kvBytesPerTokenPerBlock: 1,
      flopsPerTokenPerBlock: 1,
      rowBytes: 1
    }
    return this.#filled('model', input, this.#presets.models, empty, path)
  }

  #device(input: ScenarioInput['nodes'][number]['device'], path: Path): ScenarioDevice {
    const empty: ScenarioDevice = {
      name: 'unknown',
      memoryBandwidthBytesPerSecond: 1,
      flopsPerSecond: 1,
      overheadUsPerBlock: 0,
      overheadUsPerTurn: 0,
      efficiency: 1,
      noise: { kind: 'constant', value: 1 }
    }
    if (typeof input === 'string') return this.#filled('device', input, this.#presets.devices, empty, path)
    const { file, ...fields } = input
    const noise = fields.noise === undefined ? {} : { noise: this.#distribution(fields.noise, [...path, 'noise']) }
    const given = { ...fields, ...noise } as Partial<ScenarioDevice>
    if (file === undefined) return this.#filled('device', given, this.#presets.devices, empty, path)
    const known = Object.entries(given).filter(([, value]) => value !== undefined)
    return { ...(this.#deviceOf(file, [...path, 'file']) ?? empty), ...(Object.fromEntries(known) as Partial<ScenarioDevice>) }
  }

  #deviceOf(file: string, path: Path): ScenarioDevice | undefined {
    return this.#read(path, () => {
      const { noise, ...fields } = readDevice(this.#readFile(file), file)
      return { ...fields, noise: this.#distribution(noise, path) }
    })
  }

  /** What a file beside the scenario holds; undefined, and its problems, when it cannot be read. */
  #read<T>(path: Path, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      const lines = error instanceof ScenarioError ? error.message.split('\n') : [describeError(error)]
      for (const line of lines) this.#problem(path, line)
      return undefined
    }
  }

  /** A preset by name, or one with fields that replace its own, or all fields. */
  #filled<T extends object>(
    kind: string,
    input: string | (Partial<T> & { preset?: string }),
    presets: Readonly<Record<string, T>>,
    empty: T,
    path: Path
  ): T {
    if (typeof input === 'string') return this.#preset(kind, input, presets, path) ?? empty
    const { preset, ...given } = input
    const fields = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>
    if (preset !== undefined) return { ...(this.#preset(kind, preset, presets, [...path, 'preset']) ?? empty), ...fields }
    const missing = Object.keys(empty).filter((field) => !(field in fields))
    if (missing.length > 0) {
      this.#problem(path, `without a preset${kind === 'device' ? ' or a file' : ''}, every field is needed; missing: ${missing.join(', ')}`)
    }
    return { ...empty, ...fields }
  }

  #preset<T>(kind: string, name: string, presets: Readonly<Record<string, T>>, path: Path): T | undefined {
    if (Object.hasOwn(presets, name)) return presets[name]
    const known = Object.keys(presets)
    const hint = didYouMean(name, known)
    this.#problem(path, `no ${kind} is called '${name}'${hint === '' ? `; known: ${known.join(', ')}` : hint}`)
    return undefined
  }

  #peers(group: ScenarioInput['nodes'][number] | ScenarioInput['clients'][number], regions: readonly string[], path: Path) {
    return {
      name: group.name,
      count: group.count,
      regions: group.regions ?? regions,
      device: this.#device(group.device, [...path, 'device']),
      upMbps: this.#distribution(group.up, [...path, 'up']),
      downMbps: this.#distribution(group.down, [...path, 'down']),
      nat: group.nat,
      ...(group.machine === undefined ? {} : { machine: group.machine })
    }
  }

  #nodes(group: ScenarioInput['nodes'][number], regions: readonly string[], path: Path): NodeGroup {
    if (group.span === 'auto' && group.blocksPerNode === undefined) {
      this.#problem(path, 'with span: auto, blocksPerNode says how many blocks each node hosts')
    }
    const { churn, span } = group
    return {
      ...this.#peers(group, regions, path),
      ...(group.relay ? { relay: true } : {}),
      span,
      blocksPerNode: span === 'auto' ? (group.blocksPerNode ?? 1) : Math.max(1, span.end - span.start),
      kvTokens: group.kvTokens,
      historyBytes: group.history,
      maxSessions: group.maxSessions,
      ...(churn === undefined ? {} : { churn: this.#churn(churn, group.count, [...path, 'churn']) })
    }
  }

  #churn(input: NonNullable<ScenarioInput['nodes'][number]['churn']>, count: number, path: Path): Churn {
    const { graceful } = input
    switch (input.kind) {
      case undefined:
      case 'renewal':
        return {
          kind: 'renewal',
          upMs: this.#distribution(input.up, [...path, 'up']),
          downMs: this.#distribution(input.down, [...path, 'down']),
          graceful
        }
      case 'diurnal': {
        const { least, most, peak, up, day } = input
        return { kind: 'diurnal', leastShare: least, mostShare: most, peakHour: peak, upMs: up, dayMs: day, graceful }
      }
      case 'trace':
        return { kind: 'trace', sessions: this.#sessions(input, count, path), graceful }
    }
  }

  /** Of each node of the group; a trace may have more of them. */
  #sessions(
    {
      sessions,
      file = '',
      unit
    }: { readonly sessions?: Session[][] | undefined; readonly file?: string | undefined; readonly unit?: string | undefined },
    count: number,
    path: Path
  ): Session[][] {
    const at = [...path, sessions === undefined ? 'file' : 'sessions']
    try {
      const found = sessions ?? readChurnTrace(this.#readFile(file), file, unit)
      if (found.length < count) {
        throw new InvalidArgumentError(
          `${sessions === undefined ? `${file} has` : 'there are'} sessions of ${found.length} nodes, and the group has ${count}`
        )
      }
      return found.slice(0, count)
    } catch (error) {
      this.#problem(at, describeError(error))
      return []
    }
  }

  #clients(group: ScenarioInput['clients'][number], regions: readonly string[], path: Path): ClientGroup {
    return {
      ...this.#peers(group, regions, path),
      transport: group.transport,
      workload: this.#workload(group.workload, [...path, 'workload'])
    }
  }

  #workload(input: ScenarioInput['clients'][number]['workload'], path: Path): Workload {
    const named = input.preset
    const preset = named === undefined ? undefined : this.#preset('workload', named, this.#presets.workloads, [...path, 'preset'])
    const lengths = (field: 'promptTokens' | 'outputTokens'): Distribution => {
      const given = input[field]
      return given === undefined ? (preset?.[field] ?? { kind: 'constant', value: 64 }) : this.#distribution(given, [...path, field])
    }
    const think = input.kind === 'closed' ? input.think : undefined
    const shared = {
      promptTokens: lengths('promptTokens'),
      outputTokens: lengths('outputTokens'),
      maxRequests: input.maxRequests,
      ...(input.conversation === undefined
        ? {}
        : { conversation: this.#conversation(input.conversation, think, [...path, 'conversation']) })
    }
    return input.kind === 'open'
      ? { kind: 'open', interArrivalMs: this.#distribution(input.interArrival, [...path, 'interArrival']), ...shared }
      : {
          kind: 'closed',
          startMs: this.#distribution(input.start, [...path, 'start']),
          thinkMs: this.#distribution(input.think, [...path, 'think']),
          ...shared
        }
  }

  #conversation(input: ConversationInput, workloadThink: DistributionInput | undefined, path: Path): ScenarioConversation {
    const think = input.think ?? workloadThink
    return {
      turns: this.#distribution(input.turns, [...path, 'turns']),
      thinkMs: think === undefined ? { kind: 'constant', value: 1_000 } : this.#distribution(think, [...path, 'think']),
      stopShare: input.stop,
      ...(input.room === undefined ? {} : { roomTokens: input.room })
    }
  }

  #fault(input: ScenarioInput['faults'][number], path: Path): ScenarioFault {
    const { at = 0, every, from = 0, until } = input
    const repeat = every && { everyMs: this.#distribution(every, [...path, 'every']), ...(until !== undefined && { untilMs: until }) }
    const times = repeat === undefined ? { atMs: at } : { atMs: from, repeat }
    switch (input.kind) {
      case 'crash': {
        const { kind, target, restartAfter, how } = input
        return { kind, ...times, target, ...(restartAfter !== undefined && { restartAfterMs: restartAfter }), ...(how && { how }) }
      }
      case 'partition':
        return { kind: 'partition', ...times, forMs: input.for, between: input.between, oneWay: input.oneWay }
      case 'lie':
        return { kind: 'lie', ...times, target: input.target, share: input.share }
      case 'slow':
        return { kind: 'slow', ...times, target: input.target, forMs: input.for, factor: input.factor }
      case 'corrupt':
        return { kind: 'corrupt', ...times, target: input.target, forMs: input.for, share: input.share }
      case 'clock-jump':
        return { kind: 'clock-jump', ...times, target: input.target, byMs: input.by }
      case 'freeze':
      case 'full-disk':
        return { kind: input.kind, ...times, target: input.target, forMs: input.for }
    }
  }

  #distribution(input: DistributionInput, path: Path): Distribution {
    if (input.kind !== 'trace') return input
    try {
      return { kind: 'empirical', values: readTrace(input, this.#readFile) }
    } catch (error) {
      this.#problem([...path, 'file'], describeError(error))
      return { kind: 'constant', value: 1 }
    }
  }

  #problem(path: Path, message: string): void {
    this.problems.push({ path, message })
  }
}

function toExpectations(input: ScenarioInput['expect']): Expectation[] {
  return Object.entries(input).map(([figure, bounds]) => ({ figure, ...bounds }))
}
