import { InvalidArgumentError, lossDelayUs, lossyRate, type Random } from '@skein/protocol'
import type { ScenarioNetwork } from '../scenario/scenario.ts'
import { draw } from '../workload/draw.ts'

export interface PacketNoise {
  /** Bytes per microsecond that a connection with this loss reaches at the most. */
  readonly maxRate: number
  /** Jitter and retransmissions of so many bytes, in whole microseconds. */
  extraUs(bytes: number): number
}

/**
 * What jitter and loss do to a connection. For loss see {@link lossDelayUs} and {@link lossyRate}.
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
    maxRate: lossShare === 0 ? Infinity : lossyRate(lossShare, roundTripUs),
    extraUs: (bytes) => {
      random ??= makeRandom()
      const jitterUs = noJitter ? 0 : Math.max(0, Math.round(draw(jitterMs, random) * 1000))
      return jitterUs + (lossShare === 0 ? 0 : lossDelayUs(bytes, lossShare, roundTripUs, random))
    }
  }
}
