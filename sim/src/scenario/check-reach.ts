import { connectionTimes } from '@skein/protocol'
import { meanOf } from '../workload/draw.ts'
import type { Problem } from './problems.ts'
import type { LatencyModel, NodeGroup, Scenario } from './scenario.ts'
import { formatDuration } from './units.ts'

/** From here on the mean wait for a packet has no bound: its timeout doubles each time that it is lost (RFC 6298). */
const maxLossShare = 0.5

/** Networks on which no two peers, or no client and node, could ever talk. */
export function checkReach({ network, nodes }: Scenario): Problem[] {
  const { latency, jitterMs, lossShare, connectRoundTrips } = network
  const { dialTimeoutMs, keepAliveTimeoutMs } = connectionTimes
  const problems: Problem[] = []
  if (lossShare >= maxLossShare) {
    const message = 'expected less than 50 %: timeouts double with each loss of a packet, so that the mean wait for one would have no end'
    problems.push({ path: ['network', 'loss'], message })
  }
  const nearestMs = nearestOneWayMs(latency)
  const meanJitterMs = Math.max(0, meanOf(jitterMs))
  const roundTripMs = 2 * (nearestMs + meanJitterMs)
  const setUpMs = 2 * nearestMs * connectRoundTrips
  if (roundTripMs > keepAliveTimeoutMs) {
    const given = `connections whose other end is silent for ${formatDuration(keepAliveTimeoutMs)} are given up`
    const message = `the mean round trip of the nearest peers would be ${formatDuration(roundTripMs)}, and ${given}: expected less`
    problems.push({ path: ['network', meanJitterMs > nearestMs ? 'jitter' : 'latency'], message })
  } else if (setUpMs >= dialTimeoutMs) {
    const given = `a dial gives up after ${formatDuration(dialTimeoutMs)}`
    const message = `even the nearest peers would need ${formatDuration(setUpMs)} to connect, and ${given}: expected less latency or connectRoundTrips`
    problems.push({ path: ['network', 'latency'], message })
  }
  return [...problems, ...checkRelays(nodes)]
}

function checkRelays(nodes: readonly NodeGroup[]): Problem[] {
  const someRelay = nodes.some(({ count, nat, relay }) => count > 0 && nat === 'open' && relay === true)
  return nodes.flatMap(({ count, nat, relay }, index): Problem[] => {
    if (count === 0 || nat === 'open') return []
    if (relay === true) return [{ path: ['nodes', index, 'relay'], message: 'who relays must be reached: expected nat: open' }]
    const message =
      'nobody relays, and without a relay nobody can reach these nodes. skein-node runs none: ' +
      'expected relay: true at a group with nat: open, on whose hosts somebody runs one'
    return someRelay ? [] : [{ path: ['nodes', index, 'nat'], message }]
  })
}

function nearestOneWayMs(latency: LatencyModel): number {
  switch (latency.kind) {
    case 'constant':
      return latency.oneWayMs
    case 'matrix':
      return Math.min(...latency.oneWayMs.flat().map((cell) => (typeof cell === 'number' ? cell : meanOf(cell))))
    case 'geographic':
      return latency.accessMs
    case 'measured':
      return 0
  }
}
