import type { Verifier } from '../ports/identity.ts'
import type { SignedAnnouncement } from './announcement.ts'
import { parseAnnouncement, verifyParsed } from './signing.ts'
import type { UnverifiedAnnouncement } from './signing.ts'

/** Makes announcements of bytes from anybody, in two halves of which only the second is costly. */
export interface AnnouncementReader {
  /** @throws MalformedError */
  parse(bytes: Uint8Array): UnverifiedAnnouncement
  /** @returns the announcement with bytes of its own @throws MalformedError when the signature is not the peer's */
  verify(parsed: UnverifiedAnnouncement): SignedAnnouncement
}

export function announcementReader(verifier: Verifier): AnnouncementReader {
  return { parse: parseAnnouncement, verify: (parsed) => verifyParsed(verifier, parsed) }
}
