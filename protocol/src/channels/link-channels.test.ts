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

  it('ends in peace on both sides when one hangs up, and leaves no timer behind', async () => {
    const internet = memoryInternet()
    const [a, b] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
    b.learn({ peer: a.self, addresses: [memoryAddress(a.self)], source: 'trusted' })
    const accepted = new Promise<Channel>((resolve) => a.handle(protocol, channelLimits.link, resolve))
    const opened = b.open(a.self, protocol, { limits: channelLimits.link })
    const clocks = [new ManualClock(), new ManualClock()] as const
    const reports: string[] = []
    const [hangsUp, hears] = clocks.map(
      (clock, index) =>
        new LinkChannels({
          clock,
          rowBytes: 4,
          onMessage: () => {},
          onDialed: () => {},
          onClosed: (link, code, message, ended) => reports.push(`${index} ${link} ${code} ${message} ${ended}`)
        })
    ) as [LinkChannels, LinkChannels]
    const channels = [await accepted, await opened]
    hangsUp.accept(1, 'link', channels[0]!)
    hears.accept(2, 'link', channels[1]!)
    hangsUp.hangUp(1)
    assert.deepEqual(await Promise.all(channels.map((channel) => channel.closed)), [{ kind: 'ended' }, { kind: 'ended' }])
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(reports, [`1 2 undefined ${a.self} ended the link true`])
    assert.deepEqual(
      clocks.map((clock) => clock.pendingTimers),
      [0, 0]
    )
    await a.stop()
    await b.stop()
  })
})
