import { InvalidArgumentError, type Random } from '@skein/protocol'
import type { ScenarioNetwork } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'

/** TCP's payload of one packet of 1500 bytes, with timestamps. */
const segmentBytes = 1448
/** Behind fewer packets than this a loss is not noticed by duplicate acknowledgements. */
const duplicatesNeeded = 3
/** Linux's least retransmission timeout, over the round trip. */
const retransmitUs = 200_000
const maxTries = 8

export interface PacketNoise {
  /** Bytes per microsecond that a connection with this loss reaches at the most. */
  readonly maxRate: number
  /** Jitter and retransmissions of so many bytes, in whole microseconds. */
  extraUs(bytes: number): number
}

/**
 * What jitter and loss do to a connection. A lost packet with three or more behind it costs one round trip (fast
 * retransmit, RFC 5681); one of the last three waits for the timeout of 200 ms beyond the round trip, doubled each time
 * that it is lost again (RFC 6298 with Linux's minimum). Steady loss bounds the rate to 1.22 segments per round trip and
 * square root of the loss (Mathis et al., 1997), as congestion control answers it.
 *
 * @throws InvalidArgumentError for a share of loss that is not from 0 to below 1
 */
export function packetNoise(network: ScenarioNetwork, roundTripUs: number, makeRandom: () => Random): PacketNoise {
  const { jitterMs, lossShare } = network
  if (!(lossShare >= 0 && lossShare < 1))
    throw new InvalidArgumentError(`a share of ${lossShare} lost packets is not possible: 0 to below 1`)
  const noJitter = jitterMs.kind === 'constant' && jitterMs.value === 0
  if (noJitter && lossShare === 0) return { maxRate: Infinity, extraUs: () => 0 }
  let random: Random | undefined
  return {
    maxRate: lossShare === 0 ? Infinity : (1.22 * segmentBytes) / (Math.max(1, roundTripUs) * Math.sqrt(lossShare)),
    extraUs: (bytes) => {
      random ??= makeRandom()
      const jitterUs = noJitter ? 0 : Math.max(0, Math.round(draw(jitterMs, random) * 1000))
      return jitterUs + (lossShare === 0 ? 0 : lossUs(bytes, lossShare, roundTripUs, random))
    }
  }
}

/** The delay that losses among a frame's packets add to its last byte. */
function lossUs(bytes: number, lossShare: number, roundTripUs: number, random: Random): number {
  const packets = Math.max(1, Math.ceil(bytes / segmentBytes))
  if (random.float() < wholePower(1 - lossShare, packets)) return 0
  const isTail = packets <= duplicatesNeeded || random.float() * packets < duplicatesNeeded
  let timeoutUs = roundTripUs + retransmitUs
  let delayUs = isTail ? timeoutUs : roundTripUs
  for (let tries = 1; tries < maxTries && random.float() < lossShare; tries++) {
    timeoutUs *= 2
    delayUs += timeoutUs
  }
  return delayUs
}

/** By squaring: `Math.pow` may differ between machines. */
function wholePower(base: number, exponent: number): number {
  let result = 1
  let square = base
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square
    square *= square
  }
  return result
}
