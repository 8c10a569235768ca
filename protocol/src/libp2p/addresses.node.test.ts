import assert from 'node:assert/strict'
import { testIdentity } from '../testing/index.ts'
import { areAllPrivate, byReach, peersOfAddresses, requireAddresses, withoutOwnId } from './addresses.node.ts'

const [a, b] = [testIdentity(1).peerId, testIdentity(2).peerId]

describe('addresses', () => {
  it('name their peers', () => {
    assert.deepEqual(
      peersOfAddresses([`/ip4/127.0.0.1/tcp/1/p2p/${a}`, `/dns4/example.org/tcp/1/p2p/${b}`, `/ip4/127.0.0.1/tcp/2/p2p/${a}`]),
      [a, b]
    )
    assert.throws(() => peersOfAddresses(['/ip4/127.0.0.1/tcp/1']), /names no peer/)
    assert.throws(() => peersOfAddresses(['127.0.0.1:1']), /is no multiaddr/)
    assert.throws(() => requireAddresses(['/ip4/0.0.0.0/tcp/1', '/ip4/0.0.0.0/tcp/99999']), /tcp\/99999" is no multiaddr/)
  })

  it('are refused with a reason when a character of a peer id was lost or changed', () => {
    const relayed = (relay: string, peer: string): string => `/ip4/127.0.0.1/tcp/1/p2p/${relay}/p2p-circuit/p2p/${peer}`
    const direct = (peer: string): string => `/ip4/127.0.0.1/tcp/1/p2p/${peer}`
    peersOfAddresses([relayed(a, b)])
    for (const text of [direct(a.slice(0, -1)), relayed(a, b.slice(0, -1)), relayed(a.slice(0, -1), b)]) {
      const message = /^the address "\/ip4\/.*" cannot be used: .* is not a peer id: it has 51 characters/
      assert.throws(() => peersOfAddresses([text]), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
      assert.throws(() => requireAddresses([text]), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
    }
    for (const peer of [a.slice(1), 'garbled!', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N']) {
      assert.throws(() => peersOfAddresses([direct(peer)]), /expected one of an Ed25519 key, which begins with 12D3KooW/)
    }
  })

  it('are announced without the own id, and not with that of another', () => {
    const plain = '/ip4/203.0.113.7/tcp/4774'
    const relayed = `/ip4/203.0.113.7/tcp/4774/p2p/${b}/p2p-circuit`
    assert.deepEqual(withoutOwnId([plain, `${plain}/p2p/${a}`, relayed, `${relayed}/p2p/${a}`], a), [plain, plain, relayed, relayed])
    for (const address of [plain, relayed]) {
      const message = new RegExp(`cannot be announced: expected one without /p2p/ at its end, or with this peer's own id, ${a}$`)
      assert.throws(() => withoutOwnId([`${address}/p2p/${b}`], a), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message })
    }
  })

  it('tell a private network from the internet', () => {
    assert.equal(areAllPrivate(['/ip4/127.0.0.1/tcp/0', '/ip4/192.168.1.2/tcp/1']), true)
    assert.equal(areAllPrivate(['/ip4/127.0.0.1/tcp/0', '/ip4/8.8.8.8/tcp/1']), false)
    assert.equal(areAllPrivate(['/ip4/0.0.0.0/tcp/4774']), false)
    assert.equal(areAllPrivate(['/dns4/localhost/tcp/4774']), false)
    assert.equal(areAllPrivate([]), false)
  })

  it('are put into the order of their reach, and else left as they are', () => {
    const [own, six, lan, other, far] = [
      ...['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1', '/ip4/192.168.1.2/tcp/1', '/ip4/10.0.0.1/tcp/1', '/ip4/8.8.8.8/tcp/1']
    ] as const
    assert.deepEqual(byReach([own, six, lan, other, far]), [far, lan, other, own, six])
    assert.deepEqual(byReach([own]), [own])
    assert.deepEqual(byReach([]), [])
  })
})
