import { type Identity, seededRandom } from '@skein/protocol'
import { ed25519Identity } from '@skein/protocol/node'

/** The key of a simulated peer: the same in every run of a seed. Anyone can derive it, so it is for simulated peers alone. */
export function simulatedIdentity(seed: number | string): Identity {
  return ed25519Identity(seededRandom(seed).fork('simulated identity').bytes(32))
}
