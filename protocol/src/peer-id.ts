/**
 * Peer ids of Ed25519 keys, as libp2p derives them: base58btc of the identity multihash of the key's protobuf.
 *
 * @packageDocumentation
 */
import { base58btc } from 'multiformats/bases/base58'
import { InvalidArgumentError } from './errors.ts'
import type { PeerId } from './ids.ts'

/** Multihash: identity (0x00) of 36 bytes; protobuf `PublicKey`: field 1 type Ed25519 (1), field 2 data of 32 bytes. */
const prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const keyBytes = 32

/**
 * @param publicKey the 32 raw bytes of an Ed25519 public key
 * @throws InvalidArgumentError for any other length
 */
export function peerIdFromPublicKey(publicKey: Uint8Array): PeerId {
  if (publicKey.byteLength !== keyBytes) {
    throw new InvalidArgumentError(`an Ed25519 public key has ${keyBytes} bytes, not ${publicKey.byteLength}`)
  }
  const bytes = new Uint8Array(prefix.length + keyBytes)
  bytes.set(prefix)
  bytes.set(publicKey, prefix.length)
  return base58btc.baseEncode(bytes) as PeerId
}

/** The Ed25519 public key (32 bytes) inside a peer id; undefined for peer ids of other keys, which skein does not verify. */
export function publicKeyFromPeerId(peerId: PeerId): Uint8Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(peerId)
  } catch {
    return undefined
  }
  if (bytes.byteLength !== prefix.length + keyBytes || prefix.some((byte, index) => bytes[index] !== byte)) return undefined
  return bytes.slice(prefix.length)
}
