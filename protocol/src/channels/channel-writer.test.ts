import assert from 'node:assert/strict'
import { memoryAddress, memoryInternet, testIdentity } from '../testing/index.ts'
import { parseProtocolId } from '../ids.ts'
import { attachment, type Channel } from '../ports/network.ts'
import { ChannelWriter } from './channel-writer.ts'
import { WaitingResults } from './waiting-results.ts'

const protocol = parseProtocolId('/test/writer/1.0')
const limits = { maxHeadBytes: 1024, maxBodyBytes: 1024, sendBufferBytes: 64 }

async function pair(): Promise<{ near: Channel; far: Channel }> {
  const internet = memoryInternet()
  const [a, b] = [testIdentity(1).peerId, testIdentity(2).peerId]
  const [networkA, networkB] = [internet.join(a), internet.join(b)]
  const accepted = new Promise<Channel>((resolve) => networkB.handle(protocol, limits, resolve))
  networkA.learn({ peer: b, addresses: [memoryAddress(b)], source: 'trusted' })
  const near = await networkA.open(b, protocol, { limits })
  return { near, far: await accepted }
}

describe('ChannelWriter', () => {
  it('delivers everything in order though the channel is full at times, then ends', async () => {
    const { near, far } = await pair()
    const writer = new ChannelWriter(near, 10_000)
    for (let index = 0; index < 100; index++) writer.write({ head: Uint8Array.of(index), body: attachment(new Uint8Array(32)) })
    writer.end()
    const seen: number[] = []
    for (let frame = await far.receive(); frame !== undefined; frame = await far.receive()) seen.push(frame.head[0] ?? -1)
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, index) => index)
    )
  })

  it('resets the channel of a writer that passes its bound', async () => {
    const { near, far } = await pair()
    const writer = new ChannelWriter(near, 500)
    for (let index = 0; index < 100; index++) writer.write({ head: new Uint8Array(32) })
    assert.equal((await far.closed).kind, 'remote')
    assert.equal((await near.closed).kind, 'reset')
  })

  it('shares a room with others, of which whoever fills it most gives way', async () => {
    const together = new WaitingResults(1_000)
    const [greedy, other, third] = [await pair(), await pair(), await pair()]
    const writers = [greedy, other, third].map(({ near }) => new ChannelWriter(near, 10_000, together))
    const write = (writer: number, count: number): void => {
      for (let index = 0; index < count; index++) writers[writer]?.write({ head: new Uint8Array(50) })
    }
    write(0, 14)
    write(1, 6)
    const before = together.bytes
    assert.ok(before > 600 && before <= 1_000, `${before} bytes wait`)
    write(2, 12)
    assert.equal((await greedy.near.closed).kind, 'reset')
    assert.ok(together.bytes <= 1_000)
    for (const [index, { far }] of [other, third].entries()) {
      writers[index + 1]?.end()
      let count = 0
      while ((await far.receive()) !== undefined) count++
      assert.equal(count, [6, 12][index], 'the others lose nothing')
    }
    assert.equal(together.bytes, 0)
  })
})
