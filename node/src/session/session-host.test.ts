import assert from 'node:assert/strict'
import { type AnnouncementReader, type Channel, channelLimits, encodeControl, type Network, protocols, silentLogger } from '@skein/protocol'
import { drainMicrotasks, ManualClock, memoryAddress, memoryInternet, testIdentity } from '@skein/protocol/testing'
import { dialBudgetDefaults, linkBudgetDefaults } from './dial-budget.ts'
import { SessionHost } from './session-host.ts'
import { openRequest, roomyRuntime } from './stage.test-helper.ts'

const sessions = dialBudgetDefaults.burst + 8

/** A host with one coordinator, and peers that count the links which reach them. Time stands still. */
class Bench {
  readonly host: SessionHost
  readonly network: Network
  readonly coordinator: Network
  links = 0
  readonly #internet = memoryInternet()

  constructor() {
    this.network = this.#internet.join(testIdentity(1).peerId)
    this.coordinator = this.#internet.join(testIdentity(2).peerId)
    this.coordinator.learn({ peer: this.network.self, addresses: [memoryAddress(this.network.self)], source: 'trusted' })
    const reader: AnnouncementReader = { parse: () => assert.fail('a record that nobody needs was read'), verify: () => assert.fail() }
    this.host = new SessionHost(
      { clock: new ManualClock(), logger: silentLogger, network: this.network, runtime: roomyRuntime, reader, state: () => 'serving' },
      { model: openRequest().model, maxSessions: sessions, maxSessionsPerPeer: sessions, historyBytes: 0, acceptsRaw: true }
    )
    this.host.start()
  }

  /** A peer whose address the host knows. */
  addSuccessor(number: number): Network {
    const successor = this.#internet.join(testIdentity(3 + number).peerId)
    this.network.learn({ peer: successor.self, addresses: [memoryAddress(successor.self)], source: 'trusted' })
    successor.handle(protocols.link, channelLimits.link, () => void this.links++)
    return successor
  }

  async open(number: number, successor: Network): Promise<Channel> {
    const control = await this.coordinator.open(this.network.self, protocols.control, { limits: channelLimits.control })
    control.send({ head: encodeControl(openRequest(number, { term: 1, to: { kind: 'stage', peer: successor.self } })) })
    await drainMicrotasks()
    return control
  }

  /** @returns how many links reached a successor */
  async stop(): Promise<number> {
    const { links } = this
    this.host.stop()
    await this.network.stop()
    return links
  }
}

describe('the links that a coordinator makes a node open', () => {
  it('are not counted over a connection that the node has', async () => {
    const bench = new Bench()
    const next = bench.addSuccessor(0)
    for (let number = 0; number < sessions; number++) await bench.open(number, next)
    assert.equal(bench.host.sessions, sessions)
    assert.equal(await bench.stop(), sessions)
  })

  it('cost a dial each where the node has none, and come to an end', async () => {
    const bench = new Bench()
    for (let number = 0; number < sessions; number++) await bench.open(number, bench.addSuccessor(number))
    assert.equal(bench.host.sessions, sessions)
    assert.equal(await bench.stop(), dialBudgetDefaults.burst)
  })

  it('are counted all the same when one session asks for them again and again, and its records are not verified', async () => {
    const { burst } = linkBudgetDefaults
    const bench = new Bench()
    const next = bench.addSuccessor(0)
    const control = await bench.open(1, next)
    for (let term = 2; term < burst + 10; term++) {
      const link = { term, to: { kind: 'stage', peer: next.self, record: new Uint8Array(300) } } as const
      control.send({ head: encodeControl({ type: 'reroute', id: term, side: 'successor', link }) })
      await drainMicrotasks()
    }
    // The first was a dial.
    assert.equal(await bench.stop(), 1 + burst)
  })
})
