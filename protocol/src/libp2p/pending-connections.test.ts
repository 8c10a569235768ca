import assert from 'node:assert/strict'
import { type PendingConnection, PendingConnections } from './pending-connections.ts'

const most = 4

function connection(address: string): PendingConnection & { aborted: boolean; close: () => void } {
  let close = (): void => {}
  return {
    aborted: false,
    remoteAddr: { toString: () => address },
    abort() {
      this.aborted = true
      close()
    },
    addEventListener: (_type, listener) => void (close = listener),
    close: () => close()
  }
}

describe('handshakes that are under way', () => {
  it('give way, the oldest of the address with the most of them first', () => {
    const pending = new PendingConnections(most)
    const [first, ...more] = Array.from({ length: most - 1 }, (_, port) => connection(`/ip4/192.0.2.1/tcp/${port}`))
    const other = connection('/ip4/192.0.2.2/tcp/1')
    for (const one of [first!, ...more, other]) pending.begin(one)
    assert.equal(first!.aborted, false, 'there was room')
    const newcomer = connection('/ip4/192.0.2.3/tcp/1')
    pending.begin(newcomer)
    assert.deepEqual(
      [first, ...more, other, newcomer].map((one) => one!.aborted),
      [true, false, false, false, false]
    )
    assert.equal(pending.count, most)
  })

  it('count until they are done, or gone', () => {
    const pending = new PendingConnections(most)
    const connections = Array.from({ length: 20 }, (_, port) => connection(`/ip4/192.0.2.1/tcp/${port}`))
    for (const [index, one] of connections.entries()) {
      pending.begin(one)
      if (index % 2 === 0) pending.end(one)
      else one.close()
      pending.end(one)
      assert.equal(pending.count, 0)
    }
    assert.ok(connections.every(({ aborted }) => !aborted))
  })
})
