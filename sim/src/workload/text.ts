import { ChatTemplate, type ModelText, Tokenizer } from '@skein/coordinator'
import type { Random } from '@skein/protocol'

/** The printable characters of ASCII, each a token: its id is its code less 32. */
export const vocabularySize = 95

const firstCode = 32

/** A character as byte-level tokenizers write it in their vocabulary. */
function written(code: number): string {
  return code === firstCode ? '\u0120' : String.fromCharCode(code)
}

/**
 * Of a model that reasons: what is before the last `>` of an answer is its thought, and past thoughts are left out, as in the
 * templates of DeepSeek-R1 and Qwen3. A conversation then steps back in its caches to where such an answer began.
 */
const chatTemplate =
  "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'].split('>')[-1] + '~' }}" +
  "{% else %}{{ '[' + message['content'] + ']' }}{% endif %}{% endfor %}"

/** The text side of the modelled models: a byte-level tokenizer and a chat template made in memory, greedy, no end token. */
export function modelledText(): ModelText {
  const vocab = Object.fromEntries(Array.from({ length: vocabularySize }, (_, id) => [written(firstCode + id), id]))
  const tokenizer = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', unk_token: null, byte_fallback: false, vocab, merges: [] }
  }
  return {
    tokenizer: new Tokenizer({ tokenizer, config: {} }),
    chatTemplate: new ChatTemplate({ config: { chat_template: chatTemplate } }),
    generation: { eosTokenIds: [], sampling: { temperature: 0 } }
  }
}

/** A text of so many tokens: words of one to eight letters. */
export function drawPrompt(tokens: number, random: Random): string {
  let text = ''
  let word = 1 + random.below(8)
  while (text.length < tokens) {
    if (word-- > 0) text += String.fromCharCode(97 + random.below(26))
    else {
      text += ' '
      word = 1 + random.below(8)
    }
  }
  return text
}

/** The token ids of a text of the vocabulary's characters. */
export function tokensOfText(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0) - firstCode)
}
