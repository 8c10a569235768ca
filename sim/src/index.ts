/**
 * The simulator. So far its kernel: virtual time, in which unit tests run code that waits. Random numbers of a world come
 * from `seededRandom(seed).fork(name)` of `@skein/protocol`.
 *
 * @packageDocumentation
 */
export { EventLog } from './kernel/event-log.ts'
export { Event, EventKind, EventQueue } from './kernel/event-queue.ts'
export type { EventOwner } from './kernel/event-queue.ts'
export { BehindThePortsError, guardRealTime } from './kernel/real-time-guard.ts'
export type { RealTimeGuard } from './kernel/real-time-guard.ts'
export { PeerClock } from './kernel/peer-clock.ts'
export type { PeerClockInit } from './kernel/peer-clock.ts'
export { StalledError, VirtualClock } from './kernel/virtual-clock.ts'
export type { VirtualClockInit } from './kernel/virtual-clock.ts'
export { checksumBytes, checksumEmbedding, ReferenceMachine } from './compute/checksum-row.ts'
export { ChecksumRuntime } from './compute/checksum-runtime.ts'
export type { ChecksumRuntimeOptions } from './compute/checksum-runtime.ts'
export { turnCost } from './compute/cost-model.ts'
export type { TurnCost, TurnRows } from './compute/cost-model.ts'
export { devicePresets } from './compute/device-presets.ts'
export { modelPresets } from './compute/model-presets.ts'
export { draw, drawCount, drawMs, meanOf } from './workload/draw.ts'
export { latencyDataSets } from './net/latency-data.ts'
export type { LatencyDataSet } from './net/latency-data.ts'
export { LatencyTable } from './net/latency.ts'
export { virtualAddress } from './net/virtual-host.ts'
export { virtualInternet } from './net/virtual-network.ts'
export type { CutInit, JoinInit, PeerStats, TransferReport, VirtualInternet, VirtualInternetInit } from './net/virtual-network.ts'
