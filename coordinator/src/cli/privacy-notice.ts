import type { Storage } from '@skein/protocol'

/** What everybody should have read before the first prompt leaves the machine; see DESIGN.md, section 4, Privacy. */
const privacyNotice = 'note: the volunteers of a public swarm can read your prompts and the answers; send no secrets (shown once)'

const shownName = 'privacy-notice-shown'

/**
 * Calls `show` with the notice, unless it was shown before by any command of this user. Nothing depends on the file that
 * remembers it: where it can be neither read nor kept, the notice comes again, and that is all.
 */
export async function showPrivacyNotice(storage: Storage, show: (text: string) => void): Promise<void> {
  const shown = await storage.read(shownName).catch(() => undefined)
  if (shown !== undefined) return
  show(privacyNotice)
  await storage.write(shownName, new TextEncoder().encode('1\n')).catch(() => undefined)
}
