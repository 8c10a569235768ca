import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { silentLogger } from '../ports/logger.ts'
import { attachment } from '../ports/network.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import { systemClock } from '../ports/system/system-clock.node.ts'
import { openPair } from '../testing/network-compliance-setup.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { Libp2pNetwork } from './libp2p-network.node.ts'
import { joinWrites } from './transport-tuning.node.ts'

/** Counts what goes to all sockets of this process, and the exceptions of noise's decoder, while `work` runs. */
async function countWhile(work: () => Promise<void>): Promise<{ writes: number; rangeErrors: number }> {
  const { write } = Socket.prototype
  const { RangeError: original } = globalThis
  const counts = { writes: 0, rangeErrors: 0 }
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    // The output of the test runner may be a socket as well.
    if (this.remoteAddress !== undefined) counts.writes++
    return write.apply(this, args)
  } as typeof write
  globalThis.RangeError = class extends original {
    constructor(message?: string) {
      super(message)
      counts.rangeErrors++
    }
  } as typeof RangeError
  try {
    await work()
  } finally {
    Socket.prototype.write = write
    globalThis.RangeError = original
  }
  return counts
}

const clock = systemClock()

describe('the tuning of libp2p', function () {
  this.timeout(30_000)
  let networks: Libp2pNetwork[] = []

  const start = async (name: string): Promise<Libp2pNetwork> => {
    const identity = testIdentity(name)
    const network = await Libp2pNetwork.start({
      ...{ identity, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [], dhtMode: 'off', allowPrivateAddresses: true },
      ...{ clock, random: seededRandom(name), logger: silentLogger }
    })
    networks.push(network)
    return network
  }

  afterEach(async () => {
    await Promise.all(networks.map((network) => network.stop()))
    networks = []
  })

  it('sends a small frame by one write, which almost nothing answers', async () => {
    const [a, b] = [await start('a'), await start('b')]
    const silent = { peer: testIdentity('silent').peerId, addresses: [], source: 'trusted' } as const
    const [there, here] = await openPair({ a, b, clock, disconnect: () => {}, silent, transportBytes: 0, rendezvous: false })
    const frames = 64
    const counts = await countWhile(async () => {
      for (let frame = 0; frame < frames; frame++) {
        there.send({ head: new Uint8Array(40), body: attachment(new Uint8Array(900)) })
        assert.equal((await here.receive())?.body?.byteLength, 900)
      }
    })
    // Beside the frames there are a few of what libp2p does in a new connection, and an update of the window now and then.
    assert.ok(counts.writes >= frames && counts.writes < 1.25 * frames, `${counts.writes} writes`)
    assert.ok(counts.rangeErrors < frames / 4, `${counts.rangeErrors} exceptions`)
  })

  it('joins the parts of a message, and hands on what one part is', () => {
    const sent: Uint8Array[] = []
    const connection = { send: (data: Uint8Array | { subarray(): Uint8Array }) => sent.push(data as Uint8Array) < 2 }
    joinWrites(connection)
    const whole = Uint8Array.of(1, 2, 3)
    assert.equal(connection.send({ subarray: () => whole }), true)
    assert.equal(connection.send(whole), false)
    assert.deepEqual(sent, [whole, whole])
  })
})
