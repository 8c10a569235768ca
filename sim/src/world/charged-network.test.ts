import assert from 'node:assert/strict'
import { attachment, type Channel, ChannelFullError, type ChannelLimits, type Frame, protocols } from '@skein/protocol'
import { TestWorld, wideLimits } from '../net/test-world.test-helper.ts'
import { virtualPair } from '../net/virtual-compliance.test-helper.ts'
import { ChargedNetwork } from './charged-network.ts'

const head = Uint8Array.of(1, 2, 3)
const bytes = Uint8Array.from({ length: 32 }, (_, index) => index + 1)
/** On the network one byte counts for so many. */
const charge = 100

/** Both ends of a channel between two peers, with what each frame counted for when it had arrived. */
async function open(limits: Partial<Record<'near' | 'far', ChannelLimits>> = {}, protocol = protocols.link) {
  const counted: number[] = []
  const world = new TestWorld({}, { onTransfer: (report) => counted.push(report.bytes) })
  const { a, b } = virtualPair(world, 1e9, (network) => new ChargedNetwork(network, charge))
  a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
  const accepted = new Promise<Channel>((resolve) => b.handle(protocol, limits.far ?? wideLimits, resolve))
  const near = await world.run(a.open(b.self, protocol, { limits: limits.near ?? wideLimits }))
  const far = await world.run(accepted)
  return { world, counted, near, receive: (): Promise<Frame | undefined> => world.run(far.receive()), far }
}

describe('a network on which rows count for more than their bytes', () => {
  it('counts that in its reports, and gives the receiver the bytes themselves', async () => {
    const { counted, near, receive } = await open()
    near.send({ head, body: attachment(bytes) })
    const frame = await receive()
    assert.deepEqual(counted, [head.byteLength + charge * bytes.byteLength])
    assert.equal(frame?.body?.byteLength, bytes.byteLength)
    assert.deepEqual(frame.body.read(), bytes)
    near.send({ head, body: attachment(new Uint8Array(0)) })
    assert.equal((await receive())?.body, undefined)
    assert.equal(counted[1], head.byteLength)
  })

  it('counts the bytes themselves where a protocol carries no rows', async () => {
    const { counted, near, receive } = await open({}, protocols.directory)
    near.send({ head, body: attachment(bytes) })
    await receive()
    assert.deepEqual(counted, [head.byteLength + bytes.byteLength])
  })

  it("counts it in the sender's buffer", async () => {
    const frame = { head, body: attachment(bytes) }
    const { near } = await open({ near: { ...wideLimits, sendBufferBytes: 1.5 * charge * bytes.byteLength } })
    assert.equal(near.send(frame), true)
    assert.equal(near.send(frame), false)
    assert.throws(() => near.send(frame), ChannelFullError)
  })

  it("counts it in the receiver's limits", async () => {
    const maxBodyBytes = charge * bytes.byteLength
    const within = await open({ far: { ...wideLimits, maxBodyBytes } })
    within.near.send({ head, body: attachment(bytes) })
    assert.deepEqual((await within.receive())?.body?.read(), bytes)
    const beyond = await open({ far: { ...wideLimits, maxBodyBytes: maxBodyBytes - 1 } })
    beyond.near.send({ head, body: attachment(bytes) })
    await assert.rejects(beyond.receive())
    assert.equal((await beyond.far.closed).kind, 'error')
  })

  for (const protocol of [protocols.link, protocols.directory]) {
    it(`delivers what was sent, whatever its sender does with the memory afterwards: ${protocol}`, async () => {
      const { near, receive } = await open({}, protocol)
      for (const size of [32, 4096]) {
        const sent = { head: Buffer.alloc(size, 1), body: Buffer.alloc(size, 2) }
        near.send({ head: sent.head, body: attachment(sent.body) })
        sent.head.fill(9)
        sent.body.fill(9)
        const frame = await receive()
        assert.deepEqual([...frame!.head], Array.from({ length: size }).fill(1))
        assert.deepEqual([...frame!.body!.read()], Array.from({ length: size }).fill(2))
      }
    })
  }
})
