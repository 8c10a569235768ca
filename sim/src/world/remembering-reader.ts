import type { AnnouncementReader, SignedAnnouncement, UnverifiedAnnouncement } from '@skein/protocol'

/** Announcements that are remembered: more than a large world has peers. */
const maxRemembered = 32_768

interface Remembered {
  readonly parsed: UnverifiedAnnouncement
  readonly bytes: Uint8Array
  signed?: SignedAnnouncement
}

/**
 * Reads each announcement once: in a world a thousand peers read the same one, and all of them can hold the same copy, which
 * nobody changes. Only what was found good is remembered.
 */
export function rememberingReader(reader: AnnouncementReader): AnnouncementReader {
  /** By what comes last in the bytes, the signature. */
  const remembered = new Map<string, Remembered>()
  return {
    parse(bytes) {
      const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', bytes.byteLength - 64)
      const known = remembered.get(key)
      if (known !== undefined && Buffer.compare(known.bytes, bytes) === 0) return known.parsed
      const own = bytes.slice()
      const parsed = reader.parse(own)
      if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value as string)
      remembered.set(key, { parsed, bytes: own })
      return parsed
    },
    verify(parsed) {
      const key = Buffer.from(parsed.signature.buffer, parsed.signature.byteOffset, parsed.signature.byteLength).toString('latin1')
      const known = remembered.get(key)
      if (known?.parsed !== parsed) return reader.verify(parsed)
      known.signed ??= reader.verify(parsed)
      return known.signed
    }
  }
}
