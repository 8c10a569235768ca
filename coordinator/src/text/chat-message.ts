/** One part of a message that has several; templates of text models read only `text`. */
export interface ChatContentPart {
  readonly type: string
  readonly text?: string
  readonly [field: string]: unknown
}

/** One message of a conversation, as the models' chat templates read it. Fields that a template knows besides these pass through. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, `tool`, or whatever else the model's template knows. */
  readonly role: string
  readonly content: string | readonly ChatContentPart[] | null
  readonly [field: string]: unknown
}
