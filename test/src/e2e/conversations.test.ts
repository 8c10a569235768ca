import assert from 'node:assert/strict'
import type { ChatSession, GenerationEvent, SwarmClient } from '@skein/coordinator'
import { LocalSwarm } from '../harness/local-swarm.ts'

/** Any will do: what counts is who answers at all. */
const options = { temperature: 0, maxTokens: 12 } as const

describe('conversations, and blocks that nobody serves any more', function () {
  this.timeout(120_000)
  const swarm = new LocalSwarm()
  let client: SwarmClient

  before(async () => {
    // The model's context is 1024.
    for (const blocks of ['0:3', '3:6', '6:8']) await swarm.node({ blocks, args: ['--max-kv-tokens', '900'] })
    client = await swarm.client({ coverageTimeoutMs: 3_000 })
    await swarm.known(client)
  })

  after(() => swarm.close())

  it('have the room that the nodes have left, and say when there is none', async () => {
    const first = await client.session()
    assert.equal(first.maxContextTokens, 512)
    const { text } = await first.send('Hello', options).result
    assert.ok(text.length > 0)
    const second = await client.session()
    assert.equal(second.maxContextTokens, 256)
    await assert.rejects(client.session(), { code: 'ERR_SKEIN_NO_COVERAGE', message: /no room for another session after waiting/ })
    const small = await client.session({ maxContextTokens: 100 })
    assert.equal(small.maxContextTokens, 100)
    await Promise.all([first, second, small].map((session: ChatSession) => session.close()))
    await swarm.idle()
    // What the nodes said of their room while it was taken counts no more.
    const third = await client.session()
    assert.equal(third.maxContextTokens, 512)
    await third.close()
    await assert.rejects(client.session({ maxContextTokens: 1_000 }), { code: 'ERR_SKEIN_KV_FULL', message: /max-context-tokens/ })
    await swarm.idle()
  })

  it('go on at once when the reader of an answer has left its loop', async () => {
    const session = await client.session({ maxContextTokens: 300 })
    let pieces = 0
    for await (const _ of session.send('Tell me a story.', { ...options, maxTokens: 200 })) if (++pieces === 2) break
    assert.ok((await session.send('Hello', options).result).text.length > 0)
    await session.close()
  })

  it('are told once what is missing, and how long it was waited for; a status counts only who answers', async () => {
    const { hasAnswered } = (await client.status()).nodes[0] ?? {}
    assert.equal(hasAnswered, true)
    const middle = swarm.nodes[1]!
    await middle.crash()
    const status = await client.status()
    assert.deepEqual(status.uncoveredBlocks, [{ start: 3, end: 6 }])
    // Whom a caller did not wait for is not silent.
    const last = swarm.nodes[2]!
    last.kill('SIGSTOP')
    const ending = new AbortController()
    const given = client.status({ signal: ending.signal })
    setTimeout(() => ending.abort(), 2_000)
    await assert.rejects(given, { code: 'ERR_SKEIN_ABORTED' })
    last.kill('SIGCONT')
    assert.deepEqual(
      status.nodes.map(({ start, hasAnswered }) => [start, hasAnswered]),
      [
        [0, true],
        [3, false],
        [6, true]
      ]
    )
    const events: GenerationEvent[] = []
    const { result } = client.generate('Hello', { ...options, onEvent: (event) => events.push(event) })
    await assert.rejects(result, {
      code: 'ERR_SKEIN_NO_COVERAGE',
      message: /3:6 .* no node that answers after waiting [3-9].* start a node/
    })
    assert.equal(events.filter(({ type }) => type === 'waiting-for-coverage').length, 1)
  })

  it('wait for nodes no longer than their client is open, whoever else could have ended that', async () => {
    const { signal } = new AbortController()
    const startedMs = performance.now()
    const waiting = [client.forward([1, 2], { signal }), client.session({ signal })].map((promise) =>
      assert.rejects(promise, { code: 'ERR_SKEIN_SESSION_CLOSED' })
    )
    await client.close()
    await Promise.all(waiting)
    assert.ok(performance.now() - startedMs < 2_500, 'they waited for coverage')
  })
})
