/**
 * What skein uses of Hugging Face's JavaScript packages, with types of its own: the declarations that the packages ship
 * import each other without file extensions, which TypeScript does not resolve for ES modules.
 *
 * @packageDocumentation
 */
import * as jinja from '@huggingface/jinja'
import * as tokenizers from '@huggingface/tokenizers'

/** A tokenizer as `@huggingface/tokenizers` 0.2 makes it from `tokenizer.json` and `tokenizer_config.json`. */
export interface HuggingFaceTokenizer {
  readonly model: { readonly vocab: readonly string[] } | null
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: number[] }
  decode(tokens: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string
  id_to_token(id: number): string | undefined
  token_to_id(token: string): number | undefined
  get_added_tokens_decoder(): ReadonlyMap<number, { readonly special: boolean }>
}

export const HuggingFaceTokenizer = tokenizers.Tokenizer as unknown as new (tokenizer: object, config: object) => HuggingFaceTokenizer

/** A parsed template; opaque. */
export interface JinjaProgram {
  readonly type: 'Program'
}

/** The variables that a template sees. A name can be set once. */
export interface JinjaEnvironment {
  set(name: string, value: unknown): unknown
}

interface Jinja {
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown
  readonly parse: (tokens: unknown) => JinjaProgram
  readonly Environment: new () => JinjaEnvironment
  readonly Interpreter: new (environment: JinjaEnvironment) => { run(program: JinjaProgram): { readonly value: unknown } }
}

const typed = jinja as unknown as Jinja

/** Parses as transformers does: blanks before a block, and the newline behind it, are dropped. Throws on a syntax error. */
export function parseJinja(source: string): JinjaProgram {
  return typed.parse(typed.tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
}

export function jinjaEnvironment(): JinjaEnvironment {
  return new typed.Environment()
}

/** The result of a template is text. Throws what the template raises. */
export function runJinja(program: JinjaProgram, environment: JinjaEnvironment): unknown {
  return new typed.Interpreter(environment).run(program).value
}
