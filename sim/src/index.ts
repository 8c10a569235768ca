/**
 * The simulator. So far its kernel: virtual time, in which unit tests run code that waits. Random numbers of a world come
 * from `seededRandom(seed).fork(name)` of `@skein/protocol`.
 *
 * @packageDocumentation
 */
export { EventQueue } from './kernel/event-queue.ts'
export type { Event } from './kernel/event-queue.ts'
export { VirtualClock } from './kernel/virtual-clock.ts'
export { checksumBytes, checksumEmbedding, ChecksumRuntime } from './compute/checksum-runtime.ts'
