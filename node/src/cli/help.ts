import type { Option } from 'commander'

/**
 * What counts where a flag is not given, in words: `required`, the default, or how it comes about. Undefined for a flag that
 * is then off or has no effect.
 */
export function defaultText({ mandatory, defaultValue, defaultValueDescription }: Option): string | undefined {
  if (mandatory) return 'required'
  if (defaultValueDescription !== undefined) return defaultValueDescription
  return defaultValue === undefined || typeof defaultValue === 'boolean' ? undefined : String(defaultValue)
}

/**
 * A flag in `--help`. Commander's own text has a default only where it is a value, and most of ours depend on the model, the
 * machine or the user's folders; and it does not say that a flag is required.
 */
export function optionDescription(option: Option): string {
  const { description, argChoices, envVar, mandatory } = option
  const fallback = defaultText(option)
  const facts = [
    ...(argChoices === undefined ? [] : [`one of ${argChoices.join(', ')}`]),
    ...(fallback === undefined ? [] : [mandatory ? fallback : `default: ${fallback}`]),
    ...(envVar === undefined ? [] : [`env: ${envVar}`])
  ]
  return facts.length === 0 ? description : `${description} (${facts.join('; ')})`
}
