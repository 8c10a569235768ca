import assert from 'node:assert/strict'
import { TimeoutError } from '../errors.ts'
import type { NetworkEvent, PeerAddresses } from '../ports/network.ts'
import { echo, introduce, numbered, numberOf, openPair, protocol, sendPaced, smallLimits } from './network-compliance-setup.ts'
import type { NetworkComplianceSetup } from './network-compliance-setup.ts'
import { networkFaultCompliance } from './network-fault-compliance.ts'

export interface NetworkComplianceOptions {
  setup(): Promise<NetworkComplianceSetup>
  teardown(): Promise<void>
}

/** What every implementation of the {@link Network} port must do. Call it inside a `describe`. */
export function networkCompliance(options: NetworkComplianceOptions): void {
  describe('network compliance', function () {
    this.timeout(30_000)
    let setup: NetworkComplianceSetup
    beforeEach(async () => {
      setup = await options.setup()
    })
    afterEach(() => options.teardown())

    frames(() => setup)
    opening(() => setup)
    networkFaultCompliance(() => setup)
  })
}

function frames(setup: () => NetworkComplianceSetup): void {
  it('delivers frames of all sizes in order, both ways', async () => {
    const [near, far] = await openPair(setup())
    echo(far)
    assert.equal(near.peer, setup().b.self)
    assert.equal(far.peer, setup().a.self)
    assert.equal(near.protocol, protocol)
    const sizes = [0, 1, 3, 1000, 65_536, 65_537, 200_000, 256 * 1024]
    for (const [index, size] of sizes.entries()) {
      await sendPaced(near, numbered(index, size))
      const frame = await near.receive()
      assert.equal(numberOf(frame), index)
      assert.equal(frame?.body?.byteLength ?? 0, size)
    }
  })

  it('delivers a burst of small frames in order', async () => {
    const [near, far] = await openPair(setup())
    const count = 2000
    const received: number[] = []
    const reading = (async () => {
      for (let frame = await far.receive(); frame !== undefined; frame = await far.receive()) received.push(numberOf(frame))
    })()
    for (let index = 0; index < count; index++) await sendPaced(near, numbered(index, index % 100))
    await near.end()
    await reading
    assert.deepEqual(
      received,
      Array.from({ length: count }, (_, index) => index)
    )
  })

  it('is writable again and again', async () => {
    const [near, far] = await openPair(setup())
    let sent = 0
    let received = 0
    for (let round = 0; round < 30; round++) {
      while (near.send(numbered(sent++, 16 * 1024)));
      while (received < sent) assert.equal(numberOf(await far.receive()), received++)
      await near.writable()
    }
    assert.ok(sent >= 60)
  })

  it('refuses what is sent beyond the bound', async () => {
    const [near] = await openPair(setup())
    let sent = 0
    let refused: unknown
    // A reader that never pulls: the transport may swallow some, but not without end.
    while (refused === undefined && sent < 1e5) {
      try {
        near.send(numbered(sent++, 64 * 1024))
      } catch (error) {
        refused = error
      }
    }
    assert.equal((refused as { code?: string }).code, 'ERR_SKEIN_CHANNEL_FULL')
  })

  it('half-closes either way, and closes when both have', async () => {
    const [near, far] = await openPair(setup())
    near.send(numbered(1))
    await near.end()
    await near.end()
    assert.throws(() => near.send(numbered(2)), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    await assert.rejects(near.writable(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    assert.equal(numberOf(await far.receive()), 1)
    assert.equal(await far.receive(), undefined)
    assert.equal(await far.receive(), undefined)
    for (let index = 0; index < 20; index++) await sendPaced(far, numbered(index, 1000))
    await far.end()
    for (let index = 0; index < 20; index++) assert.equal(numberOf(await near.receive()), index)
    assert.equal(await near.receive(), undefined)
    assert.deepEqual(await Promise.all([near.closed, far.closed]), [{ kind: 'ended' }, { kind: 'ended' }])
  })

  it('loses no frame when a receive is aborted', async () => {
    const [near, far] = await openPair(setup())
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController()
      const given = far.receive({ signal: controller.signal }).catch((error: { code?: string }) => {
        assert.equal(error.code, 'ERR_SKEIN_ABORTED')
        return undefined
      })
      if (round % 2 === 0) controller.abort()
      await sendPaced(near, numbered(round, 100_000))
      // Fires before, in the middle of, or after the arrival of the frame: it may be given up, but not lost.
      controller.abort()
      await assert.rejects(far.receive({ signal: controller.signal }), { code: 'ERR_SKEIN_ABORTED' })
      assert.equal(numberOf((await given) ?? (await far.receive())), round)
    }
  })
}

function opening(setup: () => NetworkComplianceSetup): void {
  it('opens 40 channels of one protocol to one peer', async () => {
    introduce(setup())
    setup().b.handle(protocol, smallLimits, echo)
    const channels = await Promise.all(Array.from({ length: 40 }, () => setup().a.open(setup().b.self, protocol, { limits: smallLimits })))
    for (const [index, channel] of channels.entries()) channel.send(numbered(index))
    for (const [index, channel] of channels.entries()) assert.equal(numberOf(await channel.receive()), index)
  })

  it('dials only addresses that it learned', async () => {
    const { a, b } = setup()
    b.handle(protocol, smallLimits, echo)
    await assert.rejects(a.open(b.self, protocol, { limits: smallLimits }), { code: 'ERR_SKEIN_DIAL_FAILED' })
    introduce(setup())
    ;(await a.open(b.self, protocol, { limits: smallLimits })).reset()
  })

  it('refuses an unknown protocol, and one whose handler was removed', async () => {
    introduce(setup())
    const { a, b } = setup()
    const unsupported = { code: 'ERR_SKEIN_UNSUPPORTED' }
    await assert.rejects(a.open(b.self, protocol, { limits: smallLimits }), unsupported)
    const stop = b.handle(protocol, smallLimits, echo)
    ;(await a.open(b.self, protocol, { limits: smallLimits })).reset()
    stop()
    await assert.rejects(a.open(b.self, protocol, { limits: smallLimits }), unsupported)
  })

  it('gives up a dial that nobody answers at its deadline, and at once when the signal has fired', async () => {
    const { a, clock, silent } = setup()
    a.learn(silent)
    const deadline = clock.deadline(100, 'the dial')
    await assert.rejects(a.open(silent.peer, protocol, { limits: smallLimits, signal: deadline.signal }), TimeoutError)
    await assert.rejects(a.ping(silent.peer, { signal: AbortSignal.abort() }), { code: 'ERR_SKEIN_ABORTED' })
    deadline.clear()
  })

  it('measures round trips and tells of connections', async () => {
    introduce(setup())
    const { a, b } = setup()
    const events: NetworkEvent[] = []
    a.subscribe(() => {
      throw new Error('a listener that fails')
    })
    const unsubscribe = a.subscribe((event) => events.push(event))
    assert.equal(a.path(b.self), undefined)
    assert.ok((await a.ping(b.self)) >= 0)
    assert.equal(a.path(b.self)?.kind, 'direct')
    assert.ok(events.some((event) => event.type === 'connected' && event.peer === b.self))
    unsubscribe()
    const count = events.length
    await setup().disconnect()
    assert.equal(events.length, count)
    await assert.rejects(a.ping(a.self), { code: 'ERR_SKEIN_DIAL_FAILED' })
  })

  it('finds who advertised a topic', async function () {
    if (!setup().rendezvous) return this.skip()
    const { a, b } = setup()
    introduce(setup())
    await a.ping(b.self)
    await b.advertise('a topic')
    const found: PeerAddresses[] = []
    for await (const record of a.find('a topic')) found.push(record)
    assert.deepEqual(
      found.map((record) => record.peer),
      [b.self]
    )
    assert.ok(found[0]!.addresses.length > 0)
    for await (const record of a.find('another topic')) assert.fail(`${record.peer} advertised nothing`)
  })

  it('stops twice, resets its channels and opens no more', async () => {
    const [near, far] = await openPair(setup())
    const { a, b } = setup()
    await Promise.all([a.stop(), a.stop()])
    assert.equal((await near.closed).kind, 'reset')
    assert.equal((await far.closed).kind, 'remote')
    await assert.rejects(far.receive(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    await assert.rejects(a.open(b.self, protocol, { limits: smallLimits }), { code: 'ERR_SKEIN_DIAL_FAILED' })
  })
}
