import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { LocalSwarm } from '../harness/local-swarm.ts'
import type { Program } from '../harness/program.ts'
import { launchSkein } from '../harness/skein-command.ts'

const [ctrlC, ctrlD, enter] = ['\u0003', '\u0004', '\r']
/** A token takes long enough for a key to come in the middle of an answer. */
const env = { SKEIN_LINK: '{"oneWayMs": 40}', TERM: 'xterm', NO_COLOR: '1' }
const question = 'What is the capital of France?'
const story = 'Tell me a story'

/**
 * Runs the rest of the command line on a pseudo-terminal, by `script` of util-linux, and afterwards prints the terminal's modes.
 * Its words hold no quotes.
 */
const onTerminal = [
  ...['sh', '-c'],
  `for word; do line="$line '$word'"; done; exec script -qec "stty cols 100; $line; code=\\$?; stty -a; exit \\$code" /dev/null`,
  'sh'
]

describe('skein chat on a terminal', function () {
  this.timeout(180_000)
  const swarm = new LocalSwarm()
  let answers: Record<typeof question | typeof story, string>
  let chat: Program

  before(async function () {
    const { stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' })
    if (process.platform !== 'linux' || !/util-linux/.test(stdout ?? '')) return this.skip()
    await swarm.node()
    const client = await swarm.client()
    const answer = async (prompt: string): Promise<string> => (await client.generate(prompt, { temperature: 0 }).result).text
    answers = { [question]: await answer(question), [story]: await answer(story) }
  })
  after(() => swarm.close())

  beforeEach(async () => {
    const args = ['chat', '--temperature', '0', '--encoding', 'f32', '--exact']
    chat = launchSkein(args, swarm.bootstrap, { wrapper: onTerminal, env })
    await chat.waitFor('the prompt', () => atPrompt(0))
  })

  /** Whether the last thing on the terminal, after the first `from` characters, is an empty prompt. */
  function atPrompt(from: number): true | undefined {
    return shown(from).endsWith('> ') || undefined
  }

  /** What the terminal shows, without the sequences that move the cursor. */
  function shown(from: number): string {
    const text = chat.stdout().slice(from)
    // eslint-disable-next-line no-control-regex -- the terminal's own sequences
    return text.replaceAll(/\u001B\[[0-9;]*[A-Za-z]/g, '').replaceAll(/\r+\n/g, '\n')
  }

  /** Types, and waits for a text behind it. @returns the length of the output before */
  async function type(keys: string, expected: string): Promise<number> {
    const from = chat.stdout().length
    chat.write(keys)
    await chat.waitFor(expected, () => shown(from).includes(expected) || undefined)
    return from
  }

  async function end(code: number): Promise<void> {
    assert.deepEqual(await chat.exited, { code, signal: null }, chat.logs())
    // Not in raw mode, in which a shell would be of little use.
    assert.match(chat.stdout(), / icanon[^]* echo /)
    await swarm.idle()
  }

  it('streams answers turn by turn, and leaves at Ctrl-D', async () => {
    const from = await type(story + enter, answers[story].slice(0, 10))
    assert.ok(!shown(from).includes(answers[story]), 'the answer came all at once')
    await chat.waitFor('the prompt after the answer', () => atPrompt(from))
    assert.equal(shown(from).split('\n')[1], answers[story])
    await type(question + enter, 'Paris')
    await chat.waitFor('the prompt after the second answer', () => atPrompt(from))
    await type(`/stats${enter}`, 'conversation     4 messages')
    await chat.waitFor('the prompt after the command', () => atPrompt(from))
    chat.write(ctrlD)
    await end(0)
  })

  it('stops an answer at Ctrl-C and goes on, and drops what was typed at a Ctrl-C at the prompt', async () => {
    await type(story + enter, answers[story].slice(0, 10))
    const from = await type(ctrlC, '(stopped)')
    assert.ok(!shown(0).includes(answers[story].slice(-20)), 'the answer has ended before')
    await chat.waitFor('the prompt', () => atPrompt(from))
    await type(`half typed${ctrlC}`, '(Ctrl-C again or Ctrl-D leaves)')
    const turn = await type(question + enter, 'Paris')
    await chat.waitFor('the prompt after the answer', () => atPrompt(turn))
    await type(ctrlC, '(Ctrl-C again or Ctrl-D leaves)')
    chat.write(ctrlC)
    await end(130)
  })

  it('takes the next turn while it answers, and at Ctrl-D answers it before it leaves', async () => {
    await type(story + enter, answers[story].slice(0, 10))
    await type(question + enter, question)
    chat.write(ctrlD)
    await end(0)
    // The terminal shows it where it was typed, in the middle of the answer, and again where it is answered.
    const [before, after] = shown(0).split(`\n> ${question}\n`)
    assert.ok(before!.endsWith(answers[story].slice(-20)), before)
    assert.match(after!, /^[^\n]*Paris[^\n]*\nspeed /)
  })
})
