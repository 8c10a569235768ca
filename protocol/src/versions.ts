import { parseProtocolId } from './ids.ts'
import type { ProtocolId } from './ids.ts'

/**
 * The protocols of this version. The major number changes when an older peer could misunderstand a message; within a major
 * number unknown fields are ignored. The minor number tells which optional features a peer knows.
 */
export const protocols = {
  control: parseProtocolId('/skein/control/1.0'),
  link: parseProtocolId('/skein/link/1.0'),
  results: parseProtocolId('/skein/results/1.0'),
  directory: parseProtocolId('/skein/directory/1.0')
} as const

/** Whether the frames of a protocol have rows of activations in their bodies. */
export function carriesActivations(protocol: ProtocolId): boolean {
  return protocol === protocols.link || protocol === protocols.results
}
