import { stringify } from 'yaml'
import type {
  Churn,
  ClientGroup,
  Distribution,
  LatencyModel,
  NodeGroup,
  Scenario,
  ScenarioDevice,
  ScenarioFault,
  ScenarioModel
} from './scenario.ts'

/**
 * A scenario as YAML that `readScenario` reads back to the same scenario: presets are written out in full, so that it stays
 * what it is when they change. For worlds that were drawn and not written.
 */
export function writeScenario(scenario: Scenario): string {
  const {
    name,
    question,
    seed,
    durationMs,
    startHour,
    settleMs,
    model,
    network,
    regions,
    machines,
    nodes,
    clients,
    faults,
    allowLies,
    expect
  } = scenario
  return stringify(
    {
      ...{ name, question, seed, duration: ms(durationMs), startHour, settle: ms(settleMs), model: modelFields(model) },
      network: {
        latency: latencyFields(network.latency),
        jitter: distribution(network.jitterMs, ms),
        loss: network.lossShare,
        connectRoundTrips: network.connectRoundTrips,
        holePunching: network.holePunching
      },
      regions,
      ...(machines && { machines }),
      nodes: nodes.map(nodeFields),
      clients: clients.map(clientFields),
      faults: faults.map(faultFields),
      allowLies,
      expect: Object.fromEntries(expect.map(({ figure, ...bounds }) => [figure, bounds]))
    },
    { aliasDuplicateObjects: false, lineWidth: 140 }
  )
}

function ms(value: number): string {
  return `${value}ms`
}

function mbps(value: number): string {
  return `${value} Mbit/s`
}

function bytes(value: number): string {
  return `${value} B`
}

function same(value: number): number {
  return value
}

/** With its numbers as the quantity is written; shapes and spreads have no unit. */
function distribution(input: Distribution, unit: (value: number) => string | number): unknown {
  switch (input.kind) {
    case 'constant':
      return unit(input.value)
    case 'uniform':
      return { kind: 'uniform', min: unit(input.min), max: unit(input.max) }
    case 'exponential':
      return { kind: 'exponential', mean: unit(input.mean) }
    case 'gamma':
      return { kind: 'gamma', mean: unit(input.mean), cv: input.cv }
    case 'weibull':
      return { kind: 'weibull', shape: input.shape, scale: unit(input.scale) }
    case 'lognormal':
      return { kind: 'lognormal', median: unit(input.median), sigma: input.sigma }
    case 'empirical':
      return { kind: 'empirical', values: input.values.map(unit) }
  }
}

function modelFields(model: ScenarioModel): unknown {
  const { weightBytesPerBlock, kvBytesPerTokenPerBlock, rowBytes } = model
  return {
    ...model,
    weightBytesPerBlock: bytes(weightBytesPerBlock),
    kvBytesPerTokenPerBlock: bytes(kvBytesPerTokenPerBlock),
    rowBytes: bytes(rowBytes)
  }
}

/** A device as files write it. */
export function deviceFields(device: ScenarioDevice): unknown {
  return { ...device, noise: distribution(device.noise, same) }
}

function latencyFields(latency: LatencyModel): unknown {
  switch (latency.kind) {
    case 'constant':
      return ms(latency.oneWayMs)
    case 'matrix':
      return {
        kind: 'matrix',
        oneWay: latency.oneWayMs.map((row) => row.map((cell) => (typeof cell === 'number' ? ms(cell) : distribution(cell, ms))))
      }
    case 'geographic':
      return { kind: 'geographic', detour: latency.detour, access: ms(latency.accessMs) }
    case 'measured':
      return latency
  }
}

function peerFields({ name, count, regions, device, upMbps, downMbps, nat, machine }: NodeGroup | ClientGroup): Record<string, unknown> {
  return {
    ...{ name, count, regions, device: deviceFields(device), up: distribution(upMbps, mbps), down: distribution(downMbps, mbps), nat },
    ...(machine !== undefined && { machine })
  }
}

function nodeFields(group: NodeGroup): unknown {
  const { relay, span, blocksPerNode, kvTokens, historyBytes, maxSessions, churn } = group
  return {
    ...peerFields(group),
    ...(relay === true && { relay }),
    ...(span === 'auto' ? { span, blocksPerNode } : { span: `${span.start}:${span.end}` }),
    ...{ kvTokens, history: bytes(historyBytes), maxSessions },
    ...(churn && { churn: churnFields(churn) })
  }
}

function churnFields(churn: Churn): unknown {
  const { kind, graceful } = churn
  switch (churn.kind) {
    case 'renewal':
      return { kind, up: distribution(churn.upMs, ms), down: distribution(churn.downMs, ms), graceful }
    case 'diurnal': {
      const { leastShare, mostShare, peakHour, upMs, dayMs } = churn
      return { kind, least: leastShare, most: mostShare, peak: peakHour, up: ms(upMs), day: ms(dayMs), graceful }
    }
    case 'trace':
      return { kind, sessions: churn.sessions.map((list) => list.map((session) => session.map(ms))), graceful }
  }
}

function clientFields(group: ClientGroup): unknown {
  const { transport, workload } = group
  const { kind, maxRequests, conversation } = workload
  const pace =
    workload.kind === 'open'
      ? { interArrival: distribution(workload.interArrivalMs, ms) }
      : { start: distribution(workload.startMs, ms), think: distribution(workload.thinkMs, ms) }
  const promptTokens = distribution(workload.promptTokens, same)
  const outputTokens = distribution(workload.outputTokens, same)
  const talk = conversation && {
    turns: distribution(conversation.turns, same),
    think: distribution(conversation.thinkMs, ms),
    stop: conversation.stopShare,
    ...(conversation.roomTokens !== undefined && { room: conversation.roomTokens })
  }
  return {
    ...peerFields(group),
    transport,
    workload: { kind, ...pace, promptTokens, outputTokens, maxRequests, ...(talk && { conversation: talk }) }
  }
}

function faultFields(fault: ScenarioFault): unknown {
  const { kind, atMs, repeat } = fault
  const { untilMs } = repeat ?? {}
  const times =
    repeat === undefined
      ? { at: ms(atMs) }
      : { every: distribution(repeat.everyMs, ms), from: ms(atMs), ...(untilMs !== undefined && { until: ms(untilMs) }) }
  switch (fault.kind) {
    case 'crash': {
      const { target, restartAfterMs, how } = fault
      return { kind, ...times, target, ...(restartAfterMs !== undefined && { restartAfter: ms(restartAfterMs) }), ...(how && { how }) }
    }
    case 'partition':
      return { kind, ...times, for: ms(fault.forMs), between: fault.between, oneWay: fault.oneWay }
    case 'lie':
      return { kind, ...times, target: fault.target, share: fault.share }
    case 'slow':
      return { kind, ...times, target: fault.target, for: ms(fault.forMs), factor: fault.factor }
    case 'corrupt':
      return { kind, ...times, target: fault.target, for: ms(fault.forMs), share: fault.share }
    case 'clock-jump':
      return { kind, ...times, target: fault.target, by: ms(fault.byMs) }
    case 'freeze':
    case 'full-disk':
      return { kind, ...times, target: fault.target, for: ms(fault.forMs) }
  }
}
