/**
 * What must hold of a run. Pure: each check looks at facts and gives the text of what is wrong, or nothing.
 *
 * @packageDocumentation
 */
import { isSkeinError, limits, type NodeLoad } from '@skein/protocol'

/** How long after a fault it may still be the cause of a failure: the wait for coverage, twice, and a lease. */
export const excuseMs = 120_000
/** A lease is 30 s; a stage notices within a second of its end, and frozen or cut off ones some keep-alives later. */
export const leakGraceMs = 60_000

export interface AnswerFacts {
  readonly tokens: readonly number[]
  /** What one undisturbed machine gives, at least as many. */
  readonly expected: readonly number[]
  /** Whether it has ended as it should, so that none may be missing. */
  readonly isWhole: boolean
  /** A node that has ever lied was in its chain at some time. */
  readonly liarInChain: boolean
  readonly allowLies: boolean
}

/** The first token that is not the reference's; -1 if all are. */
export function firstWrongToken({ tokens, expected }: Pick<AnswerFacts, 'tokens' | 'expected'>): number {
  return tokens.findIndex((token, index) => token !== expected[index])
}

/** An answer has exactly the reference's tokens; one that was broken off, the first of them. */
export function checkAnswer({ tokens, expected, isWhole, liarInChain, allowLies }: AnswerFacts): string | undefined {
  const wrong = firstWrongToken({ tokens, expected })
  if (wrong >= 0) {
    if (allowLies && liarInChain) return undefined
    return `token ${wrong} of the answer is ${tokens[wrong]}, and one undisturbed machine gives ${expected[wrong]}`
  }
  if (isWhole && tokens.length !== expected.length) return `the answer has ${tokens.length} tokens, and ${expected.length} were to come`
  return undefined
}

export interface FailureFacts {
  readonly error: unknown
  /**
   * What was wrong with the swarm in the time before, if anything was: blocks that nobody served, a cut, a liar. That nodes
   * come and go is no excuse as long as others hold their blocks: the user sees a pause, never an error.
   */
  readonly excuse: string | undefined
  /** How long after it was asked, and how long a client waits for nodes. @default whatever it waited for was waited for */
  readonly waitedMs?: number
  readonly patienceMs?: number
  /** How long ago its client went on after it had stood still. @default it never stood still */
  readonly thawedMsAgo?: number
}

const wantOfRoom: ReadonlySet<string> = new Set(['ERR_SKEIN_KV_FULL', 'ERR_SKEIN_HISTORY_FULL', 'ERR_SKEIN_BUSY'])

/** A prompt that was accepted may fail with a typed error, for want of room or where the swarm had an excuse. */
export function checkFailure({ error, excuse, waitedMs = 0, patienceMs = 0, thawedMsAgo = Infinity }: FailureFacts): string | undefined {
  if (!isSkeinError(error)) return `it failed with an error without a code: ${String(error instanceof Error ? error.stack : error)}`
  if (['ERR_SKEIN_INVALID_ARGUMENT', 'ERR_SKEIN_MALFORMED', 'ERR_SKEIN_INTERNAL'].includes(error.code)) {
    return `it failed with ${error.code}, for which its own side or a peer of ours is to blame: ${error.message}`
  }
  if (excuse !== undefined) return undefined
  // Its time to open a chain went by while it could do nothing.
  if (error.code === 'ERR_SKEIN_TIMEOUT' && thawedMsAgo < patienceMs) return undefined
  if (wantOfRoom.has(error.code) || error.detail.reason === 'no-room') {
    // Room that others have is given back; what no node has at all is not waited for.
    const { largestKvTokens, wantedBytes = 0, totalBytes = 0 } = error.detail
    const isForEver = largestKvTokens !== undefined || (error.code === 'ERR_SKEIN_HISTORY_FULL' && wantedBytes > totalBytes)
    if (isForEver || waitedMs >= patienceMs) return undefined
    return `it failed with ${error.code} after ${Math.round(waitedMs)} ms, though room may come within ${patienceMs} ms: ${error.message}`
  }
  return `it failed with ${error.code} though nodes of every block served all the time: ${error.message}`
}

export interface NodeFacts {
  readonly load: NodeLoad
  readonly maxSessions: number
  readonly kvTokens: number
  readonly historyBytes: number
}

/** No queue passes its bound, and no account goes below zero or above its total. */
export function checkBounds({ load, maxSessions, kvTokens, historyBytes }: NodeFacts): string | undefined {
  if (load.sessions > maxSessions) return `it has ${load.sessions} sessions, and its bound is ${maxSessions}`
  const mostRows = maxSessions * limits.linkCreditSteps * limits.maxStepRows
  if (load.queuedRows > mostRows) return `${load.queuedRows} rows wait for a turn, and the credits of its sessions allow ${mostRows}`
  if (load.freeKvTokens < 0 || load.freeKvTokens > kvTokens) return `${load.freeKvTokens} of its ${kvTokens} KV tokens are free`
  if (load.freeHistoryBytes < 0 || load.freeHistoryBytes > historyBytes) {
    return `${load.freeHistoryBytes} of its ${historyBytes} bytes of history are free`
  }
  return undefined
}

/** When every coordinator has closed and every lease is over, nothing is reserved. */
export function checkLeaks({ load, kvTokens, historyBytes }: NodeFacts, caches: number): string | undefined {
  if (load.sessions > 0) return `${load.sessions} sessions are still open after every coordinator has closed and every lease is over`
  if (caches > 0 || load.freeKvTokens !== kvTokens) {
    return `${caches} caches and ${kvTokens - load.freeKvTokens} KV tokens are still reserved though no session is open`
  }
  if (load.freeHistoryBytes !== historyBytes) {
    return `${historyBytes - load.freeHistoryBytes} bytes of history are still reserved though no session is open`
  }
  if (load.queuedRows > 0) return `${load.queuedRows} rows still wait for a turn though no session is open`
  return undefined
}

/**
 * The longest that a generation may show no sign of life. Every wait in it has a deadline: half a minute to open, the wait
 * for coverage, 15 seconds for a stage that is stuck, and again for what replaces it. A turn may take a minute.
 */
const maxSilenceMs = 300_000

/** Nobody waits past a deadline. */
export function checkSilence(silentMs: number): string | undefined {
  if (silentMs <= maxSilenceMs) return undefined
  return `a generation has shown no sign of life for ${Math.round(silentMs / 1000)} s: some wait has no deadline`
}

/** Nodes that come and go cost a generation a few recoveries; five times what the worst of healthy runs has seen is a loop. */
const maxRecoveries = 30

/** A recovery brings the chain back, and not the next recovery. @param excuse - a fault that goes on, or a liar; asked when it matters */
export function checkRecoveries(recoveries: number, excuse: () => string | undefined): string | undefined {
  if (recoveries <= maxRecoveries || excuse() !== undefined) return undefined
  return `a generation has recovered ${recoveries} times though nodes only come and go: its recoveries bring nothing back`
}

/** How long the dead may be in the directory: the life of an announcement, and the ages that relays do not know to the second. */
const maxStaleMs = 190_000

/** Nobody is told of nodes whose announcements must have expired. @param downForMs of each node that a client's map shows */
export function checkMap(shown: ReadonlyArray<{ readonly node: number; readonly downForMs: number }>): string | undefined {
  const stale = shown.find(({ downForMs }) => downForMs > maxStaleMs)
  if (stale === undefined) return undefined
  return `its map shows node ${stale.node}, which has been down for ${Math.round(stale.downForMs / 1000)} s`
}
