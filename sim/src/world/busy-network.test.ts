import assert from 'node:assert/strict'
import { attachment, type Channel, type ChannelLimits, type ProtocolId, protocols } from '@skein/protocol'
import { networkCompliance } from '@skein/protocol/testing'
import { devicePresets } from '../compute/device-presets.ts'
import { HostProcess } from '../compute/host-process.ts'
import { Machine } from '../compute/machine.ts'
import { TestWorld } from '../net/test-world.test-helper.ts'
import { virtualCompliance, virtualPair } from '../net/virtual-compliance.test-helper.ts'
import { BusyNetwork } from './busy-network.ts'
import { ChargedNetwork } from './charged-network.ts'

const limits: ChannelLimits = { maxHeadBytes: 1024, maxBodyBytes: 2 ** 20, sendBufferBytes: 2 ** 20 }

/** Two peers 5 ms apart on one machine, for whom each message takes `us`, and a session or a link so much more. */
function pair(us: number, sessionUs = 0, linkUs = 0) {
  const world = new TestWorld()
  const { clock } = world
  const machine = new Machine(clock, 2)
  const device = { ...devicePresets['laptop-cpu']!, overheadUsPerMessage: us, overheadUsPerSession: sessionUs, overheadUsPerLink: linkUs }
  return virtualPair(world, 1e9, (network) => new BusyNetwork(network, new HostProcess({ clock, device, machine })))
}

describe('a network whose messages cost time', () => {
  describe('as any network', () => {
    networkCompliance(virtualCompliance(() => pair(20)))
  })

  it('charges both ends of a control channel for the session, and those of channels for activations', async () => {
    const { clock, a, b } = pair(300, 4_000, 1_000)
    const atMs: number[] = []
    for (const protocol of [protocols.directory, protocols.link, protocols.control])
      b.handle(protocol, limits, () => atMs.push(clock.monotonicMs()))
    a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
    /** Until the opener and the other side have the channel. */
    const opening = async (protocol: ProtocolId): Promise<number[]> => {
      const startMs = clock.monotonicMs()
      await clock.runUntilSettled(a.open(b.self, protocol, { limits }), 'the channel')
      const openedMs = clock.monotonicMs()
      await clock.runUntil(openedMs + 20)
      return [openedMs - startMs, atMs.at(-1)! - startMs]
    }
    await opening(protocols.directory)
    const plain = await opening(protocols.directory)
    const link = await opening(protocols.link)
    const control = await opening(protocols.control)
    const more = (than: number[]): number[] => than.map((ms, end) => Math.round((ms - plain[end]!) * 1000) / 1000)
    assert.deepEqual(
      [more(link), more(control)],
      [
        [1, 1],
        [4, 4]
      ]
    )
  })

  it('charges the receiver for channels and frames, one after another, and not for acknowledgements of activations', async () => {
    const { clock, a, b } = pair(300)
    const atMs: number[] = []
    b.handle(protocols.link, limits, (channel) => {
      void (async (taken: Channel) => {
        for (;;) {
          if ((await taken.receive()) === undefined) return
          atMs.push(clock.monotonicMs())
        }
      })(channel)
    })
    a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
    const opened = (async () => {
      const channel = await a.open(b.self, protocols.link, { limits })
      const startMs = clock.monotonicMs()
      const head = new Uint8Array(8)
      const body = attachment(new Uint8Array(16))
      channel.send({ head })
      channel.send({ head, body })
      channel.send({ head, body })
      await clock.sleep(50)
      return startMs
    })()
    const startMs = await clock.runUntilSettled(opened, 'the frames')
    // The line takes some hundredths of a millisecond.
    assert.deepEqual(
      atMs.map((ms) => Math.round((ms - startMs) * 10) / 10),
      [5, 5.3, 5.6]
    )
    // Three round trips of the connection and one of the channel, and the opener's own part.
    assert.equal(Math.round(startMs * 10) / 10, 40.3)
  })

  it('charges for what a body counts for, not for its bytes', async () => {
    const world = new TestWorld()
    const { clock } = world
    const device = { ...devicePresets['laptop-cpu']!, overheadUsPerMessage: 0, overheadNsPerMessageByte: 1_000, overheadUsAfterPause: 0 }
    const process = new HostProcess({ clock, device })
    const { a, b } = virtualPair(world, 1e12, (network) => new ChargedNetwork(new BusyNetwork(network, process), 500))
    const accepted = new Promise<Channel>((resolve) => b.handle(protocols.link, limits, resolve))
    a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
    const near = await world.run(a.open(b.self, protocols.link, { limits }))
    const far = await world.run(accepted)
    const startMs = clock.monotonicMs()
    near.send({ head: new Uint8Array(8), body: attachment(new Uint8Array(16)) })
    assert.equal((await world.run(far.receive()))?.body?.byteLength, 16)
    // 5 ms of latency, and one microsecond for each of 500 times 16 bytes.
    assert.equal(Math.round(clock.monotonicMs() - startMs), 5 + 8)
  })
})
