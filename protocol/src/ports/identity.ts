import type { PeerId } from '../ids.ts'

/**
 * A peer's key. Signing is synchronous on purpose: `crypto.subtle` would finish outside the simulator's control.
 */
export interface Identity {
  readonly peerId: PeerId
  /** An Ed25519 signature, 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array
}

/** Verifies with the public key that is inside an Ed25519 peer id; false for any other kind of peer id. */
export interface Verifier {
  verify(peerId: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean
}
