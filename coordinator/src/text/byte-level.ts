/**
 * The alphabet of byte-level BPE: each byte is written as one printable character. Source: `bytes_to_unicode` of GPT-2's
 * encoder.py (github.com/openai/gpt-2).
 */
const byteOfChar: ReadonlyMap<string, number> = makeAlphabet()

function makeAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    alphabet.set(String.fromCharCode(printable ? byte : next++), byte)
  }
  return alphabet
}

const utf8 = new TextEncoder()

/**
 * The bytes that a token of a byte-level tokenizer stands for. A token with a character outside the alphabet (an added one,
 * with a blank in it, say) stands for its own UTF-8 text, as in Hugging Face's Rust implementation.
 */
export function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length)
  for (let index = 0; index < token.length; index++) {
    const byte = byteOfChar.get(token.charAt(index))
    if (byte === undefined) return utf8.encode(token)
    bytes[index] = byte
  }
  return bytes
}
