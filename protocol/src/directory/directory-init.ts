import type { AnnouncementReader } from '../announcement/announcement-reader.ts'
import type { PeerId, ModelId } from '../ids.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import type { Network } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import type { AnnouncementStore } from './announcement-store.ts'
import type { Rate } from './token-buckets.ts'

export interface DirectoryComponents {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly reader: AnnouncementReader
  readonly logger: Logger
  readonly store: AnnouncementStore
}

export interface DirectoryInit {
  /** The only model whose announcements are taken in. */
  readonly model: ModelId
  /** Nodes join the mesh: they answer, push and exchange. Coordinators only ask, and take no channels. */
  readonly mesh: boolean
  /** Peers to begin with, whose addresses the network has learnt as trusted. @default none */
  readonly contacts: readonly PeerId[]
  /**
   * In a swarm of more, so many peers, the first ones by id, hold the whole directory; the others hold these keepers' records,
   * tell them of themselves, and ask them. So what a node hears of does not grow with the swarm. @default 24
   */
  readonly keepers: number
  /**
   * How often a peer that is no keeper tells one that it lives, and learns who they are, on average; each wait is drawn from
   * three quarters to five quarters of it. @default 60_000
   */
  readonly askKeepersMs: number
  /** Between two exchanges, on average; each wait is drawn from half to one and a half of it. @default 10_000 */
  readonly exchangeMs: number
  /** The same for coordinators, who exchange with one peer each time, and refresh when they need to know better. @default 30_000 */
  readonly coordinatorExchangeMs: number
  /** Random peers that each exchange goes to. @default 2 */
  readonly exchangePeers: number
  /** Peers to which a piece of news is passed on: two reach most, and the exchanges reach the rest. @default 2 */
  readonly pushPeers: number
  /** News are gathered for so long before they are passed on. @default 200 */
  readonly pushDelayMs: number
  /** News that wait to be passed on; the oldest are left to the exchanges. @default 256 */
  readonly maxWaitingNews: number
  /** How long one message of a peer may take. @default 5_000 */
  readonly answerMs: number
  /**
   * How long a peer's channel may rest between requests. The peer closes it first as a rule, which costs both sides less: it looks
   * every 75 s at the latest, when its rounds are not slow. @default 400_000
   */
  readonly idleMs: number
  /**
   * Channels to others that stay open for the next request, and for how long each. @default 64 and 300_000: a peer that is no
   * keeper asks each of its two every two minutes or so, and now and then another one in between
   */
  readonly maxKeptChannels: number
  readonly keepMs: number
  /** A peer that failed is not chosen for so long, while there are others. @default 30_000 */
  readonly avoidMs: number
  /** How often, at the next exchange, expired announcements are dropped and their removal is told; they are invisible at once. @default 30_000 */
  readonly sweepMs: number
  /** How often a member of the mesh renews its entry in the rendezvous. @default 1_800_000 */
  readonly advertiseMs: number
  /**
   * Channels that may be open to this peer, altogether and of one peer. When there are too many, the one that has rested
   * longest makes room. @default 768 and 4: peers that rest here hold a connection each, of which libp2p allows 1024
   */
  readonly maxChannels: number
  readonly maxChannelsPerPeer: number
  /** Requests of one peer. @default 64 at once, 8 a second */
  readonly requestRate: Rate
  /** Signatures verified for pushes, of one peer and altogether: Ed25519 takes some 0.1 ms. @default 256 and 32/s; 1024 and 256/s */
  readonly pushRate: Rate
  readonly totalPushRate: Rate
  /** Signatures verified in a row before other work gets its turn. @default 16 */
  readonly verifyBatch: number
  /** Malformed messages or records after which a peer is not listened to, and for how long. @default 8 and 600_000 */
  readonly maxStrikes: number
  readonly banMs: number
}

export const directoryDefaults: Omit<DirectoryInit, 'model' | 'mesh'> = {
  contacts: [],
  // Enough that some are honest and up, few enough that all of them can hear of everybody.
  keepers: 24,
  // An announcement holds for three minutes from the last sign of life, which takes some 40 s to reach all keepers. A member that
  // asked less often would find the ends of the 48 first records that it holds, most of which are of members, and fetch them anew.
  askKeepersMs: 60_000,
  exchangeMs: 10_000,
  coordinatorExchangeMs: 30_000,
  exchangePeers: 2,
  pushPeers: 2,
  pushDelayMs: 200,
  maxWaitingNews: 256,
  answerMs: 5_000,
  idleMs: 400_000,
  maxKeptChannels: 64,
  keepMs: 300_000,
  avoidMs: 30_000,
  sweepMs: 30_000,
  advertiseMs: 1_800_000,
  maxChannels: 768,
  maxChannelsPerPeer: 4,
  requestRate: { burst: 64, perSecond: 8 },
  pushRate: { burst: 256, perSecond: 32 },
  totalPushRate: { burst: 1024, perSecond: 256 },
  verifyBatch: 16,
  maxStrikes: 8,
  banMs: 600_000
}
