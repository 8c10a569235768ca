import type { Network } from '@skein/protocol'
import { HostProcess } from '../compute/host-process.ts'
import type { PeerClock } from '../kernel/peer-clock.ts'
import type { ClientGroup, NodeGroup } from '../scenario/scenario.ts'
import { BusyNetwork } from './busy-network.ts'
import { ChargedNetwork } from './charged-network.ts'
import type { WorldContext } from './world-context.ts'

/** What a life of a peer has of the machine that it is on. */
export interface PeerHost {
  readonly process: HostProcess
  /** The network as its code sees it. */
  readonly network: Network
  /** Set where its computing takes more than its own time: on a machine that others share, or after pauses. */
  readonly compute?: (us: number) => Promise<void>
}

/** @param clock of this life @param joined its host in the virtual internet */
export function peerHost(
  { machines, scenario, model }: WorldContext,
  { device, machine }: NodeGroup | ClientGroup,
  clock: PeerClock,
  joined: Network
): PeerHost {
  const process = new HostProcess({ clock, device, machine: machine === undefined ? undefined : machines.get(machine) })
  // Below the charge: there a row has the size that it costs.
  const busy = process.countsMessages ? new BusyNetwork(joined, process) : joined
  return {
    process,
    network: new ChargedNetwork(busy, scenario.model.rowBytes / model.rowBytes),
    ...(process.isPlain ? {} : { compute: (us) => process.compute(us) })
  }
}
