import assert from 'node:assert/strict'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Stream } from '@libp2p/interface'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { PeerId } from '../ids.ts'
import { silentLogger } from '../ports/logger.ts'
import { type ChannelLimits } from '../ports/network.ts'
import type { KeyIdentity } from '../ports/system/ed25519.node.ts'
import { systemClock } from '../ports/system/system-clock.node.ts'
import { seededRandom } from '../ports/seeded-random.ts'
import { echo, introduce, numbered, openPair, protocol, smallLimits } from '../testing/network-compliance-setup.ts'
import type { NetworkComplianceSetup } from '../testing/network-compliance-setup.ts'
import { networkCompliance } from '../testing/network-compliance.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { testIdentity } from '../testing/test-identity.node.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { createLibp2pNetwork } from './create-libp2p-network.node.ts'
import { Libp2pNetwork, type Libp2pNetworkInit } from './libp2p-network.node.ts'

const clock = systemClock()

function init(identity: KeyIdentity, more: Partial<Libp2pNetworkInit> = {}): Libp2pNetworkInit {
  return {
    identity,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    dhtMode: 'server',
    allowPrivateAddresses: true,
    clock,
    random: seededRandom(identity.peerId),
    logger: silentLogger,
    ...more
  }
}

describe('the network on libp2p', function () {
  this.timeout(30_000)
  let networks: Libp2pNetwork[] = []
  let silentServer: Server | undefined
  /** Ended with the server: a half that nobody ends keeps the process alive. */
  const silentSockets: Socket[] = []

  const start = async (name: string, more: Partial<Libp2pNetworkInit> = {}): Promise<Libp2pNetwork> => {
    const network = await Libp2pNetwork.start(init(testIdentity(name), more))
    networks.push(network)
    return network
  }

  /** A listener that accepts connections and never says a word: a handshake that hangs. */
  const silentAddress = async (): Promise<string> => {
    const server = createServer((socket) => silentSockets.push(socket))
    silentServer = server
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `/ip4/127.0.0.1/tcp/${(server.address() as { port: number }).port}`
  }

  const setup = async (): Promise<NetworkComplianceSetup & { a: Libp2pNetwork; b: Libp2pNetwork }> => {
    const [a, b] = [await start('a'), await start('b')]
    return {
      a,
      b,
      clock,
      disconnect: async () => {
        for (const connection of a.host.getConnections()) connection.abort(new Error('the cable was pulled'))
        while (a.host.getConnections().length + b.host.getConnections().length > 0) await clock.sleep(5)
      },
      silent: { peer: testIdentity('silent').peerId, addresses: [await silentAddress()], source: 'trusted' },
      transportBytes: libp2pLimits.maxWindowBytes + libp2pLimits.readAheadBytes,
      rendezvous: true
    }
  }

  const teardown = async (): Promise<void> => {
    const stopped = networks
    networks = []
    await Promise.all(stopped.map((network) => network.stop()))
    for (const socket of silentSockets.splice(0)) socket.destroy()
    silentServer?.close()
    silentServer = undefined
  }

  afterEach(teardown)
  networkCompliance({ setup, teardown })

  it('lets newcomers in however many others have connected and say nothing', async () => {
    const host = await start('crowded')
    const [address = ''] = host.addresses()
    const port = Number(/tcp\/(\d+)/.exec(address)?.[1])
    const connectOnce = (): Promise<void> => {
      return new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', resolve)
        socket.on('error', () => {})
        silentSockets.push(socket)
      })
    }
    // In two goes, as one address may open only so many connections in a second.
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: 0.6 * libp2pLimits.maxIncomingPendingConnections }, connectOnce))
      await clock.sleep(1_100)
    }
    const newcomer = await start('newcomer')
    newcomer.learn({ peer: host.self, addresses: [address], source: 'trusted' })
    assert.ok((await newcomer.ping(host.self)) >= 0)
  })

  it('closes a channel whose bytes are no frame, and allocates nothing for what a header claims', async () => {
    const common = await setup()
    const { a, b } = common
    introduce(common)
    const limits: ChannelLimits = { ...smallLimits, maxBodyBytes: 1 << 30 }
    const claims = [
      [Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 'ERR_SKEIN_TOO_LARGE'],
      [Uint8Array.of(0, 0, 0, 1, 0x40, 0, 0, 1), 'ERR_SKEIN_TOO_LARGE'],
      [Uint8Array.of(0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3), 'ERR_SKEIN_MALFORMED'],
      [Uint8Array.of(0, 0, 0), 'ERR_SKEIN_MALFORMED']
    ] as const
    for (const [bytes, code] of claims) {
      const failed = new Promise<unknown>((resolve) => {
        b.handle(protocol, limits, (channel) => {
          channel.receive().catch(() => channel.closed.then(({ error }) => resolve(error)))
        })
      })
      const before = process.memoryUsage().arrayBuffers
      const connection = await a.host.dial(b.host.getMultiaddrs())
      const stream = await connection.newStream(protocol)
      stream.send(bytes)
      await stream.close()
      assert.equal(((await failed) as { code?: string }).code, code)
      assert.ok(process.memoryUsage().arrayBuffers - before < 100 * 1024 * 1024)
    }
    b.handle(protocol, smallLimits, echo)
    assert.ok((await a.ping(b.self)) > 0)
  })

  it('fails a dial at whose address another peer answers', async () => {
    const { a, b, silent } = await setup()
    a.learn({ peer: silent.peer, addresses: b.addresses().map((address) => address.replace(/\/p2p\/.*/, '')), source: 'trusted' })
    await assert.rejects(a.ping(silent.peer), { code: 'ERR_SKEIN_DIAL_FAILED' })
    a.learn({ peer: silent.peer, addresses: b.addresses(), source: 'trusted' })
    await assert.rejects(a.ping(silent.peer), /no address/)
  })

  it('takes nobody in place of a peer whose id does not hold its key', async () => {
    const { a, b } = await setup()
    const foreign = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N' as PeerId
    a.learn({ peer: foreign, addresses: b.addresses().map((address) => address.replace(/\/p2p\/.*/, '')), source: 'trusted' })
    await assert.rejects(a.ping(foreign), { code: 'ERR_SKEIN_DIAL_FAILED', message: new RegExp(`${b.self} answers there`) })
    assert.equal(a.path(foreign), undefined)
  })

  it('has no connection with a peer of another kind of key', async () => {
    const { a } = await setup()
    const met: PeerId[] = []
    a.subscribe((event) => 'peer' in event && met.push(event.peer))
    a.handle(protocol, smallLimits, echo)
    const stranger = await createLibp2p({
      privateKey: await generateKeyPair('secp256k1'),
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()]
    })
    try {
      await assert.rejects(stranger.dialProtocol(multiaddr(a.addresses()[0]), protocol))
      assert.deepEqual([met, a.host.getConnections()], [[], []])
    } finally {
      await stranger.stop()
    }
  })

  it('does not dial private addresses that others announce, but those that its person gave', async () => {
    const a = await start('a', { allowPrivateAddresses: false })
    const b = await start('b')
    a.learn({ peer: b.self, addresses: [...b.addresses(), '/dns4/localhost/tcp/1', 'nonsense'], source: 'announcement' })
    await assert.rejects(a.ping(b.self), /no address/)
    const badRelay = `/ip4/8.8.8.8/tcp/1/p2p/${b.self.slice(1)}/p2p-circuit`
    a.learn({ peer: b.self, addresses: [badRelay], source: 'announcement' })
    await assert.rejects(a.ping(b.self), /no address/)
    a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
    assert.ok((await a.ping(b.self)) > 0)
    assert.ok((a.path(b.self)?.roundTripMs ?? 0) > 0)
  })

  it('notices another host with its own key', async () => {
    const warnings: string[] = []
    const noticed: string[] = []
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) }
    const first = await start('twin', { logger, onDuplicateIdentity: () => noticed.push('first') })
    const second = await start('twin', { logger, onDuplicateIdentity: () => noticed.push('second') })
    const address = first.addresses()[0]!.replace(/\/p2p\/.*/, '')
    await assert.rejects(second.host.dial(multiaddr(address)))
    // The one that dials is sure to notice; the other may see the connection break before it knows whose it was.
    assert.ok(noticed.includes('second'))
    assert.match(warnings[0]!, /another host uses this peer's key/)
    warnings.length = 0
    first.learn({ peer: first.self, addresses: second.addresses(), source: 'announcement' })
    assert.equal(warnings.length, 1)
    first.learn({ peer: first.self, addresses: first.addresses(), source: 'announcement' })
    assert.equal(warnings.length, 1)
  })

  it('connects to its bootstrap peers, and says what is wrong with an address', async () => {
    const b = await start('b')
    const connected = new Promise<PeerId>((resolve) => b.subscribe((event) => event.type === 'connected' && resolve(event.peer)))
    const a = await start('a', { bootstrap: b.addresses(), dhtMode: 'client' })
    assert.equal(await connected, a.self)
    const failing = (more: Partial<Libp2pNetworkInit>) => createLibp2pNetwork(init(testIdentity('c'), more))
    await assert.rejects(failing({ bootstrap: ['/ip4/127.0.0.1/tcp/1'] }), /expected an address that ends in \/p2p\//)
    await assert.rejects(failing({ bootstrap: [b.addresses()[0]!.slice(0, -1)] }), /it has 51 characters/)
    await assert.rejects(failing({ bootstrap: ['localhost:4001'] }), /no multiaddr/)
  })

  it('says in one line which address it cannot listen on, why, and what to do', async () => {
    const b = await start('b')
    const taken = b.addresses()[0]!.replace(/\/p2p\/.*/, '')
    const failing = (...listen: string[]) => createLibp2pNetwork(init(testIdentity('c'), { listen }))
    await assert.rejects(failing('/ip4/127.0.0.1/tcp/0', taken), {
      code: 'ERR_SKEIN_LISTEN',
      message: `cannot listen on ${taken}: another process has that port (EADDRINUSE); choose another --listen, such as one with port 0, which takes a free one`,
      detail: { address: taken, errno: 'EADDRINUSE' }
    })
    // 203.0.113.0/24 is nobody's (RFC 5737).
    await assert.rejects(failing('/ip4/203.0.113.7/tcp/0'), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: 'cannot listen on /ip4/203.0.113.7/tcp/0: this machine does not have that address (EADDRNOTAVAIL); choose another --listen'
    })
    await assert.rejects(failing('/ip4/127.0.0.1/udp/0'), {
      code: 'ERR_SKEIN_INVALID_ARGUMENT',
      message: /^no transport can listen on \S+udp\/0: [^\n]+$/
    })
  })

  it('reaches a peer through a relay, with more bytes than libp2p lets through by default', async () => {
    const relay = await start('relay', { relay: 'server' })
    const hidden = await start('hidden', { relay: 'client', listen: [], bootstrap: relay.addresses(), dhtMode: 'client' })
    while (!hidden.addresses().some((address) => address.includes('p2p-circuit'))) await clock.sleep(20)
    const a = await start('a', { relay: 'client', listen: [], dhtMode: 'client' })
    a.learn({ peer: hidden.self, addresses: hidden.addresses(), source: 'trusted' })
    hidden.handle(protocol, smallLimits, echo)
    const channel = await a.open(hidden.self, protocol, { limits: smallLimits })
    assert.equal(a.path(hidden.self)?.kind, 'relayed')
    for (let index = 0; index < 8; index++) {
      await channel.writable()
      channel.send(numbered(index, 100_000))
      assert.equal((await channel.receive())?.body?.byteLength, 100_000)
    }
  })

  it('ends a channel whose frames all came in one chunk only when they were received', async () => {
    const common = await setup()
    const [near, far] = await openPair(common)
    let closed = false
    void far.closed.then(() => (closed = true))
    for (let index = 0; index < 3; index++) near.send(numbered(index))
    await Promise.all([near.end(), far.end()])
    await clock.sleep(30)
    for (let index = 0; index < 3; index++) {
      assert.equal(closed, false)
      assert.ok(await far.receive())
    }
    assert.deepEqual(await far.closed, { kind: 'ended' })
  })

  describe('with as many connections as it may have', () => {
    const names = Array.from({ length: 16 }, (_, index) => `idle${index}`)

    /** A host of sixteen connections, which sixteen peers have made one after the other, the first one as its bootstrap peer. */
    const fullHost = async () => {
      const off = { dhtMode: 'off' } as const
      const peers: Libp2pNetwork[] = []
      for (const name of names) peers.push(await start(name, off))
      const hostClock = new ManualClock()
      const host = await start('full', { ...off, clock: hostClock, maxConnections: 16, bootstrap: peers[0]!.addresses() })
      host.handle(protocol, smallLimits, echo)
      while (peers[0]!.path(host.self) === undefined) await clock.sleep(5)
      for (const peer of peers) {
        peer.learn({ peer: host.self, addresses: host.addresses(), source: 'trusted' })
        await peer.ping(host.self)
        hostClock.advance(10)
      }
      const connected = () => peers.flatMap(({ self }, index) => (host.path(self) === undefined ? [] : [index]))
      assert.equal(host.host.getConnections().length, 16)
      const late = await start('late', off)
      late.learn({ peer: host.self, addresses: host.addresses(), source: 'trusted' })
      return { host, hostClock, peers, late, connected }
    }

    it('closes those that were idle for longest, so that newcomers are taken', async () => {
      const { host, hostClock, peers, late, connected } = await fullHost()
      await assert.rejects(late.ping(host.self), { code: 'ERR_SKEIN_DIAL_FAILED' })
      const channel = await peers[1]!.open(host.self, protocol, { limits: smallLimits })
      const raw = await peers[2]!.host.getConnections()[0]!.newStream('/ipfs/ping/1.0.0')
      await host.host.peerStore.merge(peers[3]!.host.peerId, { tags: { 'keep-alive-test': { value: 1 } } })
      hostClock.advance(9_000)
      await clock.sleep(50)
      assert.equal(connected().length, 16, 'each may be about to be used')
      hostClock.advance(2_000)
      while (host.host.getConnections().length > 13) await clock.sleep(5)
      assert.ok((await late.ping(host.self)) > 0)
      assert.equal(raw.status, 'open')
      assert.deepEqual(connected().slice(0, 4), [0, 1, 2, 3], 'of the bootstrap peer, with a channel, with a stream, tagged')
      assert.equal(connected().includes(4), false)
      assert.equal(connected().at(-1), 15)
      channel.send(numbered(1))
      assert.ok(await channel.receive())
      assert.ok((await peers[4]!.ping(host.self)) > 0, 'who gave way comes again')
    })
  })

  it('answers the DHT requests of a peer within bounds, and those of others all the same', async () => {
    const host = await start('asked')
    const dhtStream = async (name: string): Promise<Stream> => {
      const peer = await start(name, { dhtMode: 'client' })
      peer.learn({ peer: host.self, addresses: host.addresses(), source: 'trusted' })
      await peer.ping(host.self)
      return await peer.host.getConnections()[0]!.newStream('/skein/kad/1.0.0')
    }
    // A message of the type PING, with the length before it.
    const ping = [2, 8, 5]
    const greedy = await dhtStream('greedy')
    let answered = 0
    greedy.addEventListener('message', ({ data }) => void (answered += data.byteLength))
    const closed = new Promise((resolve) => greedy.addEventListener('close', resolve))
    const pings = Uint8Array.from({ length: 30_000 }, (_, index) => ping[index % 3]!)
    for (let sent = 0; sent < libp2pLimits.dhtRequestBytes.burst + 30_000; sent += 30_000) {
      if (greedy.status === 'open') greedy.send(pings)
      await clock.sleep(1)
    }
    await closed
    assert.ok(answered <= 2 * libp2pLimits.dhtRequestBytes.burst, `${answered} bytes of answers`)
    const modest = await dhtStream('modest')
    const answer = new Promise((resolve) => modest.addEventListener('message', resolve, { once: true }))
    modest.send(Uint8Array.from(ping))
    await answer
  })

  it('opens a channel over another connection when the other side closes the one that was there', async () => {
    const { a, b } = await setup()
    a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
    b.handle(protocol, smallLimits, echo)
    for (let turn = 0; turn < 24; turn++) {
      await a.ping(b.self)
      const closing = b.host.getConnections(a.host.peerId).map((connection) => connection.close())
      for (let wait = 0; wait < turn % 12; wait++) await new Promise((resolve) => setImmediate(resolve))
      if (turn < 12) assert.ok((await a.ping(b.self)) > 0)
      const channel = await a.open(b.self, protocol, { limits: smallLimits })
      channel.send(numbered(turn))
      assert.ok(await channel.receive())
      channel.reset()
      await Promise.allSettled(closing)
    }
  })
})
