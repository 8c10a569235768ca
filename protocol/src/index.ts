/**
 * What two skein peers must agree on: words, messages, tensors, announcements, and the ports through which they reach the
 * world. Nothing here knows what a model or a route is. Implementations that need Node.js are in `@skein/protocol/node`.
 *
 * @packageDocumentation
 */
export * from './announcement/announcement.ts'
export { announcementReader } from './announcement/announcement-reader.ts'
export type { AnnouncementReader } from './announcement/announcement-reader.ts'
export { nextSequence, signAnnouncement, verifyAnnouncement } from './announcement/signing.ts'
export type { UnverifiedAnnouncement } from './announcement/signing.ts'
export * from './block-range.ts'
export { SharedRoom } from './shared-room.ts'
export { ChannelWriter } from './channels/channel-writer.ts'
export { WaitingResults } from './channels/waiting-results.ts'
export { copyParts, drain, linger, lingerFrames, LinkChannels, readUntilEnd } from './channels/link-channels.ts'
export type { LinkChannelsInit, LinkKind, LinkReply } from './channels/link-channels.ts'
export { MachineDriver } from './channels/machine-driver.ts'
export { didYouMean, nearestName } from './did-you-mean.ts'
export { AnnouncementStore, announcementStoreDefaults } from './directory/announcement-store.ts'
export type { AnnouncementStoreInit, DirectoryEvent, ListOptions, PutResult } from './directory/announcement-store.ts'
export type { StoredAnnouncement } from './directory/model-records.ts'
export { type Rate, TokenBucket } from './directory/token-buckets.ts'
export { directoryDefaults } from './directory/directory-init.ts'
export type { DirectoryComponents, DirectoryInit } from './directory/directory-init.ts'
export { DirectoryService, directoryTopic } from './directory/directory-service.ts'
export type { RefreshResult } from './directory/directory-service.ts'
export * from './errors.ts'
export * from './ids.ts'
export * from './limits.ts'
export {
  checkStepBody,
  decodeControlRequest,
  decodeControlResponse,
  decodeLink,
  encodeControl,
  encodeLink,
  stepRows
} from './messages/codec.ts'
export { merged } from './merged.ts'
export * from './messages/control.ts'
export { decodeDirectoryRequest, decodeDirectoryResponse, encodeDirectory } from './messages/directory.ts'
export type {
  AskRequest,
  DeltaResponse,
  AgedEntry,
  DirectoryRecord,
  DirectoryRefused,
  DirectoryRequest,
  DirectoryResponse,
  ExchangeRequest,
  FetchRequest,
  PushRequest,
  RecordsResponse
} from './messages/directory.ts'
export * from './messages/link.ts'
export { errorFromRefusal, toRefusal, wireErrorOf } from './messages/refusal.ts'
export * from './numerics.ts'
export * from './ports/clock.ts'
export * from './ports/identity.ts'
export * from './ports/logger.ts'
export * from './ports/network.ts'
export * from './ports/random.ts'
export * from './ports/storage.ts'
export { stepPatienceMs } from './session/step-patience.ts'
export { LinkDialer } from './session/link-dialer.ts'
export type { DialerState, LinkDialerOptions } from './session/link-dialer.ts'
export { isProblem, LinkSender } from './session/link-sender.ts'
export type { LinkSenderOptions, OutgoingStep, Problem } from './session/link-sender.ts'
export { heldSeqAt, RowMap } from './session/row-map.ts'
export { StepLog } from './session/step-log.ts'
export type { NewSegment, Segment } from './session/step-log.ts'
export { allFinite, allFiniteEncoded, bytesPerValue, decodeRows, encodeRows } from './tensor/tensor.ts'
export * from './versions.ts'
export { abortReason, onAbort, raceAbort, throwIfAborted } from './abort.ts'
export { peerIdFromPublicKey, publicKeyFromPeerId } from './peer-id.ts'
export { checkedDelayMs, ClockBase } from './ports/clock-base.ts'
export { ForwardingChannel, ForwardingNetwork } from './ports/forwarding.ts'
export { RandomBase } from './ports/random-base.ts'
export { seededRandom } from './ports/seeded-random.ts'
export { memoryAddress, memoryInternet } from './memory/memory-network.ts'
export type { CutMode, MemoryInternet, MemoryInternetInit } from './memory/memory-network.ts'
export { parseLinkProfile } from './shaping/link-profile.ts'
export type { Cut, LinkProfile, PathProfile } from './shaping/link-profile.ts'
export { connectionTimes, retransmissionAt } from './shaping/cuts.ts'
export { lossDelayUs, lossyRate } from './shaping/packet-loss.ts'
export { countTraffic, type Traffic } from './shaping/count-traffic.ts'
export { shapeNetwork } from './shaping/shape-network.ts'
export type { ShapingComponents } from './shaping/shape-network.ts'
