/**
 * What tests of every package use: a clock that stands still, seeded randomness, identities, a network in memory, and the
 * compliance suites of the ports. Production code never imports it.
 *
 * @packageDocumentation
 */
export { memoryAddress, memoryInternet } from '../memory/memory-network.ts'
export type { CutMode, MemoryInternet, MemoryInternetInit } from '../memory/memory-network.ts'
export { memoryStorage } from '../memory/memory-storage.ts'
export { seededRandom } from '../ports/seeded-random.ts'
export { clockCompliance } from './clock-compliance.ts'
export type { ClockComplianceSetup } from './clock-compliance.ts'
export { drainMicrotasks, ManualClock } from './manual-clock.ts'
export { randomCompliance } from './random-compliance.ts'
export { networkCompliance } from './network-compliance.ts'
export type { NetworkComplianceOptions } from './network-compliance.ts'
export type { NetworkComplianceSetup } from './network-compliance-setup.ts'
export { testIdentity } from './test-identity.node.ts'
export { arbAnnouncementFacts } from '../announcement/arbitraries.ts'
export {
  arbBlockRange,
  arbControlRequest,
  arbControlResponse,
  arbDirectoryRequest,
  arbDirectoryResponse,
  arbEncoding,
  arbErrorCode,
  arbErrorDetail,
  arbHeld,
  arbLinkMessage,
  arbLinkPeer,
  arbModelId,
  arbNodeLoad,
  arbNumerics,
  arbPeerId,
  arbSessionId,
  arbStep
} from '../messages/arbitraries.ts'
