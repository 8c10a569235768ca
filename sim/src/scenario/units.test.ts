import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatBytes, formatDuration, parseBytes, parseDurationMs, parseMbps, parseShare, unlimitedMbps } from './units.ts'

describe('units of scenarios', () => {
  it('reads durations, sizes, bandwidths and shares', () => {
    const durations: Array<[string, number]> = [
      ['250ms', 250],
      ['1.5 s', 1500],
      ['10m', 600_000],
      ['1h 30m', 5_400_000],
      ['2d', 172_800_000],
      ['20us', 0.02]
    ]
    for (const [text, ms] of durations) assert.equal(parseDurationMs(text), ms, text)
    assert.equal(parseBytes('64 KiB'), 65_536)
    assert.equal(parseBytes('1.5GB'), 1.5e9)
    assert.equal(parseMbps('1 Gbit/s'), 1000)
    assert.equal(parseMbps('2 MB/s'), 16)
    assert.equal(parseMbps('unlimited'), unlimitedMbps)
    assert.equal(parseShare('5 %'), 0.05)
    assert.equal(parseShare('0.5'), 0.5)
  })

  it('refuses what is no quantity', () => {
    for (const text of ['', '10', 'm', '10 weeks', '-1s', '1s2', 'x10s', '1e999s', '1h, 30m', 'constructor']) {
      assert.equal(parseDurationMs(text), undefined, text)
    }
    for (const text of ['10', '10 mb', '1 constructor', '-1 B']) assert.equal(parseBytes(text), undefined, text)
    for (const text of ['10', '10 Mbit', '10 mbit/s']) assert.equal(parseMbps(text), undefined, text)
    for (const text of ['101 %', '1.1', '-1', '%']) assert.equal(parseShare(text), undefined, text)
  })

  it('never throws, and finds only numbers that are finite and not negative', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const parse of [parseDurationMs, parseBytes, parseMbps, parseShare]) {
          const value = parse(text)
          assert.ok(value === undefined || (Number.isFinite(value) && value >= 0))
        }
      })
    )
  })

  it('writes them in the unit that fits', () => {
    const texts = [3.25, 250, 12_345, 60_000, 200_000, 3_600_000, 5_400_000].map(formatDuration)
    assert.deepEqual(texts, ['3.25 ms', '250 ms', '12.3 s', '1 min', '3 min 20 s', '1 h', '1 h 30 min'])
    assert.deepEqual([12, 1500, 2e9].map(formatBytes), ['12 B', '1.5 kB', '2 GB'])
  })
})
