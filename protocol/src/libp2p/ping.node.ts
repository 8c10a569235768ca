import type { Connection, Stream } from '@libp2p/interface'
import { raceAbort } from '../abort.ts'
import { MalformedError } from '../errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Random } from '../ports/random.ts'
import { libp2pLimits } from './libp2p-limits.ts'
import { StreamReader } from './stream-reader.node.ts'

const pingProtocol = '/ipfs/ping/1.0.0'

/**
 * The time of one echo on libp2p's ping protocol, in milliseconds with fractions. Libp2p's own ping counts whole ones, which
 * says nothing on a LAN. The opening of the stream, which takes a round trip of its own, is not in it.
 */
export async function measureRoundTrip(connection: Connection, clock: Clock, random: Random, signal: AbortSignal): Promise<number> {
  const stream = await connection.newStream([pingProtocol], { signal, runOnLimitedConnection: true })
  const aborted = (): void => stream.abort(new Error('the ping was given up'))
  try {
    const sent = random.bytes(libp2pLimits.pingBytes)
    const echoed = readEcho(stream, sent.byteLength)
    // Also when the send below fails and nobody waits for it.
    echoed.catch(() => {})
    const startMs = clock.monotonicMs()
    stream.send(sent)
    const echo = await raceAbort(echoed, signal)
    const roundTripMs = clock.monotonicMs() - startMs
    if (echo.some((byte, index) => byte !== sent[index])) throw new MalformedError('the echo of a ping holds other bytes than were sent')
    stream.close().catch(aborted)
    return roundTripMs
  } catch (error) {
    aborted()
    throw error
  }
}

async function readEcho(stream: Stream, length: number): Promise<Uint8Array> {
  const reader = new StreamReader(stream, () => {})
  stream.addEventListener('close', (event) => {
    reader.finish(event.error === undefined ? { kind: 'ended' } : { kind: 'failed', error: event.error })
  })
  stream.addEventListener('remoteCloseWrite', () => reader.finish({ kind: 'ended' }))
  const echo = new Uint8Array(length)
  let filled = 0
  for await (const chunk of reader) {
    echo.set(chunk.subarray(0, length - filled), filled)
    filled += Math.min(chunk.byteLength, length - filled)
    if (filled === length) return echo
  }
  throw new MalformedError('the stream ended before the echo of a ping')
}
