import assert from 'node:assert/strict'
import { attachment } from '../ports/network.ts'
import { memoryCompliance, peerA, peerB } from '../testing/memory-compliance.node.ts'
import { openPair } from '../testing/network-compliance-setup.ts'
import { networkCompliance } from '../testing/network-compliance.ts'
import { memoryInternet } from './memory-network.ts'

describe('the network in memory', () => {
  const { setup, teardown } = memoryCompliance(() => memoryInternet({ roundTripMs: () => 3 }))

  networkCompliance({ setup, teardown })

  it('delivers copies, so that a peer that reuses its bytes harms nobody', async () => {
    const [near, far] = await openPair(await setup())
    const [head, body] = [Uint8Array.of(1), Uint8Array.of(2)]
    near.send({ head, body: attachment(body) })
    head[0] = body[0] = 99
    const frame = await far.receive()
    assert.deepEqual([frame?.head[0], frame?.body?.read()[0]], [1, 2])
    await teardown()
  })

  it('keeps the stated size of a modelled body', async () => {
    const [near, far] = await openPair(await setup())
    near.send({ head: new Uint8Array(0), body: { byteLength: 10_000, read: () => Uint8Array.of(1, 2) } })
    const body = (await far.receive())?.body
    assert.deepEqual([body?.byteLength, body?.read().byteLength], [10_000, 2])
    await teardown()
  })

  it('keeps two peers apart until their line is healed', async () => {
    const common = await setup()
    const [near] = await openPair(common)
    common.internet.cut(peerB, peerA)
    assert.equal((await near.closed).kind, 'remote')
    await assert.rejects(common.a.ping(peerB), { code: 'ERR_SKEIN_DIAL_FAILED' })
    common.internet.heal(peerA, peerB)
    assert.equal(await common.a.ping(peerB), 3)
    assert.throws(() => common.internet.join(peerA), /one identity cannot be two hosts/)
    await teardown()
  })
})
