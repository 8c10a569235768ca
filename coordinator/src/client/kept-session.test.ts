import assert from 'node:assert/strict'
import { parsePeerId, parseSessionId, type PeerId } from '@skein/protocol'
import type { SessionEvent, SessionStage, TokenSession } from '../session/token-session.ts'
import { KeptSession } from './kept-session.ts'

const peer: PeerId = parsePeerId(`12D3KooW${'A'.repeat(44)}`)

class FakeSession implements TokenSession {
  readonly id
  rows = 7
  isOver = false
  readonly maxRows = 100
  readonly recoveries = 0
  chain: readonly SessionStage[] = [{ peer, start: 0, end: 8 }]

  constructor(number: number) {
    this.id = parseSessionId(String(number).padStart(32, '0'))
  }

  step(): Promise<never> {
    return Promise.reject(new Error('the fake takes no steps'))
  }

  async close(): Promise<void> {}
}

async function open() {
  const sessions: FakeSession[] = []
  const closed: TokenSession[] = []
  const listeners: Array<(event: SessionEvent) => void> = []
  const make = (onEvent: (event: SessionEvent) => void): FakeSession => {
    const session = new FakeSession(sessions.length)
    sessions.push(session)
    listeners.push(onEvent)
    onEvent({ type: 'opened', session: session.id, chain: session.chain })
    return session
  }
  const events: SessionEvent[] = []
  const kept = await KeptSession.open(
    { reopen: (_signal, onEvent) => Promise.resolve(make(onEvent)), close: (session) => Promise.resolve(void closed.push(session)) },
    (onEvent) => Promise.resolve(make(onEvent))
  )
  const turn = () => kept.acquire(new AbortController().signal, (event) => events.push(event))
  return { kept, sessions, closed, listeners, events, turn }
}

describe('the session of a conversation', () => {
  it('is told of with the first turn, and when its chain is another one', async () => {
    const { sessions, listeners, events, turn } = await open()
    const [session] = sessions
    await (await turn()).release()
    assert.deepEqual(events, [{ type: 'opened', session: session!.id, chain: session!.chain }])
    await (await turn()).release()
    assert.equal(events.length, 1)
    // What happens between turns is nobody's news then.
    session!.chain = [...session!.chain]
    listeners[0]!({ type: 'recovered', chain: session!.chain })
    assert.equal(events.length, 1)
    await (await turn()).release()
    assert.equal(events.length, 2)
  })

  it('is opened anew by the next turn when it was lost, and has no rows until then', async () => {
    const { kept, sessions, closed, events, turn } = await open()
    const first = await turn()
    sessions[0]!.isOver = true
    await first.release()
    assert.deepEqual([kept.rows, closed.length], [0, 1])
    const { session } = await turn()
    assert.equal(session, sessions[1])
    assert.deepEqual(
      events.map((event) => event.type === 'opened' && event.session),
      [sessions[0]!.id, sessions[1]!.id]
    )
    assert.equal(kept.rows, 7)
  })

  it('is not opened anew once the conversation is closed', async () => {
    const { kept, sessions, turn } = await open()
    await kept.close()
    sessions[0]!.isOver = true
    await assert.rejects(turn(), { code: 'ERR_SKEIN_SESSION_CLOSED' })
    assert.equal(sessions.length, 1)
  })
})
