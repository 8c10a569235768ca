import assert from 'node:assert/strict'
import { MalformedError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { limits } from '../limits.ts'
import { decodeDirectoryResponse, encodeDirectory } from '../messages/directory.ts'
import type { DeltaResponse, DirectoryRequest } from '../messages/directory.ts'
import type { Channel } from '../ports/network.ts'
import { emptyDelta, model, rawChannel, Swarm } from '../testing/directory-swarm.node.ts'
import type { Peer } from '../testing/directory-swarm.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'

describe('records that come with the answer to an exchange', () => {
  let swarm: Swarm
  beforeEach(() => {
    swarm = new Swarm()
  })
  afterEach(async () => {
    await swarm.stop()
  })

  /** What a peer answers to one that holds nothing. */
  async function deltaOf(peer: Peer, channel: Channel, id: number): Promise<DeltaResponse> {
    channel.send({ head: encodeDirectory({ type: 'exchange', id, model, salt: 7, buckets: new Uint8Array(4) }) })
    const answer = decodeDirectoryResponse((await channel.receive())!.head)
    assert.ok(answer.type === 'delta')
    return answer
  }

  /** A keeper that answers an exchange so; returns what else it is asked. */
  function keeper(answer: Partial<DeltaResponse>): { readonly id: PeerId; readonly asked: DirectoryRequest[] } {
    const asked: DirectoryRequest[] = []
    const { id } = swarm.pretend('keeper', (request) => {
      if (request.type === 'exchange') return { ...emptyDelta, ...answer, id: request.id }
      asked.push(request)
      return undefined
    })
    return { id, asked }
  }

  it('are those that came lately, and no more than are cheap', async () => {
    const first = swarm.add('first')
    swarm.announce(first, 1)
    const { channel } = await rawChannel(swarm, 'asker', first)
    const fresh = await deltaOf(first, channel, 1)
    assert.deepEqual([fresh.entries.length, fresh.records.length], [1, 1])
    await swarm.clock.advanceAsync(121_000)
    const later = await deltaOf(first, channel, 2)
    assert.deepEqual([later.entries.length, later.records.length], [1, 0])
    channel.reset()

    for (let number = 0; number < 60; number++) {
      const signed = swarm.sign(testIdentity(`node ${number}`), 1)
      first.store.put(signed, first.id, 0, swarm.clock.monotonicMs())
    }
    const { channel: another } = await rawChannel(swarm, 'another', first)
    const many = await deltaOf(first, another, 3)
    const bytes = many.records.reduce((sum, [, encoded]) => sum + encoded.byteLength, 0)
    assert.equal(many.entries.length, 61)
    assert.ok(many.records.length > 0 && many.records.length < 60 && bytes <= limits.maxDeltaRecordBytes)
    another.reset()
  })

  it('are taken in without another question', async () => {
    const other = testIdentity('other')
    const signed = swarm.sign(other, 5)
    const { id, asked } = keeper({ entries: [[other.peerId, 5, 10]], records: [[10, signed.encoded]] })
    const coordinator = swarm.coordinatorOf(id)
    await swarm.settle(coordinator.service.exchange(id))
    assert.deepEqual([...swarm.known(coordinator).keys()], [other.peerId])
    assert.deepEqual(asked, [])
  })

  it('may not be more than the entries', async () => {
    const signed = swarm.sign(testIdentity('other'), 5)
    const { id } = keeper({ records: [[10, signed.encoded]] })
    const coordinator = swarm.coordinatorOf(id)
    await assert.rejects(swarm.settle(coordinator.service.exchange(id)), MalformedError)
    assert.equal(swarm.known(coordinator).size, 0)
  })
})
