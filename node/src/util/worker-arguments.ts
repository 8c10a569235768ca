/**
 * What a worker thread is given as `execArgv`: undefined to take over the arguments of its process, and none where one of them is
 * `--input-type`, which says what the text after `-e` is, and with which no worker starts. Others cannot be taken over one by one: Node.js
 * refuses a list with flags of V8 in it, and ignores them where it takes over all.
 */
export function workerArguments(inherited: readonly string[] = process.execArgv): string[] | undefined {
  return inherited.some((argument) => argument.startsWith('--input-type')) ? [] : undefined
}
