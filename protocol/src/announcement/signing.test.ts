import assert from 'node:assert/strict'
import fc from 'fast-check'
import { pack } from 'msgpackr'
import { InvalidArgumentError, MalformedError } from '../errors.ts'
import { parseModelId } from '../ids.ts'
import { limits } from '../limits.ts'
import { ed25519Verifier } from '../ports/system/ed25519.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import type { Announcement } from './announcement.ts'
import { arbAnnouncementFacts } from './arbitraries.ts'
import { announcementFields, nextSequence, signAnnouncement, verifyAnnouncement } from './signing.ts'

const identity = testIdentity(1)
const stranger = testIdentity(2)
const verifier = ed25519Verifier()

const sample: Announcement = {
  peer: identity.peerId,
  model: parseModelId(`tiny@${'0'.repeat(32)}`),
  blocks: 8,
  hiddenSize: 64,
  span: { start: 2, end: 5 },
  entryPoints: [2, 4, 5],
  numerics: { weights: 'f32', kernels: 'ort-1.30.0/x64-avx2' },
  state: 'serving',
  addresses: ['/ip4/127.0.0.1/tcp/4001', `/dns4/relay.example/tcp/1/p2p/${stranger.peerId}/p2p-circuit/p2p/${identity.peerId}`],
  stepMs: 1.5,
  rowsPerSecond: 1000,
  kvTokens: 4096,
  historyBytes: 1_000_000,
  sequence: 1_780_000_000_000,
  lifeMs: 90_000
}

/** A record whose payload is any map, signed rightly: what a hostile peer can make of its own key. */
function forge(payload: unknown, prefix = 'skein/announcement/1\n'): Uint8Array {
  const bytes = pack(payload)
  return pack([bytes, Buffer.from(identity.sign(Buffer.concat([Buffer.from(prefix), bytes])))])
}

describe('signed announcements', () => {
  it('come back as they were signed', () => {
    fc.assert(
      fc.property(arbAnnouncementFacts, (facts) => {
        const announcement = { peer: identity.peerId, ...facts }
        const signed = signAnnouncement(identity, announcement)
        assert.deepEqual(signed.announcement, announcement)
        const verified = verifyAnnouncement(verifier, signed.encoded)
        assert.deepEqual(verified, signed)
        assert.notEqual(verified.encoded.buffer, signed.encoded.buffer)
      })
    )
  })

  it('are refused with any bit changed, and with any bytes at all', () => {
    const { encoded } = signAnnouncement(identity, sample)
    for (let at = 0; at < encoded.length; at++) {
      const changed = Uint8Array.from(encoded)
      changed[at] = changed[at]! ^ (1 << (at % 8))
      assert.throws(() => verifyAnnouncement(verifier, changed), MalformedError, `byte ${at}`)
      assert.throws(() => verifyAnnouncement(verifier, encoded.slice(0, at)), MalformedError)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.throws(() => verifyAnnouncement(verifier, bytes), MalformedError))
    )
  })

  it('keep fields of a later version under the signature', () => {
    const verified = verifyAnnouncement(verifier, forge({ ...sample, later: 'field' }))
    assert.deepEqual(verified.announcement, sample)
    assert.ok(Buffer.from(verified.encoded).includes('later'))
  })

  it('are refused when their parts do not fit together', () => {
    assert.deepEqual(verifyAnnouncement(verifier, forge(sample)).announcement, sample)
    const wrong: Array<Partial<Record<keyof Announcement, unknown>>> = [
      { peer: stranger.peerId },
      { blocks: 4 },
      { span: { start: 5, end: 5 } },
      { entryPoints: [] },
      { entryPoints: [2, 4] },
      { entryPoints: [2, 4, 4, 5] },
      { entryPoints: [1, 2, 5] },
      { addresses: [`/ip4/1.2.3.4/tcp/1/p2p/${stranger.peerId}`] },
      { addresses: ['example.com:80'] },
      { addresses: [`/dns4/${'a'.repeat(limits.maxAddressChars)}`] },
      { addresses: Array.from({ length: limits.maxAnnouncementAddresses + 1 }, () => '/ip4/1.2.3.4/tcp/1') },
      { stepMs: NaN },
      { rowsPerSecond: Infinity },
      { kvTokens: -1 },
      { state: 'gone' },
      { lifeMs: limits.maxAnnouncementLifeMs + 1 },
      { sequence: 0 }
    ]
    for (const change of wrong)
      assert.throws(() => verifyAnnouncement(verifier, forge({ ...sample, ...change })), MalformedError, JSON.stringify(change))
    for (const name of Object.keys(announcementFields)) {
      const { [name as keyof Announcement]: _left, ...rest } = sample
      assert.throws(() => verifyAnnouncement(verifier, forge(rest)), MalformedError, name)
    }
  })

  it('are refused when the signature was made for something else, or the envelope has another form', () => {
    assert.throws(() => verifyAnnouncement(verifier, forge(sample, '')), MalformedError)
    const { encoded } = signAnnouncement(identity, sample)
    assert.throws(() => verifyAnnouncement(verifier, Uint8Array.of(0xdc, 0, 2, ...encoded.slice(1))), /shortest form/)
    assert.throws(() => verifyAnnouncement(verifier, Uint8Array.of(0x93, ...encoded.slice(1), 0xc0)), MalformedError)
  })

  it('cannot be made for another peer or with values that others refuse', () => {
    assert.throws(() => signAnnouncement(stranger, sample), InvalidArgumentError)
    assert.throws(() => signAnnouncement(identity, { ...sample, addresses: ['nonsense'] }), InvalidArgumentError)
  })

  it('rise in sequence with the clock, and without it', () => {
    assert.equal(nextSequence(0, 1000.7), 1000)
    assert.equal(nextSequence(1000, 1000), 1001)
    assert.equal(nextSequence(5000, 1000), 5001)
  })
})
