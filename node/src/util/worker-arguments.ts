/**
 * The arguments of Node.js that worker threads take over from their process: all but `--input-type`, which says what the text
 * after `-e` is, and with which no worker starts.
 */
export function workerArguments(inherited: readonly string[] = process.execArgv): string[] {
  return inherited.filter((argument, index) => !argument.startsWith('--input-type') && inherited[index - 1] !== '--input-type')
}
