import assert from 'node:assert/strict'
import { commandLines } from './ready-lines.ts'

describe('the commands that a node prints', () => {
  it('are those that work where it was started', () => {
    const flags = '--model models/tiny --bootstrap /ip4/192.0.2.1/tcp/4774/p2p/A'
    const lines = (env: Record<string, string>): string[] => commandLines('models/tiny', '/ip4/192.0.2.1/tcp/4774/p2p/A', env)
    assert.deepEqual(lines({}), [`join with:  skein-node ${flags}`, `ask with:   skein run "Hello" ${flags}`])
    assert.deepEqual(lines({ npm_command: 'exec' }), [`join with:  npx skein-node ${flags}`, `ask with:   npx skein run "Hello" ${flags}`])
  })

  it('hold a folder with a space together', () => {
    assert.match(commandLines('my models/tiny', '/ip4/x', {})[0]!, /--model "my models\/tiny" --bootstrap \/ip4\/x$/)
    assert.match(commandLines('C:\\models\\tiny', '/ip4/x', {})[0]!, /--model C:\\models\\tiny --bootstrap/)
  })
})
