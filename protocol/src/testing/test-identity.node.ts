import { ed25519Identity, type KeyIdentity } from '../ports/system/ed25519.node.ts'
import { seededRandom } from '../ports/seeded-random.ts'

/** An identity that is the same in every run: anyone can derive its key, so it is for tests alone. */
export function testIdentity(seed: number | string): KeyIdentity {
  return ed25519Identity(seededRandom(seed).fork('test identity').bytes(32))
}
