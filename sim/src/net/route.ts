import type { VirtualHost } from './virtual-host.ts'
import type { Hub } from './virtual-network.ts'

/** How two peers are connected. */
export interface Route {
  /** Carries every byte of theirs; undefined for a direct connection. */
  readonly relay: VirtualHost | undefined
  /** From the dialer to the target, and back. */
  readonly forwardUs: number
  readonly backwardUs: number
  readonly roundTripUs: number
  /** What it takes to set the connection up. */
  readonly setUpUs: number
}

/** Round trips through the relay by which two peers agree on a direct connection (DCUtR: connect, then sync). */
const punchRoundTrips = 2
/** Round trips through the relay by which an open peer asks one behind a NAT to dial back (DCUtR: connection reversal). */
const reversalRoundTrips = 1

/**
 * Who can connect to whom. An open target is dialled; one behind a NAT is reached through its relay, which then carries
 * everything. With hole punching (libp2p's DCUtR, which does both) the relay is left: the target dials back when the dialer
 * is open, and holes are punched when both NATs are cones.
 *
 * @returns undefined when a relay is needed and there is none
 */
export function findRoute(hub: Hub, dialer: VirtualHost, target: VirtualHost): Route | undefined {
  const { delays } = hub
  const { connectRoundTrips } = hub.network
  const forwardUs = delays.oneWayUs(dialer, target)
  const backwardUs = delays.oneWayUs(target, dialer)
  const roundTripUs = forwardUs + backwardUs
  const direct = (extraUs: number): Route => ({
    relay: undefined,
    forwardUs,
    backwardUs,
    roundTripUs,
    setUpUs: Math.round(connectRoundTrips * roundTripUs) + extraUs
  })
  if (target.nat === 'open') return direct(0)
  const relay = nearestRelay(hub, target, dialer)
  if (relay === undefined) return undefined
  const thereUs = delays.oneWayUs(dialer, relay) + delays.oneWayUs(relay, target)
  const backUs = delays.oneWayUs(target, relay) + delays.oneWayUs(relay, dialer)
  if (hub.network.holePunching) {
    if (dialer.nat === 'open') return direct(reversalRoundTrips * (thereUs + backUs))
    if (dialer.nat === 'cone' && target.nat === 'cone') return direct(punchRoundTrips * (thereUs + backUs))
  }
  const relayedUs = thereUs + backUs
  return {
    relay,
    forwardUs: thereUs,
    backwardUs: backUs,
    roundTripUs: relayedUs,
    // The dialer's connection to the relay, then one through it.
    setUpUs: Math.round(connectRoundTrips * (delays.roundTripUs(dialer, relay) + relayedUs))
  }
}

/** Where the peer has a reservation: among the nearest relays one by its number, so that they share the load. */
function nearestRelay(hub: Hub, peer: VirtualHost, dialer: VirtualHost): VirtualHost | undefined {
  if (isUsable(peer.relay)) {
    if (peer.relay !== dialer) return peer.relay
  }
  let leastUs = Infinity
  let nearest: VirtualHost[] = []
  for (const relay of hub.relays) {
    if (!isUsable(relay) || relay === dialer) continue
    const roundTripUs = hub.delays.roundTripUs(peer, relay)
    if (roundTripUs > leastUs) continue
    if (roundTripUs < leastUs) nearest = []
    leastUs = roundTripUs
    nearest.push(relay)
  }
  const chosen = nearest[peer.clock.number % Math.max(1, nearest.length)]
  if (!isUsable(peer.relay)) peer.relay = chosen
  return chosen
}

function isUsable(relay: VirtualHost | undefined): relay is VirtualHost {
  return relay !== undefined && relay.answers && !relay.clock.frozen
}
