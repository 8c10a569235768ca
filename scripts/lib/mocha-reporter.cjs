/**
 * One line per outermost suite, every failure in full, and mocha's own figures as JSON in the file that
 * SKEIN_MOCHA_STATS names. A test that takes longer than SLOW_MS gets a line of its own.
 */
'use strict'
const { writeFileSync } = require('node:fs')
const { styleText } = require('node:util')
const Mocha = require('mocha')

const SLOW_MS = 2_000
/** How long the process may live on after the last test before that counts as a leak. */
const LINGER_MS = 10_000

const { EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING, EVENT_SUITE_BEGIN, EVENT_SUITE_END, EVENT_RUN_END } = Mocha.Runner.constants

function paint(style, text) {
  return process.stdout.isTTY && process.env.NO_COLOR === undefined ? styleText(style, text) : text
}

class CompactReporter extends Mocha.reporters.Base {
  constructor(runner, options) {
    super(runner, options)
    let suite = emptySuite()
    runner.on(EVENT_SUITE_BEGIN, (begun) => {
      if (begun.parent?.root === true) suite = emptySuite()
    })
    runner.on(EVENT_TEST_PASS, (test) => {
      suite.passed++
      if (test.duration > SLOW_MS) suite.notes.push(`slow: ${test.fullTitle()} (${Math.round(test.duration)} ms)`)
    })
    runner.on(EVENT_TEST_FAIL, (test) => {
      suite.failed++
      suite.notes.push(paint('red', `failed: ${test.fullTitle()}`))
    })
    runner.on(EVENT_TEST_PENDING, (test) => {
      suite.skipped++
      suite.notes.push(`skipped: ${test.fullTitle()}`)
    })
    runner.on(EVENT_SUITE_END, (ended) => {
      if (ended.parent?.root === true) print(ended.title, suite)
    })
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) Mocha.reporters.Base.list(this.failures)
      const { passes, failures, pending, duration } = this.stats
      report({ passed: passes, failed: failures, skipped: pending, durationMs: duration })
      watchForLeaks({ passed: passes, failed: failures + 1, skipped: pending, durationMs: duration })
    })
  }
}

function emptySuite() {
  return { passed: 0, failed: 0, skipped: 0, notes: [], startedMs: performance.now() }
}

function print(title, suite) {
  const counts = [`${suite.passed} passed`]
  if (suite.failed > 0) counts.push(`${suite.failed} failed`)
  if (suite.skipped > 0) counts.push(`${suite.skipped} skipped`)
  const mark = suite.failed > 0 ? paint('red', '✗') : paint('green', '✓')
  console.log(`  ${mark} ${title} ${paint('gray', `(${counts.join(', ')}, ${Math.round(performance.now() - suite.startedMs)} ms)`)}`)
  for (const note of suite.notes) console.log(`      ${note}`)
}

function report(stats) {
  const file = process.env.SKEIN_MOCHA_STATS
  if (file !== undefined) writeFileSync(file, JSON.stringify(stats))
}

/** A socket, worker or timer that a test left open would keep the run alive for ever; say so and fail instead. */
function watchForLeaks(stats) {
  const timer = setTimeout(() => {
    console.error(`  ✗ the tests are done, but these keep the process alive: ${process.getActiveResourcesInfo().join(', ')}`)
    report(stats)
    process.exit(1)
  }, LINGER_MS)
  timer.unref()
}

module.exports = CompactReporter
