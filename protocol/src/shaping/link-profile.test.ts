import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../ports/logger.ts'
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
        lossShare: 0,
        cutsMs: [],
        cutsBackMs: [],
        upMbps: 20,
        connectRoundTrips: 4,
        peers: [[peerId, { oneWayMs: 25, jitterMs: 3, lossShare: 0, cutsMs: [], cutsBackMs: [] }]]
      }
    )
  })

  it('is read from a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'skein-link-'))
    try {
      const file = join(folder, 'profile.json')
      writeFileSync(file, ' {"oneWayMs": 5}\n')
      assert.equal(readLinkProfile(file, silentLogger).profile.oneWayMs, 5)
      writeFileSync(file, '{"oneWay": 5}')
      assert.throws(() => readLinkProfile(file, silentLogger), /profile\.json: a link profile has no field 'oneWay': there are oneWayMs,/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is read from its file again when that has changed, and stays when that is wrong', () => {
    const folder = mkdtempSync(join(tmpdir(), 'skein-link-'))
    try {
      const file = join(folder, 'profile.json')
      const warnings: string[] = []
      writeFileSync(file, '{"oneWayMs": 5}')
      const { reread } = readLinkProfile(file, { ...silentLogger, warn: (_message, _context, error) => warnings.push(String(error)) })
      assert.equal(reread?.(), undefined)
      writeFileSync(file, '{"oneWayMs": 6}')
      assert.equal(reread?.()?.oneWayMs, 6)
      assert.equal(reread?.(), undefined)
      writeFileSync(file, '{"oneWayMs": -6}')
      assert.deepEqual([reread?.(), reread?.()], [undefined, undefined])
      assert.equal(warnings.length, 1)
      assert.match(warnings[0]!, /profile\.json: the field 'oneWayMs' of the link profile is -6/)
      rmSync(file)
      assert.deepEqual([reread?.(), reread?.(), warnings.length], [undefined, undefined, 2])
      writeFileSync(file, '{"oneWayMs": 7}')
      assert.equal(reread?.()?.oneWayMs, 7)
    } finally {
      rmSync(folder, { recursive: true })
    }
    assert.equal(readLinkProfile('{}', silentLogger).reread, undefined)
  })

  it('takes cuts back from the peer to be those to it, unless it says others', () => {
    const cutsOf = (text: string): unknown => {
      const { cutsMs, cutsBackMs } = parseLinkProfile(text)
      return [cutsMs, cutsBackMs]
    }
    assert.deepEqual(cutsOf('{"cutsMs": [[1, 2]]}'), [[[1, 2]], [[1, 2]]])
    assert.deepEqual(cutsOf('{"cutsMs": [[1, 2]], "cutsBackMs": []}'), [[[1, 2]], []])
    const { peers } = parseLinkProfile(`{"cutsMs": [[1, 2]], "peers": {"${peerId}": {}}}`)
    assert.deepEqual(peers.get(peerId)?.cutsBackMs, [[1, 2]])
  })

  const bad: ReadonlyArray<readonly [text: string, message: RegExp]> = [
    ['{"oneWayMs": -1}', /field 'oneWayMs' of the link profile is -1: expected a number from 0 to 3600000/],
    ['{"upMbps": 0}', /field 'upMbps' of the link profile is 0: expected a number/],
    ['{"downMbps": "20"}', /field 'downMbps' of the link profile is "20"/],
    ['{"cutsMs": [[5, 1]]}', /field 'cutsMs' of the link profile is \[5,1\]: expected pairs/],
    ['{"cutsMs": [[0, 5], [4, 9]]}', /field 'cutsMs' of the link profile is \[4,9\]/],
    ['{"cutsBackMs": [[3, 3]]}', /field 'cutsBackMs' of the link profile is \[3,3\]/],
    ['{"jitterMs": []}', /field 'jitterMs' of the link profile is \[\]: expected 1 to 10000 values from 0 to/],
    ['{"jitterMs": [1, -1]}', /field 'jitterMs' of the link profile is \[1,-1\]/],
    ['{"lossShare": 1}', /field 'lossShare' of the link profile is 1: expected a number from 0 to 0.99/],
    ['{"startWallMs": "now"}', /field 'startWallMs' of the link profile is "now": expected a number/],
    ['{"peers": {"x": {}}}', /field 'peers.x' of the link profile is "x": expected a peer id/],
    [
      `{"peers": {"${peerId}": {"upMbps": 3}}}`,
      /no field 'peers\..*\.upMbps': there are oneWayMs, jitterMs, lossShare, cutsMs, cutsBackMs/
    ],
    ['{"oneWayMs": 5', /must be a JSON object such as/],
    ['{ }x', /must be a JSON object/],
    ['no-such-file.json', /no-such-file.json is no JSON object and cannot be read as a file/]
  ]
  for (const [text, message] of bad) {
    it(`refuses ${text}`, () => {
      assert.throws(() => readLinkProfile(text, silentLogger), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
    })
  }
})
