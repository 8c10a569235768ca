import assert from 'node:assert/strict'
import type { TokenSession } from '../session/token-session.ts'
import { CachedChatSession } from './chat-session.ts'

describe('a conversation', () => {
  it('is closed by the client, which forgets it then, and takes nothing but texts', async () => {
    let closed = 0
    const session: TokenSession = {
      ...{ rows: 0, maxRows: 8, chain: [], recoveries: 0 },
      step: () => assert.fail(),
      close: () => assert.fail('the client would keep it')
    }
    const conversation = new CachedChatSession(
      {
        ...{ session, maxContextTokens: 8, encode: () => assert.fail(), generate: () => assert.fail() },
        close: () => Promise.resolve(void closed++)
      },
      undefined
    )
    for (const text of [null, 5, ['a']]) {
      assert.throws(() => conversation.send(text as unknown as string), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /expected a text/ })
    }
    await conversation.close()
    assert.equal(closed, 1)
  })
})
