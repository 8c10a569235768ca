/** fast-check arbitraries of announcements. */
import fc from 'fast-check'
import { limits } from '../limits.ts'
import { arbBlockRange, arbModelId, arbNumerics } from '../messages/arbitraries.ts'
import type { Announcement } from './announcement.ts'

const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const address = fc
  .tuple(
    fc.constantFrom('/ip4/10.0.0.1', '/ip6/fe80::1', '/dns4/node.example', '/ip6zone/eth0/ip6/fe80::1'),
    fc.integer({ min: 1, max: 65_535 })
  )
  .map(([host, port]) => `${host}/tcp/${port}`)

/** Everything but the peer, which must be the signer. */
export const arbAnnouncementFacts: fc.Arbitrary<Omit<Announcement, 'peer'>> = fc
  .tuple(
    fc.record(
      {
        model: arbModelId,
        hiddenSize: fc.integer({ min: 1, max: limits.maxHiddenSize }),
        numerics: arbNumerics,
        state: fc.constantFrom('joining', 'serving', 'draining', 'offline'),
        addresses: fc.array(address, { maxLength: limits.maxAnnouncementAddresses }),
        stepMs: fc.double({ min: 0, max: 1e6, noNaN: true }).map((ms) => ms + 0),
        rowsPerSecond: fc.double({ min: 0, max: 1e6, noNaN: true }).map((rate) => rate + 0),
        kvTokens: fc.maxSafeNat(),
        historyBytes: fc.maxSafeNat(),
        sequence: positive,
        lifeMs: fc.integer({ min: limits.minAnnouncementLifeMs, max: limits.maxAnnouncementLifeMs })
      },
      { noNullPrototype: true }
    ),
    arbBlockRange,
    fc.array(fc.nat(limits.maxBlocks), { maxLength: 8 }),
    fc.nat(10)
  )
  .map(([facts, span, cuts, beyond]) => {
    const inner = [...new Set(cuts)].filter((at) => span.start < at && at < span.end).sort((a, b) => a - b)
    return { ...facts, span, blocks: Math.min(span.end + beyond, limits.maxBlocks), entryPoints: [span.start, ...inner, span.end] }
  })
