import assert from 'node:assert/strict'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { parsePeerId, type PeerId } from './ids.ts'
import { peerIdFromPublicKey, publicKeyFromPeerId } from './peer-id.ts'
import { ed25519Identity, ed25519Verifier } from './ports/system/ed25519.node.ts'
import { testIdentity } from './testing/test-identity.node.ts'

describe('peer ids and signatures', () => {
  it('derives the peer id that libp2p derives', () => {
    const identity = testIdentity('libp2p')
    const raw = Uint8Array.from([...identity.exportSeed(), ...identity.publicKey])
    assert.equal(peerIdFromPrivateKey(privateKeyFromRaw(raw)).toString(), identity.peerId)
    assert.equal(parsePeerId(identity.peerId), identity.peerId)
    assert.deepEqual(publicKeyFromPeerId(identity.peerId), identity.publicKey)
  })

  it('makes the key and the signature of RFC 8032, test 1', () => {
    const identity = ed25519Identity(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'))
    assert.equal(Buffer.from(identity.publicKey).toString('hex'), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
    assert.match(Buffer.from(identity.sign(new Uint8Array(0))).toString('hex'), /^e5564300c360ac729086e2cc806e828a84877f1eb8e5d974/)
  })

  it('verifies what the peer signed and nothing else', () => {
    const verifier = ed25519Verifier()
    const [alice, bob] = [testIdentity('alice'), testIdentity('bob')]
    const bytes = Uint8Array.of(1, 2, 3)
    const signature = alice.sign(bytes)
    assert.equal(signature.byteLength, 64)
    assert.ok(verifier.verify(alice.peerId, bytes, signature))
    assert.ok(!verifier.verify(bob.peerId, bytes, signature))
    assert.ok(!verifier.verify(alice.peerId, Uint8Array.of(1, 2, 4), signature))
    assert.ok(!verifier.verify(alice.peerId, bytes, signature.slice(1)))
    assert.ok(!verifier.verify('QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N' as PeerId, bytes, signature))
    assert.ok(!verifier.verify('0OIl' as PeerId, bytes, signature))
  })

  it('takes no key of another length, and no bytes that are no key', () => {
    assert.throws(() => peerIdFromPublicKey(new Uint8Array(31)), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    assert.throws(() => ed25519Identity(new Uint8Array(64)), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    const noPoint = peerIdFromPublicKey(new Uint8Array(32).fill(2))
    assert.ok(!ed25519Verifier().verify(noPoint, Uint8Array.of(1), new Uint8Array(64)))
  })
})
