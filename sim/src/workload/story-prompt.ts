import type { ModelText } from '@skein/coordinator'
import type { Random } from '@skein/protocol'

const openings = [
  'Once there was a small cat who lived near the sea.',
  'Near the old mill there lived a brave goose.',
  'On a rainy night, a fox wanted to carry a kite to the village.',
  'Once upon a time a little bird found a red ball.'
]

/** Beginnings of stories, as many words of them as so many tokens have room for, so that a model goes on with one. */
export function storyPrompt({ tokenizer }: Pick<ModelText, 'tokenizer'>, tokens: number, random: Random): string {
  const length = (story: string): number => tokenizer.encode(story, { addSpecialTokens: true }).length
  const longest = 1 + Math.max(...openings.map(length))
  let story = ''
  for (let missing = tokens; missing > 0; missing = tokens - length(story)) {
    // As many as there is room for in any case, since each look at the length reads the whole text.
    const count = Math.max(1, Math.floor(missing / longest))
    for (let i = 0; i < count; i++) story = `${openings[random.below(openings.length)] as string} ${story}`.trimEnd()
  }
  // Cut in front: what comes next depends most on the end.
  while (length(story) > tokens && story.includes(' ')) story = story.slice(story.indexOf(' ') + 1)
  while (length(story) > tokens && story.length > 1) story = story.slice(1)
  return story
}
