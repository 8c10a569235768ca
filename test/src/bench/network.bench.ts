import { attachment, type Channel, type ChannelLimits, type Network, parseProtocolId, silentLogger } from '@skein/protocol'
import { createLibp2pNetwork, cryptoRandom, ed25519Identity, systemClock } from '@skein/protocol/node'
import type { Bench, BenchOptions, BenchReport } from './bench.ts'
import { summarize } from './stats.ts'

const KiB = 1024
const MiB = 1024 * KiB
const protocol = parseProtocolId('/skein/bench/1.0')
const limits: ChannelLimits = { maxHeadBytes: 1 * KiB, maxBodyBytes: 4 * MiB, sendBufferBytes: 4 * MiB }

/** The activations of one token at hidden size 4096 in f32. */
const frameBytes = 16 * KiB

export const bench: Bench = {
  name: 'network',
  about: 'frames over tcp, noise and yamux on loopback, both ends in this process',
  async run(options) {
    const [a, b] = [await start(), await start()]
    try {
      a.learn({ peer: b.self, addresses: b.addresses(), source: 'trusted' })
      return await measure(a, b, options)
    } finally {
      await Promise.all([a.stop(), b.stop()])
    }
  }
}

async function start(): Promise<Network> {
  const random = cryptoRandom()
  return await createLibp2pNetwork({
    identity: ed25519Identity(random.bytes(32)),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    dhtMode: 'off',
    allowPrivateAddresses: true,
    clock: systemClock(),
    random,
    logger: silentLogger
  })
}

async function measure(a: Network, b: Network, { quick, log }: BenchOptions): Promise<BenchReport> {
  const clock = systemClock()
  const [warmUp, rounds, transfers, transferMiB] = quick ? [20, 50, 1, 16] : [300, 2000, 5, 256]
  b.handle(protocol, limits, (channel) => void echo(channel).catch(() => channel.reset()))
  const channel = await a.open(b.self, protocol, { limits })

  log(`${rounds} round trips`)
  const roundTripsMs: number[] = []
  for (let round = -warmUp; round < rounds; round++) {
    const startMs = clock.monotonicMs()
    channel.send({ head: new Uint8Array(32), body: attachment(new Uint8Array(frameBytes)) })
    await channel.receive()
    if (round >= 0) roundTripsMs.push(clock.monotonicMs() - startMs)
  }
  await channel.end()

  log(`${transfers} transfers of ${transferMiB} MiB`)
  const rates: number[] = []
  for (let transfer = 0; transfer < transfers; transfer++) {
    const startMs = clock.monotonicMs()
    await sendAll(a, b, transferMiB)
    rates.push((transferMiB * MiB) / 1e6 / ((clock.monotonicMs() - startMs) / 1000))
  }
  return {
    measures: [
      summarize('round trip of a 16 KiB frame', 'ms', roundTripsMs),
      summarize('throughput of 1 MiB frames, one way', 'MB/s', rates)
    ],
    targets: [],
    notes: ['Both ends share one thread, which encrypts and decrypts: two processes are faster.']
  }
}

async function echo(channel: Channel): Promise<void> {
  for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive()) {
    await channel.writable()
    channel.send(frame)
  }
  await channel.end()
}

/** Returns when the last frame was received. */
async function sendAll(a: Network, b: Network, count: number): Promise<void> {
  const received = new Promise<void>((resolve, reject) => {
    b.handle(protocol, limits, (channel) => {
      const drain = async (): Promise<void> => {
        while ((await channel.receive()) !== undefined);
        await channel.end()
      }
      drain().then(resolve, reject)
    })
  })
  const channel = await a.open(b.self, protocol, { limits })
  const bytes = new Uint8Array(MiB)
  for (let index = 0; index < count; index++) {
    await channel.writable()
    channel.send({ head: new Uint8Array(32), body: attachment(bytes) })
  }
  await channel.end()
  await received
}
