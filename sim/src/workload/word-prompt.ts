import type { ModelText } from '@skein/coordinator'
import type { Random } from '@skein/protocol'

const words = 'once upon a time there was an old house by the sea and every day the little cat went out to look for fish'.split(' ')

/** A text of about so many tokens of a real model: at most a word's tokens more. */
export function wordPrompt({ tokenizer }: Pick<ModelText, 'tokenizer'>, tokens: number, random: Random): string {
  const length = (text: string): number => tokenizer.encode(text, { addSpecialTokens: true }).length
  let text = ''
  while (length(text) < tokens) {
    // In pieces, since each look at the length reads the whole text.
    const missing = Math.max(1, Math.floor((tokens - length(text)) / 3))
    for (let count = 0; count < missing; count++) text += `${text === '' ? '' : ' '}${words[random.below(words.length)]}`
  }
  return text
}
