import assert from 'node:assert/strict'
import type { ProtocolId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import { attachment } from '../ports/network.ts'
import type { Channel, ChannelLimits, Frame, Network, PeerAddresses } from '../ports/network.ts'

/** Two peers that know no addresses yet, and what the suite needs to do to them. */
export interface NetworkComplianceSetup {
  readonly a: Network
  readonly b: Network
  readonly clock: Clock
  /** Breaks the connection between the two, as a pulled cable does, and lets them connect again. */
  disconnect(): void | Promise<void>
  /** A peer at an address where nothing answers and nothing refuses. */
  readonly silent: PeerAddresses
  /** Bytes that may be under way between `send` and `receive` beyond `sendBufferBytes`: windows, sockets. */
  readonly transportBytes: number
  /** Whether the two can find each other by `advertise` and `find`. */
  readonly rendezvous: boolean
}

export const protocol = '/skein/compliance/1.0' as ProtocolId
export const smallLimits: ChannelLimits = { maxHeadBytes: 1024, maxBodyBytes: 256 * 1024, sendBufferBytes: 64 * 1024 }

/** A frame with a number in its head and a body that can be told by it. */
export function numbered(number: number, bodyBytes = 0): Frame {
  const head = new Uint8Array(4)
  new DataView(head.buffer).setUint32(0, number)
  return bodyBytes === 0 ? { head } : { head, body: attachment(new Uint8Array(bodyBytes).fill(number % 251)) }
}

export function numberOf(frame: Frame | undefined): number {
  assert.ok(frame !== undefined, 'the channel ended too early')
  const number = new DataView(frame.head.buffer, frame.head.byteOffset).getUint32(0)
  const body = frame.body?.read()
  assert.equal(body?.byteLength ?? 0, frame.body?.byteLength ?? 0)
  if (body !== undefined)
    assert.ok(body[0] === number % 251 && body[body.length - 1] === number % 251, `the body of frame ${number} is another's`)
  return number
}

/** Sends when there is room. */
export async function sendPaced(channel: Channel, frame: Frame): Promise<void> {
  await channel.writable()
  channel.send(frame)
}

/** Lets both peers know each other's addresses. */
export function introduce({ a, b }: NetworkComplianceSetup): void {
  a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
  b.learn({ peer: a.self, addresses: a.addresses(), source: 'trusted' })
}

/** Both ends of a new channel from `a` to `b`. */
export async function openPair(setup: NetworkComplianceSetup, limits = smallLimits, farLimits = limits): Promise<[Channel, Channel]> {
  introduce(setup)
  const accepted = new Promise<Channel>((resolve) => {
    const stop = setup.b.handle(protocol, farLimits, (channel) => {
      stop()
      resolve(channel)
    })
  })
  const near = await setup.a.open(setup.b.self, protocol, { limits })
  return [near, await accepted]
}

export function echo(channel: Channel): void {
  const run = async (): Promise<void> => {
    for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) await sendPaced(channel, frame)
    await channel.end()
  }
  run().catch(() => channel.reset())
}
