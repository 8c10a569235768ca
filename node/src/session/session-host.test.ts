import assert from 'node:assert/strict'
import {
  type AnnouncementReader,
  announcementReader,
  channelLimits,
  encodeControl,
  type Network,
  type OpenRequest,
  parseModelId,
  parseSessionId,
  protocols,
  silentLogger
} from '@skein/protocol'
import { ed25519Verifier } from '@skein/protocol/node'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import type { SpanRuntime } from '../runtime/span-runtime.ts'
import { dialBudgetDefaults, linkBudgetDefaults } from './dial-budget.ts'
import { SessionHost } from './session-host.ts'

const model = parseModelId('m@00000000000000000000000000000000')
const numerics = { weights: 'f32', kernels: 'k' } as const
const sessions = dialBudgetDefaults.burst + 8

const runtime = {
  info: { span: { start: 0, end: 2 }, entryPoints: [0, 1, 2], hiddenSize: 8, numerics, contextTokens: 1024, kvTokens: 1 << 20 },
  freeKvTokens: () => 1 << 20,
  reserve: () => Promise.resolve(),
  release: () => Promise.resolve()
} as unknown as SpanRuntime

function openRequest(number: number, next: Network): OpenRequest {
  return {
    type: 'open',
    id: 1,
    session: parseSessionId(number.toString(16).padStart(32, '0')),
    model,
    span: { start: 0, end: 2 },
    numerics,
    exact: false,
    kvTokens: 16,
    historyBytes: 0,
    encoding: 'raw',
    predecessor: { term: 1, to: { kind: 'coordinator' } },
    successor: { term: 1, to: { kind: 'stage', peer: next.self } },
    leaseMs: 30_000
  }
}

/**
 * One coordinator opens more sessions at once than it may cause dials, each with the next of the given successors.
 *
 * @returns how many links reached a successor
 */
async function linksOpened(
  choose: (number: number) => Network,
  successors: readonly Network[],
  internet: ReturnType<typeof memoryInternet>
) {
  const clock = new ManualClock()
  const [network, coordinator] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
  let links = 0
  for (const successor of successors) {
    network.learn({ peer: successor.self, addresses: [memoryAddress(successor.self)], source: 'trusted' })
    successor.handle(protocols.link, channelLimits.link, () => void links++)
  }
  coordinator.learn({ peer: network.self, addresses: [memoryAddress(network.self)], source: 'trusted' })
  const host = new SessionHost(
    { clock, logger: silentLogger, network, runtime, reader: announcementReader(ed25519Verifier()), state: () => 'serving' },
    { model, maxSessions: sessions, maxSessionsPerPeer: sessions, historyBytes: 0, acceptsRaw: true }
  )
  host.start()
  for (let number = 0; number < sessions; number++) {
    const control = await coordinator.open(network.self, protocols.control, { limits: channelLimits.control })
    control.send({ head: encodeControl(openRequest(number, choose(number))) })
    await drainMicrotasks()
  }
  assert.equal(host.sessions, sessions)
  const opened = links
  host.stop()
  await network.stop()
  return opened
}

/** One session whose successor is named anew, at the next term each time. @returns how many of those links reached it */
async function linksAfterReroutes(reroutes: number): Promise<number> {
  const internet = memoryInternet()
  const next = internet.join(testIdentity(3).peerId)
  let links = 0
  next.handle(protocols.link, channelLimits.link, () => void links++)
  const clock = new ManualClock()
  const [network, coordinator] = [internet.join(testIdentity(1).peerId), internet.join(testIdentity(2).peerId)]
  network.learn({ peer: next.self, addresses: [memoryAddress(next.self)], source: 'trusted' })
  coordinator.learn({ peer: network.self, addresses: [memoryAddress(network.self)], source: 'trusted' })
  const reader: AnnouncementReader = { parse: () => assert.fail('a record that nobody needs was read'), verify: () => assert.fail() }
  const host = new SessionHost(
    { clock, logger: silentLogger, network, runtime, reader, state: () => 'serving' },
    { model, maxSessions: 1, maxSessionsPerPeer: 1, historyBytes: 0, acceptsRaw: true }
  )
  host.start()
  const control = await coordinator.open(network.self, protocols.control, { limits: channelLimits.control })
  control.send({ head: encodeControl(openRequest(1, next)) })
  await drainMicrotasks()
  for (let term = 2; term < 2 + reroutes; term++) {
    const link = { term, to: { kind: 'stage', peer: next.self, record: new Uint8Array(300) } } as const
    control.send({ head: encodeControl({ type: 'reroute', id: term, side: 'successor', link }) })
    await drainMicrotasks()
  }
  host.stop()
  await network.stop()
  return links
}

describe('the links that a coordinator makes a node open', () => {
  it('are not counted over a connection that the node has', async () => {
    const internet = memoryInternet()
    const next = internet.join(testIdentity(3).peerId)
    assert.equal(await linksOpened(() => next, [next], internet), sessions)
  })

  it('cost a dial each where the node has none, and come to an end', async () => {
    const internet = memoryInternet()
    const strangers = Array.from({ length: sessions }, (_, number) => internet.join(testIdentity(3 + number).peerId))
    const choose = (number: number) => strangers[number] ?? assert.fail()
    assert.equal(await linksOpened(choose, strangers, internet), dialBudgetDefaults.burst)
  })

  it('are counted all the same when one session asks for them again and again, and its records are not verified', async () => {
    const { burst } = linkBudgetDefaults
    // The first was a dial.
    assert.equal(await linksAfterReroutes(burst + 8), 1 + burst)
  })
})
