/**
 * The commands to copy that a node prints when it is ready, as its person would type them.
 *
 * @param env - the variables of this process: npm and npx say there that they have started it, and then the commands of skein
 * may well be in their folder alone
 */
export function commandLines(model: string, address: string, env: Readonly<Record<string, string | undefined>>): string[] {
  const prefix = env['npm_command'] === undefined ? '' : 'npx '
  const flags = `--model ${quoted(model)} --bootstrap ${address}`
  return [`join with:  ${prefix}skein-node ${flags}`, `ask with:   ${prefix}skein run "Hello" ${flags}`]
}

/** Double quotes, which the shells of every system know. */
function quoted(text: string): string {
  return /^[\w./:@%+=,\\-]+$/.test(text) ? text : `"${text}"`
}
