import { SharedRoom } from '../shared-room.ts'

/** What is needed of a connection whose handshake is under way. */
export interface PendingConnection {
  readonly remoteAddr: { toString(): string }
  abort(error: Error): void
  addEventListener(type: 'close', listener: () => void): void
}

/**
 * Connections that others have opened and whose handshake is under way. Libp2p refuses all newcomers when there are too many, so
 * that a few hundred sockets which say nothing, from one machine, would keep everybody out. Here the room is shared: before it is
 * all taken, the address with the most of them gives up its oldest one for a newcomer. A handshake takes a few round trips, and
 * who is done with it is not pending any more.
 */
export class PendingConnections {
  readonly #most: number
  /** By address. */
  readonly #room = new SharedRoom<string, PendingConnection>()

  /** @param most - as many are left alone */
  constructor(most: number) {
    this.#most = most
  }

  get count(): number {
    return this.#room.count
  }

  begin(connection: PendingConnection): void {
    if (this.count >= this.#most) this.#makeRoom()
    this.#room.add(addressOf(connection), connection)
    connection.addEventListener('close', () => this.end(connection))
  }

  /** The handshake is done, or the connection is gone. Idempotent. */
  end(connection: PendingConnection): void {
    this.#room.remove(addressOf(connection), connection)
  }

  #makeRoom(): void {
    const oldest = this.#room.most()?.oldest
    if (oldest === undefined) return
    this.end(oldest)
    oldest.abort(new Error('others wait for a handshake'))
  }
}

/** Without the port: `/ip4/192.0.2.1/tcp/4774` is `/ip4/192.0.2.1`. */
function addressOf({ remoteAddr }: PendingConnection): string {
  return remoteAddr.toString().split('/', 3).join('/')
}
