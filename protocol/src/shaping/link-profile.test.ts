import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testIdentity } from '../testing/test-identity.node.ts'
import { parseLinkProfile } from './link-profile.ts'
import { readLinkProfile } from './read-link-profile.node.ts'

describe('a link profile', () => {
  const { peerId } = testIdentity('somebody')

  it('is read from text, with defaults and single peers', () => {
    const profile = parseLinkProfile(`{"oneWayMs": 25, "upMbps": 20, "peers": {"${peerId}": {"jitterMs": 3}}}`)
    assert.deepEqual(
      { ...profile, peers: [...profile.peers] },
      {
        oneWayMs: 25,
        jitterMs: 0,
        cutsMs: [],
        upMbps: 20,
        connectRoundTrips: 4,
        peers: [[peerId, { oneWayMs: 25, jitterMs: 3, cutsMs: [] }]]
      }
    )
  })

  it('is read from a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'skein-link-'))
    try {
      const file = join(folder, 'profile.json')
      writeFileSync(file, ' {"oneWayMs": 5}\n')
      assert.equal(readLinkProfile(file).oneWayMs, 5)
      writeFileSync(file, '{"oneWay": 5}')
      assert.throws(() => readLinkProfile(file), /profile\.json: a link profile has no field 'oneWay': there are oneWayMs,/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const bad: ReadonlyArray<readonly [text: string, message: RegExp]> = [
    ['{"oneWayMs": -1}', /field 'oneWayMs' of the link profile is -1: expected a number from 0 to 3600000/],
    ['{"upMbps": 0}', /field 'upMbps' of the link profile is 0: expected a number/],
    ['{"downMbps": "20"}', /field 'downMbps' of the link profile is "20"/],
    ['{"cutsMs": [[5, 1]]}', /field 'cutsMs' of the link profile is \[5,1\]: expected pairs/],
    ['{"cutsMs": [[0, 5], [4, 9]]}', /field 'cutsMs' of the link profile is \[4,9\]/],
    ['{"peers": {"x": {}}}', /field 'peers.x' of the link profile is "x": expected a peer id/],
    [`{"peers": {"${peerId}": {"upMbps": 3}}}`, /no field 'peers\..*\.upMbps': there are oneWayMs, jitterMs, cutsMs/],
    ['{"oneWayMs": 5', /must be a JSON object such as/],
    ['{ }x', /must be a JSON object/],
    ['no-such-file.json', /no-such-file.json is no JSON object and cannot be read as a file/]
  ]
  for (const [text, message] of bad) {
    it(`refuses ${text}`, () => {
      assert.throws(() => readLinkProfile(text), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
    })
  }
})
