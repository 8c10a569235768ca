/**
 * Every bound on what a peer may send or make another peer keep, in one place.
 *
 * @packageDocumentation
 */
import type { ChannelLimits } from './ports/network.ts'

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** A control message: the largest is `open` with two signed announcements. */
  maxControlBytes: 64 * KiB,
  /** The head of a link message: the largest is `held` or a replay with many runs. */
  maxLinkHeadBytes: 64 * KiB,
  /** The activations of one step: 512 rows of f32 at hidden size 16,384. */
  maxStepBytes: 32 * MiB,
  /** Rows in one step, and so the largest prefill chunk. */
  maxStepRows: 2048,
  /** Runs in one step; a replay with more is split. */
  maxStepRuns: 2048,
  /** Pairs in `held.tail`: enough to recognise a stale cache after a rollback. */
  heldTailRuns: 256,
  /** A directory message. */
  maxDirectoryBytes: 1 * MiB,
  /** A directory request: a node holds what has come of one for each of a thousand channels. */
  maxDirectoryRequestBytes: 128 * KiB,
  /** One signed announcement, encoded. */
  maxAnnouncementBytes: 8 * KiB,
  /** Addresses in one announcement. */
  maxAnnouncementAddresses: 16,
  /** Characters of one address, as text. */
  maxAddressChars: 256,
  /** How long an announcement may hold without being refreshed. */
  minAnnouncementLifeMs: 1_000,
  maxAnnouncementLifeMs: 60 * 60_000,
  /** Records, entries or peers in one directory message. */
  maxDirectoryRecords: 1024,
  /** Bytes of all records in one directory message; the rest of the message has room beside them. */
  maxDirectoryRecordBytes: 512 * KiB,
  /** The same in one `push`. */
  maxPushRecordBytes: 64 * KiB,
  /** Bytes of the records in one `delta`: as many as are cheaper to send unasked than to be asked for. */
  maxDeltaRecordBytes: 8 * KiB,
  /** Buckets of a directory digest; a power of two. */
  maxDigestBuckets: 1024,
  /** Ages in one directory message. */
  maxDirectoryAges: 64 * KiB,
  /** Blocks of a model: the largest published model has 126. */
  maxBlocks: 1024,
  /** The width of a model's hidden states. */
  maxHiddenSize: 65_536,
  /** The context of a model, in tokens. */
  maxContextTokens: 16 * 1024 * 1024,
  /** Steps and bytes that may be under way on one link, before the receiver has computed them. */
  linkCreditSteps: 8,
  linkCreditBytes: 64 * MiB,
  /** Bytes of results that a tail keeps until they are acknowledged, unless one step has more. */
  resultBytes: 8 * MiB,
  /** How long an acknowledgement may be put off, in ms, while the sender has more than half of its credit, and of results at most a quarter of `resultBytes` waits for it. */
  ackLaterMs: 2_000,
  /** A lease: a coordinator that is silent for so long has gone. */
  minLeaseMs: 1_000,
  maxLeaseMs: 10 * 60_000,
  /** Text of a refusal; longer ones are cut. */
  maxMessageChars: 1024
} as const

/** The limits of each protocol's channels. */
export const channelLimits = {
  control: { maxHeadBytes: limits.maxControlBytes, maxBodyBytes: 0, sendBufferBytes: 256 * KiB },
  link: { maxHeadBytes: limits.maxLinkHeadBytes, maxBodyBytes: limits.maxStepBytes, sendBufferBytes: 4 * MiB },
  directory: { maxHeadBytes: limits.maxDirectoryBytes, maxBodyBytes: 0, sendBufferBytes: 2 * MiB },
  /** The side of a directory channel that answers. */
  directoryRequests: { maxHeadBytes: limits.maxDirectoryRequestBytes, maxBodyBytes: 0, sendBufferBytes: 2 * MiB }
} as const satisfies Record<string, ChannelLimits>
