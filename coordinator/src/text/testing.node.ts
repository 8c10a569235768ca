/** What the unit tests of this folder share. Not exported from the package. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { ModelText } from './model-text.ts'
import { loadModelText } from './text-files.node.ts'
import { Tokenizer, type TokenizerFiles } from './tokenizer.ts'

/** The demo model's folder, seen from `coordinator/dist/text`. */
export const tinyFolder = fileURLToPath(new URL('../../../test/models/skein-tiny', import.meta.url))

export async function tinyText(): Promise<ModelText & { files: TokenizerFiles }> {
  const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(`${tinyFolder}/${name}`, 'utf8'))
  const files = { tokenizer: await read('tokenizer.json'), config: await read('tokenizer_config.json') }
  return { ...(await loadModelText(tinyFolder, [])), files }
}

/** A small tokenizer of the SentencePiece kind, as Llama 2 has it: `▁` for blanks, one token per byte for the rest. */
export function byteFallbackTokenizer(): Tokenizer {
  const words = ['▁', '▁▁', 'a', 'b', '.', '▁a', '▁hello', '▁world', 'ing', '中', '\uFFFD']
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...words]
  const special = tokens.slice(0, 3).map((content, id) => ({
    ...{ id, content, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false }
  }))
  const tokenizer = {
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 }
      ]
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      byte_fallback: true,
      fuse_unk: true,
      vocab: Object.fromEntries(tokens.map((t, i) => [t, i])),
      merges: []
    }
  }
  return new Tokenizer({ tokenizer, config: { bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: '<unk>' } })
}
