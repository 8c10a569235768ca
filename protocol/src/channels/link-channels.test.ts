import assert from 'node:assert/strict'
import { parseProtocolId } from '../ids.ts'
import { channelLimits } from '../limits.ts'
import { decodeLink } from '../messages/codec.ts'
import { memoryAddress, memoryInternet } from '../memory/memory-network.ts'
import type { Channel } from '../ports/network.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { LinkChannels } from './link-channels.ts'

const protocol = parseProtocolId('/test/link/1.0')

describe('link channels', () => {
  it('delivers what was said last when it hangs up while it waits for the other side', async () => {
    const internet = memoryInternet()
    const [a, b] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
    b.learn({ peer: a.self, addresses: [memoryAddress(a.self)], source: 'trusted' })
    const accepted = new Promise<Channel>((resolve) => a.handle(protocol, channelLimits.link, resolve))
    const there = await b.open(a.self, protocol, { limits: channelLimits.link })
    const links = new LinkChannels({
      clock: new ManualClock(),
      rowBytes: 4,
      onMessage: () => {},
      onDialed: () => {},
      onClosed: () => assert.fail('a link that was hung up on is not reported')
    })
    links.accept(1, 'link', await accepted)
    // So that its reader waits for a frame.
    await new Promise((resolve) => setImmediate(resolve))
    links.send(1, { type: 'refused', code: 'ERR_SKEIN_NOT_FINITE', message: 'last words', detail: {} })
    links.hangUp(1)
    const frame = await there.receive()
    assert.equal(decodeLink(frame?.head ?? new Uint8Array(0)).type, 'refused')
    assert.equal(await there.receive(), undefined)
    await there.end()
    assert.deepEqual(await there.closed, { kind: 'ended' })
    await a.stop()
    await b.stop()
  })
})
