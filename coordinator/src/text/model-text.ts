import type { ChatTemplate } from './chat-template.ts'
import type { GenerationDefaults } from './generation-defaults.ts'
import type { Tokenizer } from './tokenizer.ts'

/** All that a model's folder says about text. */
export interface ModelText {
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate
  readonly generation: GenerationDefaults
}
