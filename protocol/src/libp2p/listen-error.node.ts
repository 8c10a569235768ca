import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions } from 'libp2p'
import { describeError, InvalidArgumentError, ListenError } from '../errors.ts'

/** An address that could not be listened on, and what the transport threw. */
export interface ListenFailure {
  readonly address: string
  readonly error: unknown
}

type TransportFactory = NonNullable<Libp2pOptions['transports']>[number]

/**
 * A transport that tells which address it could not listen on. Libp2p itself throws one text, of all addresses and with their
 * stacks.
 */
export function watchListening(factory: TransportFactory, onFailure: (failure: ListenFailure) => void): TransportFactory {
  return (components) => {
    const transport = factory(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options) => {
      const listener = createListener(options)
      const listen = listener.listen.bind(listener)
      listener.listen = async (address: Multiaddr) => {
        try {
          await listen(address)
        } catch (error) {
          onFailure({ address: address.toString(), error })
          throw error
        }
      }
      return listener
    }
    return transport
  }
}

/** What the errors of the system mean. `wrong`: the address is, whatever else runs on this machine. */
const reasons: Readonly<Record<string, { readonly what: string; readonly wrong?: true }>> = {
  EADDRINUSE: { what: 'another process has that port' },
  EACCES: { what: 'this user may not open that port' },
  EADDRNOTAVAIL: { what: 'this machine does not have that address', wrong: true },
  EAFNOSUPPORT: { what: 'this machine has no such network' },
  EINVAL: { what: 'the system takes no such address', wrong: true },
  ENOTFOUND: { what: 'nobody knows that name', wrong: true }
}

/**
 * Why a host of these addresses did not start.
 *
 * @param failures what the transports could not listen on; none when the host failed for another reason
 * @param error what libp2p threw
 */
export function startError(listen: readonly string[], failures: readonly ListenFailure[], error: unknown): Error {
  const [first] = failures
  if (first === undefined) {
    const unsupported = error instanceof Error && error.name === 'UnsupportedListenAddressesError'
    if (!unsupported) return new InvalidArgumentError('libp2p does not start with these settings', { cause: error })
    return new InvalidArgumentError(
      `no transport can listen on ${listen.join(', ')}: expected addresses such as /ip4/0.0.0.0/tcp/4774 or <address of a relay>/p2p-circuit`
    )
  }
  const errno = (first.error as { code?: unknown } | undefined)?.code
  const reason = typeof errno === 'string' ? reasons[errno] : undefined
  const what = reason === undefined ? describeError(first.error) : `${reason.what} (${String(errno)})`
  const text = `cannot listen on ${first.address}: ${what}; choose another --listen`
  // Without its cause, whose text would say the same in the words of the system.
  if (reason?.wrong === true) return new InvalidArgumentError(text)
  const hint = errno === 'EADDRINUSE' ? ', such as one with port 0, which takes a free one' : ''
  return new ListenError(`${text}${hint}`, { detail: { address: first.address, ...(typeof errno === 'string' ? { errno } : {}) } })
}
