/**
 * What lost packets cost a TCP connection, as the simulator's network and the shaping of a real one both have it. A lost packet
 * with three or more behind it costs one round trip (fast retransmit, RFC 5681); one of the last three waits for the timeout of
 * 200 ms beyond the round trip, doubled each time that it is lost again (RFC 6298 with Linux's minimum).
 *
 * @packageDocumentation
 */
import type { Random } from '../ports/random.ts'

/** TCP's payload of one packet of 1500 bytes, with timestamps. */
const segmentBytes = 1448
/** Behind fewer packets than this a loss is not noticed by duplicate acknowledgements. */
const duplicatesNeeded = 3
/** Linux's least retransmission timeout, over the round trip. */
const retransmitUs = 200_000
const maxTries = 8

/**
 * Bytes per microsecond that a connection with such a loss reaches at the most, as congestion control answers it: 1.22 segments
 * per round trip and square root of the loss (Mathis et al., 1997).
 *
 * @param lossShare above 0
 */
export function lossyRate(lossShare: number, roundTripUs: number): number {
  return (1.22 * segmentBytes) / (Math.max(1, roundTripUs) * Math.sqrt(lossShare))
}

/** The delay that losses among a frame's packets add to its last byte, in whole microseconds if the round trip is. */
export function lossDelayUs(bytes: number, lossShare: number, roundTripUs: number, random: Random): number {
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
