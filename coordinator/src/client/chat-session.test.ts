import assert from 'node:assert/strict'
import { parseSessionId } from '@skein/protocol'
import type { TokenSession } from '../session/token-session.ts'
import { CachedChatSession } from './chat-session.ts'
import { KeptSession } from './kept-session.ts'

describe('a conversation', () => {
  it('is closed by the client, which forgets it then, and takes nothing but texts', async () => {
    const closed: TokenSession[] = []
    const session: TokenSession = {
      ...{ id: parseSessionId('0'.repeat(32)), isOver: false, rows: 0, maxRows: 8, chain: [], recoveries: 0 },
      step: () => assert.fail(),
      close: () => assert.fail('the client would keep it')
    }
    const kept = await KeptSession.open({ reopen: () => assert.fail(), close: (ended) => Promise.resolve(void closed.push(ended)) }, () =>
      Promise.resolve(session)
    )
    const conversation = new CachedChatSession(
      { session: kept, maxContextTokens: 8, encode: () => assert.fail(), generate: () => assert.fail() },
      undefined
    )
    for (const text of [null, 5, ['a']]) {
      assert.throws(() => conversation.send(text as unknown as string), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /expected a text/ })
    }
    await conversation.close()
    assert.deepEqual(closed, [session])
  })
})
