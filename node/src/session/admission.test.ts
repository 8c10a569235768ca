import assert from 'node:assert/strict'
import { isSkeinError, type OpenRequest, parseModelId, parseSessionId } from '@skein/protocol'
import { ManualClock, testIdentity } from '@skein/protocol/testing'
import { admit, type AdmissionView } from './admission.ts'
import { ByteBudget } from './byte-budget.ts'
import { DialBudget } from './dial-budget.ts'

const model = parseModelId('m@00000000000000000000000000000000')
const numerics = { weights: 'f32', kernels: 'k' } as const

const view: AdmissionView = {
  model,
  info: { span: { start: 2, end: 6 }, entryPoints: [2, 4, 6], hiddenSize: 64, numerics, contextTokens: 1024, kvTokens: 4096 },
  state: 'serving',
  sessions: 3,
  maxSessions: 8,
  sessionsOfPeer: 1,
  maxSessionsPerPeer: 2,
  acceptsRaw: false
}

const request: OpenRequest = {
  type: 'open',
  id: 1,
  session: parseSessionId('0123456789abcdef0123456789abcdef'),
  model,
  span: { start: 2, end: 4 },
  numerics,
  exact: false,
  kvTokens: 128,
  historyBytes: 1000,
  encoding: 'f16',
  predecessor: { term: 1, to: { kind: 'coordinator' } },
  successor: { term: 1, to: { kind: 'coordinator' } },
  leaseMs: 30_000
}

function codeOf(action: () => void): string {
  try {
    action()
  } catch (error) {
    return isSkeinError(error) ? error.code : String(error)
  }
  return 'admitted'
}

describe('admit', () => {
  const cases: [string, Partial<OpenRequest>, Partial<AdmissionView>, string][] = [
    ['a span at entry points', {}, {}, 'admitted'],
    ['the whole span', { span: { start: 2, end: 6 } }, {}, 'admitted'],
    ['a start that is no entry point', { span: { start: 3, end: 4 } }, {}, 'ERR_SKEIN_WRONG_SPAN'],
    ['blocks that are not hosted', { span: { start: 4, end: 8 } }, {}, 'ERR_SKEIN_WRONG_SPAN'],
    ['another model', { model: parseModelId('m@11111111111111111111111111111111') }, {}, 'ERR_SKEIN_WRONG_MODEL'],
    ['other weights', { numerics: { weights: 'q8', kernels: 'k' } }, {}, 'ERR_SKEIN_WRONG_NUMERICS'],
    ['more than the context', { kvTokens: 1025 }, {}, 'ERR_SKEIN_TOO_LONG'],
    ['no tokens', { kvTokens: 0 }, {}, 'ERR_SKEIN_TOO_LONG'],
    ['a lease for ever', { leaseMs: 10 ** 9 }, {}, 'ERR_SKEIN_MALFORMED'],
    ['raw activations for a real runtime', { encoding: 'raw' }, {}, 'ERR_SKEIN_UNSUPPORTED'],
    ['a full node', {}, { sessions: 8 }, 'ERR_SKEIN_BUSY'],
    ['a coordinator with its share', {}, { sessionsOfPeer: 2 }, 'ERR_SKEIN_BUSY'],
    ['a node that starts', {}, { state: 'joining' }, 'ERR_SKEIN_BUSY'],
    ['a node that drains', {}, { state: 'draining' }, 'ERR_SKEIN_DRAINING']
  ]
  for (const [what, requestPart, viewPart, expected] of cases) {
    it(`${expected === 'admitted' ? 'lets in' : 'refuses'} ${what}`, () => {
      assert.equal(
        codeOf(() => admit({ ...request, ...requestPart }, { ...view, ...viewPart })),
        expected
      )
    })
  }
})

describe('budgets', () => {
  it('reserve all or nothing', () => {
    const budget = new ByteBudget(100)
    assert.equal(budget.reserve(60), true)
    assert.equal(budget.reserve(41), false)
    budget.release(60)
    assert.equal(budget.freeBytes, 100)
  })

  it('let a coordinator cause a burst of dials, and then a few a second', async () => {
    const clock = new ManualClock()
    const budget = new DialBudget(clock, { what: 'dials', burst: 3, perSecond: 2 })
    const [a, b] = [testIdentity(1).peerId, testIdentity(2).peerId]
    for (let dial = 0; dial < 3; dial++) budget.spend(a)
    assert.equal(
      codeOf(() => budget.spend(a)),
      'ERR_SKEIN_RATE_LIMITED'
    )
    budget.spend(b)
    clock.advance(500)
    budget.spend(a)
    assert.equal(
      codeOf(() => budget.spend(a)),
      'ERR_SKEIN_RATE_LIMITED'
    )
  })
})
