import assert from 'node:assert/strict'
import { attachment, type Channel } from '../ports/network.ts'
import { echo, introduce, numbered, numberOf, openPair, protocol, sendPaced, smallLimits } from './network-compliance-setup.ts'
import type { NetworkComplianceSetup } from './network-compliance-setup.ts'

const MiB = 1024 * 1024

/** The part of the suite in which something goes wrong. */
export function networkFaultCompliance(setup: () => NetworkComplianceSetup): void {
  stalls(setup)
  breaks(setup)
  misuse(setup)
}

function stalls(setup: () => NetworkComplianceSetup): void {
  it('holds 100 MB for a stalled reader under a memory bound, and delivers them when it reads', async () => {
    const { clock, transportBytes } = setup()
    const limits = { maxHeadBytes: 16, maxBodyBytes: MiB, sendBufferBytes: MiB }
    const [near, far] = await openPair(setup(), limits)
    const before = process.memoryUsage().arrayBuffers
    const total = 100
    let sent = 0
    const writing = (async () => {
      for (; sent < total; sent++) await sendPaced(near, numbered(sent, MiB))
      await near.end()
    })()
    for (let last = -1; last !== sent;) {
      last = sent
      await clock.sleep(50)
    }
    const boundBytes = limits.sendBufferBytes + limits.maxBodyBytes + transportBytes
    assert.ok(sent * MiB <= boundBytes, `${sent} MiB were taken for a reader that reads nothing`)
    const held = process.memoryUsage().arrayBuffers - before
    assert.ok(held <= 3 * boundBytes, `${held} bytes are held for a reader that reads nothing`)
    for (let index = 0; index < total; index++) assert.equal(numberOf(await far.receive()), index)
    assert.equal(await far.receive(), undefined)
    await writing
  })

  it('keeps a control channel alive beside a bulk channel that is stalled', async () => {
    const [bulk, stalled] = await openPair(setup(), { maxHeadBytes: 16, maxBodyBytes: MiB, sendBufferBytes: 8 * MiB })
    const { a, b } = setup()
    b.handle(protocol, smallLimits, echo)
    const control = await a.open(b.self, protocol, { limits: smallLimits })
    for (let index = 0; index < 8; index++) bulk.send(numbered(index, MiB))
    for (let index = 0; index < 50; index++) {
      control.send(numbered(index))
      assert.equal(numberOf(await control.receive()), index)
    }
    for (let index = 0; index < 8; index++) assert.equal(numberOf(await stalled.receive()), index)
  })
}

function breaks(setup: () => NetworkComplianceSetup): void {
  it('resets with frames in flight: what arrives is a prefix, then the error', async () => {
    const [near, far] = await openPair(setup())
    let expected = 0
    for (let index = 0; index < 10; index++) await sendPaced(near, numbered(index, 5000))
    assert.equal(numberOf(await far.receive()), expected++)
    near.reset()
    near.reset()
    const reading = (async () => {
      for (;;) assert.equal(numberOf(await far.receive()), expected++)
    })()
    await assert.rejects(reading, { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    assert.deepEqual(await near.closed, { kind: 'reset' })
    assert.deepEqual(await far.closed, { kind: 'remote' })
    for (const channel of [near, far]) {
      assert.throws(() => channel.send(numbered(1)), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
      await assert.rejects(channel.receive(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
      await assert.rejects(channel.writable(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
      await assert.rejects(channel.end(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    }
  })

  it('wakes a waiting writer and a waiting reader when the other side resets', async () => {
    const [near, far] = await openPair(setup())
    const reading = assert.rejects(near.receive(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
    const writing = assert.rejects(
      (async () => {
        for (let index = 0; ; index++) await sendPaced(near, numbered(index, 64 * 1024))
      })(),
      { code: 'ERR_SKEIN_CHANNEL_CLOSED' }
    )
    await setup().clock.sleep(20)
    far.reset()
    await Promise.all([reading, writing])
  })

  it('fails every channel of a pair with its connection, and connects again', async () => {
    introduce(setup())
    const { a, b } = setup()
    const accepted: Channel[] = []
    b.handle(protocol, smallLimits, (channel) => accepted.push(channel))
    const lost: string[] = []
    a.subscribe((event) => event.type === 'disconnected' && lost.push(event.peer))
    const opened = await Promise.all(Array.from({ length: 5 }, () => a.open(b.self, protocol, { limits: smallLimits })))
    for (const channel of opened) channel.send(numbered(0))
    while (accepted.length < opened.length) await setup().clock.sleep(1)
    const waiting = [...opened, ...accepted].map(async (channel) => {
      for (;;) if ((await channel.receive()) === undefined) assert.fail('a broken connection is not an orderly end')
    })
    const outcomes = Promise.allSettled(waiting)
    await setup().disconnect()
    for (const outcome of await outcomes) {
      assert.equal(outcome.status === 'rejected' && (outcome.reason as { code: string }).code, 'ERR_SKEIN_CHANNEL_CLOSED')
    }
    for (const channel of [...opened, ...accepted]) assert.ok(['remote', 'error'].includes((await channel.closed).kind))
    assert.deepEqual(lost, [b.self])
    assert.equal(a.path(b.self), undefined)
    ;(await a.open(b.self, protocol, { limits: smallLimits })).reset()
  })
}

function misuse(setup: () => NetworkComplianceSetup): void {
  it('contains the exception of a handler: its channel is reset, others live', async () => {
    const [near, far] = await openPair(setup())
    const { a, b } = setup()
    const handlers: Array<() => void> = [
      () => {
        throw new Error('a handler that fails')
      },
      () => Promise.reject(new Error('a handler that fails later'))
    ]
    for (const handler of handlers) {
      b.handle(protocol, smallLimits, handler)
      const failed = await a.open(b.self, protocol, { limits: smallLimits })
      assert.equal((await failed.closed).kind, 'remote')
    }
    near.send(numbered(7))
    assert.equal(numberOf(await far.receive()), 7)
  })

  for (const part of ['head', 'body'] as const) {
    it(`refuses a ${part} beyond the limit of the receiver`, async () => {
      const farLimits = { maxHeadBytes: 100, maxBodyBytes: 1000, sendBufferBytes: 64 * 1024 }
      const [near, far] = await openPair(setup(), smallLimits, farLimits)
      near.send({ head: new Uint8Array(100), body: attachment(new Uint8Array(1000)) })
      near.send({ head: new Uint8Array(part === 'head' ? 101 : 1), body: attachment(new Uint8Array(part === 'body' ? 1001 : 1)) })
      assert.equal((await far.receive())?.body?.byteLength, 1000)
      await assert.rejects(far.receive(), { code: 'ERR_SKEIN_CHANNEL_CLOSED' })
      const cause = await far.closed
      assert.equal(cause.kind, 'error')
      assert.equal((cause.error as { code?: string }).code, 'ERR_SKEIN_TOO_LARGE')
      assert.equal((await near.closed).kind, 'remote')
    })
  }
}
