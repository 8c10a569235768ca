import assert from 'node:assert/strict'
import { MalformedError } from '../errors.ts'
import { channelLimits, limits } from '../limits.ts'
import { memoryAddress } from '../memory/memory-network.ts'
import { decodeDirectoryRequest, decodeDirectoryResponse, encodeDirectory } from '../messages/directory.ts'
import type { DeltaResponse, DirectoryRequest } from '../messages/directory.ts'
import type { Channel } from '../ports/network.ts'
import { model, rawChannel, Swarm } from '../testing/directory-swarm.node.ts'
import type { Peer } from '../testing/directory-swarm.node.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { protocols } from '../versions.ts'

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

  /** A keeper that answers an exchange as it likes; returns what else it is asked. */
  function keeper(name: string, answer: (id: number) => DeltaResponse): { readonly id: Peer['id']; readonly asked: DirectoryRequest[] } {
    const { peerId } = testIdentity(name)
    const asked: DirectoryRequest[] = []
    swarm.internet.join(peerId).handle(protocols.directory, channelLimits.directory, (channel) => {
      const serve = async (): Promise<void> => {
        for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
          const request = decodeDirectoryRequest(frame.head)
          if (request.type === 'exchange') channel.send({ head: encodeDirectory(answer(request.id)) })
          else asked.push(request)
        }
      }
      serve().catch(() => {})
    })
    return { id: peerId, asked }
  }

  function coordinatorOf(id: Peer['id']): Peer {
    const coordinator = swarm.add('coordinator', { mesh: false, coordinatorExchangeMs: 1e9, contacts: [id] })
    coordinator.network.learn({ peer: id, addresses: [memoryAddress(id)], source: 'trusted' })
    return coordinator
  }

  const empty = { type: 'delta', buckets: [0], ages: new Uint8Array(0), wanted: false, whole: true } as const

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
    const { id, asked } = keeper('keeper', (request) => ({
      ...{ ...empty, id: request },
      entries: [[other.peerId, 5, 10]],
      records: [[10, signed.encoded]]
    }))
    const coordinator = coordinatorOf(id)
    await swarm.settle(coordinator.service.exchange(id))
    assert.deepEqual([...swarm.known(coordinator).keys()], [other.peerId])
    assert.deepEqual(asked, [])
  })

  it('may not be more than the entries', async () => {
    const signed = swarm.sign(testIdentity('other'), 5)
    const { id } = keeper('keeper', (request) => ({ ...empty, id: request, entries: [], records: [[10, signed.encoded]] }))
    const coordinator = coordinatorOf(id)
    await assert.rejects(swarm.settle(coordinator.service.exchange(id)), MalformedError)
    assert.equal(swarm.known(coordinator).size, 0)
  })
})
