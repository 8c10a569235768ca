import assert from 'node:assert/strict'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import { isPeerId, parsePeerId, type PeerId } from './ids.ts'
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

  it('takes the ids of Ed25519 keys and no other text, as libp2p does', () => {
    for (const byte of [0, 255]) assert.ok(isPeerId(peerIdFromPublicKey(new Uint8Array(32).fill(byte))))
    const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const garbled = fc.tuple(key, fc.nat(51), fc.nat(51), fc.string({ unit: fc.constantFrom(...base58), maxLength: 3 }))
    fc.assert(
      fc.property(garbled, ([bytes, from, to, inserted]) => {
        const id = peerIdFromPublicKey(bytes)
        assert.ok(isPeerId(id))
        const text = id.slice(0, Math.min(from, to)) + inserted + id.slice(Math.max(from, to))
        assert.equal(isPeerId(text), publicKeyFromPeerId(text as PeerId) !== undefined, text)
        if (isPeerId(text)) assert.equal(peerIdFromString(text).toString(), text)
      })
    )
  })

  it('says what is wrong with a text', () => {
    const id = testIdentity('alice').peerId
    const cases: Array<[text: string, message: RegExp]> = [
      [id.slice(0, -1), /is not a peer id: it has 51 characters, and a whole one has 52$/],
      [id.slice(1), /expected one of an Ed25519 key, which begins with 12D3KooW$/],
      ['QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', /expected one of an Ed25519 key/],
      ['', /^"" is not a peer id/],
      [`12D3KooW${'z'.repeat(44)}`, /no Ed25519 key has it$/],
      [id.replace(/.$/, '0'), /no Ed25519 key has it$/],
      ['x'.repeat(1000), /^"x{160}" is not/]
    ]
    for (const [text, message] of cases) assert.throws(() => parsePeerId(text), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message }, text)
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
