import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { InvalidArgumentError } from '../../errors.ts'
import type { PeerId } from '../../ids.ts'
import { peerIdFromPublicKey, publicKeyFromPeerId } from '../../peer-id.ts'
import type { Identity, Verifier } from '../identity.ts'

/** DER headers before the 32 raw bytes of a key: RFC 8410. */
const pkcs8Header = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiHeader = Buffer.from('302a300506032b6570032100', 'hex')

/** An identity whose key is in this process, which libp2p needs for its handshakes. */
export interface KeyIdentity extends Identity {
  readonly publicKey: Uint8Array
  /** The 32 secret bytes that the key was made from. Never log them. */
  exportSeed(): Uint8Array
}

/**
 * The identity of an Ed25519 key.
 *
 * @param seed the key's 32 secret bytes (RFC 8032)
 * @throws InvalidArgumentError for any other length
 */
export function ed25519Identity(seed: Uint8Array): KeyIdentity {
  if (seed.byteLength !== 32) throw new InvalidArgumentError(`an Ed25519 key is made from 32 bytes, not ${seed.byteLength}`)
  const secret = Uint8Array.from(seed)
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Header, secret]), format: 'der', type: 'pkcs8' })
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(spkiHeader.length))
  return {
    peerId: peerIdFromPublicKey(publicKey),
    publicKey,
    sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)),
    exportSeed: () => Uint8Array.from(secret)
  }
}

/** The key as PKCS #8 in PEM, which OpenSSL and others read. */
export function exportPrivateKey(identity: KeyIdentity): string {
  const der = Buffer.concat([pkcs8Header, identity.exportSeed()])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }) as string
}

/** How many peers' parsed keys are kept; parsing costs about as much as verifying. */
const keptKeys = 1024

/** Verifies Ed25519 signatures by OpenSSL, synchronously. */
export function ed25519Verifier(): Verifier {
  const keys = new Map<PeerId, KeyObject>()
  const keyOf = (peerId: PeerId): KeyObject | undefined => {
    const known = keys.get(peerId)
    if (known !== undefined) return known
    const raw = publicKeyFromPeerId(peerId)
    if (raw === undefined) return undefined
    const key = createPublicKey({ key: Buffer.concat([spkiHeader, raw]), format: 'der', type: 'spki' })
    if (keys.size >= keptKeys) keys.delete(keys.keys().next().value as PeerId)
    keys.set(peerId, key)
    return key
  }
  return {
    verify(peerId, bytes, signature) {
      if (signature.byteLength !== 64) return false
      try {
        const key = keyOf(peerId)
        return key !== undefined && verify(null, bytes, key, signature)
      } catch {
        // OpenSSL throws for 32 bytes that are no point of the curve: no key, so nothing verifies.
        return false
      }
    }
  }
}
