import type { PeerId, Verifier } from '@skein/protocol'

/** Signatures whose verdicts are kept. */
const maxVerdicts = 20_000

/** Keeps what was verified: in a world, a thousand peers verify the same announcement. */
export function memoisedVerifier(verifier: Verifier): Verifier {
  const verdicts = new Map<string, { readonly peer: PeerId; readonly bytes: Uint8Array; readonly verdict: boolean }>()
  return {
    verify(peer, bytes, signature) {
      const key = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength).toString('latin1')
      const known = verdicts.get(key)
      if (known !== undefined && known.peer === peer && Buffer.compare(known.bytes, bytes) === 0) return known.verdict
      const verdict = verifier.verify(peer, bytes, signature)
      if (verdicts.size >= maxVerdicts) verdicts.clear()
      verdicts.set(key, { peer, bytes: bytes.slice(), verdict })
      return verdict
    }
  }
}
