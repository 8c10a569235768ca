import assert from 'node:assert/strict'
import { InvalidArgumentError, SkeinError } from '@skein/protocol'
import { CliHarness } from '../testing/cli-harness.ts'

const never = (): Promise<void> => new Promise(() => undefined)
const ctrlC = '\u0003'
const ctrlD = '\u0004'
const plain = { NO_COLOR: '1' }

/** A chat on a terminal, at its prompt; in an array, since a promise of a promise would be waited for. */
async function atPrompt(cli: CliHarness): Promise<[exit: Promise<number>]> {
  const exit = cli.run('chat')
  await cli.stderr.until('Ctrl-D to leave')
  return [exit]
}

/** A chat on a terminal whose answers stop after `half` until they are released, and then go on with `rest`. */
function pausedAnswer(): { cli: CliHarness; release: () => void } {
  let release: () => void = () => undefined
  const go = new Promise<void>((resolve) => (release = resolve))
  const cli = new CliHarness(
    { pieces: ['half', 'rest'], beforePiece: (index) => (index === 1 ? go : undefined) },
    { terminal: true, env: plain }
  )
  return { cli, release }
}

/** Resolves when all that is ready to run has run. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

describe('skein chat', () => {
  it('takes each line of a pipe as a turn of one session', async () => {
    const cli = new CliHarness({}, { files: ['privacy-notice-shown'] })
    cli.stdin.end('Hello\n\n//path\nBye')
    assert.equal(await cli.run('chat', '--system', 'Be brief.', '--temperature', '0.5'), 0)
    assert.equal(cli.stdout.text, 'Geese fly.\nGeese fly.\nGeese fly.\n')
    assert.equal(cli.stderr.text, '')
    const { prompts, sessions, closedSessions, closedClients } = cli.swarm.calls
    assert.deepEqual(
      prompts.map(({ prompt }) => prompt),
      ['Hello', '/path', 'Bye']
    )
    assert.equal(prompts[0]?.options.temperature, 0.5)
    assert.deepEqual(
      sessions.map(({ system }) => system),
      ['Be brief.']
    )
    assert.deepEqual([closedSessions, closedClients, cli.listening], [1, 1, false])
  })

  it('prints one object a turn with --json', async () => {
    const cli = new CliHarness({}, { files: ['privacy-notice-shown'] })
    cli.stdin.end('Hello\nBye\n')
    assert.equal(await cli.run('chat', '--json'), 0)
    const lines = cli.stdout.text.trimEnd().split('\n')
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { text: string }).text),
      ['Geese fly.', 'Geese fly.']
    )
    assert.equal(cli.stderr.text, '')
  })

  it('fails at the first failure of a pipe', async () => {
    const cli = new CliHarness({ failure: new SkeinError('ERR_SKEIN_NO_COVERAGE', 'nobody serves 3:6') })
    cli.stdin.end('Hello\nBye\n')
    assert.equal(await cli.run('chat', '--json'), 1)
    assert.equal(cli.swarm.calls.prompts.length, 1)
    assert.deepEqual(JSON.parse(cli.stdout.text), { error: { code: 'ERR_SKEIN_NO_COVERAGE', message: 'nobody serves 3:6' } })
    assert.equal(cli.swarm.calls.closedClients, 1)
  })

  it('goes on after a failure on a terminal', async () => {
    const cli = new CliHarness({ failure: new SkeinError('ERR_SKEIN_NO_COVERAGE', 'nobody serves 3:6') }, { terminal: true, env: plain })
    const [exit] = await atPrompt(cli)
    cli.stdin.write('Hello\r')
    await cli.stderr.until('skein: nobody serves 3:6')
    cli.stdin.write('/quit\r')
    assert.equal(await exit, 0)
  })

  it('says how to go on when the context is full', async () => {
    const detail = { promptTokens: 1030, contextTokens: 1024 }
    const cli = new CliHarness({ failure: new InvalidArgumentError('no room is left', { detail }) }, { terminal: true, env: plain })
    const [exit] = await atPrompt(cli)
    cli.stdin.write('Hello\r')
    await cli.stderr.until('skein: no room is left; /reset begins a new conversation\n')
    cli.stdin.write('/quit\r')
    assert.equal(await exit, 0)
  })

  it('leaves at Ctrl-D', async () => {
    const cli = new CliHarness({}, { terminal: true, env: plain })
    const [exit] = await atPrompt(cli)
    cli.stdin.write(ctrlD)
    assert.equal(await exit, 0)
    assert.deepEqual([cli.swarm.calls.closedSessions, cli.swarm.calls.closedClients], [1, 1])
  })

  it('stops the answer at Ctrl-C, and stays', async () => {
    const cli = new CliHarness(
      { pieces: ['half', 'never'], beforePiece: (index) => (index === 1 ? never() : undefined) },
      { terminal: true, env: plain }
    )
    const [exit] = await atPrompt(cli)
    cli.stdin.write('Hello\r')
    await cli.stdout.until('half')
    cli.stdin.write(ctrlC)
    await cli.stderr.until('(stopped)')
    assert.equal(cli.stdout.text, 'half\n')
    cli.stdin.write('Again\r')
    await cli.stdout.until('half\nhalf')
    // Outside raw mode the same key is a signal.
    cli.interrupt()
    await cli.stdout.until('half\nhalf\n')
    cli.stdin.write(ctrlD)
    assert.equal(await exit, 0)
    assert.equal(cli.swarm.calls.prompts.length, 2)
    assert.deepEqual(cli.exits, [])
  })

  it('keeps what is typed during an answer, and shows it at its own prompt', async () => {
    const { cli, release } = pausedAnswer()
    const [exit] = await atPrompt(cli)
    cli.stdin.write('One\r')
    await cli.stdout.until('half')
    cli.stdin.write('Two\rThr')
    await cli.stderr.until('Thr')
    const before = cli.stderr.text.length
    release()
    await cli.stderr.until('> Two\n')
    // Behind what was typed already, and not in front of it.
    await settled()
    cli.stdin.write('ee\r')
    while (cli.swarm.calls.prompts.length < 3) await settled()
    assert.deepEqual(
      cli.swarm.calls.prompts.map(({ prompt }) => prompt),
      ['One', 'Two', 'Three']
    )
    assert.match(cli.stderr.text.slice(before), /> Two\n[^]*> Thr[^]*ee\r\n/)
    cli.stdin.write(ctrlD)
    assert.equal(await exit, 0)
  })

  it('lets the answer end at a Ctrl-D during it, and leaves without another prompt', async () => {
    const { cli, release } = pausedAnswer()
    const [exit] = await atPrompt(cli)
    cli.stdin.write('One\r')
    await cli.stdout.until('half')
    const before = cli.stderr.text.length
    cli.stdin.write(ctrlD)
    await settled()
    release()
    assert.equal(await exit, 0)
    assert.equal(cli.stdout.text, 'halfrest\n')
    assert.equal(cli.stderr.text.slice(before), '')
  })

  it('leaves at the second Ctrl-C at the prompt', async () => {
    const cli = new CliHarness({}, { terminal: true, env: plain })
    const [exit] = await atPrompt(cli)
    cli.stdin.write(`half typed${ctrlC}`)
    await cli.stderr.until('(Ctrl-C again or Ctrl-D leaves)')
    cli.stdin.write(ctrlC)
    assert.equal(await exit, 130)
    assert.equal(cli.swarm.calls.prompts.length, 0)
    assert.deepEqual([cli.swarm.calls.closedSessions, cli.swarm.calls.closedClients], [1, 1])
  })

  it('takes a Ctrl-C at the prompt back when a turn follows, and drops what was typed', async () => {
    const cli = new CliHarness({}, { terminal: true, env: plain })
    const [exit] = await atPrompt(cli)
    cli.stdin.write(`half typed${ctrlC}`)
    await cli.stderr.until('(Ctrl-C again or Ctrl-D leaves)')
    cli.stdin.write('Hello\r')
    await cli.stdout.until('Geese fly.\n')
    assert.equal(cli.swarm.calls.prompts[0]?.prompt, 'Hello')
    await settled()
    const before = cli.stderr.text.length
    cli.stdin.write(ctrlC)
    cli.stdin.write('/help\r')
    await cli.stderr.until('/reset')
    assert.match(cli.stderr.text.slice(before), /Ctrl-C again/)
    cli.stdin.write(ctrlD)
    assert.equal(await exit, 0)
  })

  it('ends at once when Ctrl-C cannot stop an answer', async () => {
    const cli = new CliHarness(
      { pieces: ['half', 'rest'], ignoresCancel: true, beforePiece: async (index) => (index === 1 ? go : undefined) },
      { terminal: true, env: plain }
    )
    let release: () => void = () => undefined
    const go = new Promise<void>((resolve) => (release = resolve))
    const [exit] = await atPrompt(cli)
    cli.stdin.write('Hello\r')
    await cli.stdout.until('half')
    cli.stdin.write(ctrlC)
    cli.stdin.write(ctrlC)
    while (cli.exits.length === 0) await settled()
    assert.deepEqual(cli.exits, [130])
    release()
    cli.stdin.write(ctrlD)
    await exit
  })

  it('leaves a pipe at an interrupt between turns', async () => {
    const cli = new CliHarness()
    const exit = cli.run('chat')
    cli.stdin.write('Hello\n')
    await cli.stdout.until('Geese fly.\n')
    await settled()
    cli.interrupt()
    assert.equal(await exit, 130)
  })

  it('gives up connecting at an interrupt', async () => {
    const cli = new CliHarness({ connectHangs: true }, { files: ['privacy-notice-shown'] })
    const exit = cli.run('chat')
    while (cli.swarm.calls.connects.length === 0) await Promise.resolve()
    cli.interrupt()
    assert.equal(await exit, 130)
    assert.equal(cli.stderr.text, 'skein: interrupted\n')
  })

  it('stops without a word when its reader has gone', async () => {
    const cli = new CliHarness(
      { pieces: ['a', 'b'], beforePiece: (index) => (index === 1 ? never() : undefined) },
      { files: ['privacy-notice-shown'] }
    )
    cli.stdout.failWith = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
    const exit = cli.run('chat')
    cli.stdin.write('Hello\n')
    assert.equal(await exit, 0)
    assert.equal(cli.stderr.text, '')
    assert.equal(cli.swarm.calls.closedClients, 1)
  })

  it('knows its commands', async () => {
    const cli = new CliHarness({}, { files: ['privacy-notice-shown'] })
    cli.stdin.end('/help\nHello\n/stats\n/reset\n/stats\n/what now\n/quit\nnot read\n')
    assert.equal(await cli.run('chat'), 0)
    const text = cli.stderr.text
    assert.match(text, /\/reset +forget the conversation/)
    assert.match(text, /chain +…AAAAAAAA 0:3 -> …BBBBBBBB 3:8\n/)
    assert.match(text, /conversation +2 messages, 20 of 1024 tokens\na new conversation\nconversation +0 messages, 0 of 1024 tokens\n/)
    assert.match(text, /there is no \/what; \/help lists the commands\n/)
    assert.equal(cli.stdout.text, 'Geese fly.\n')
    const { prompts, sessions, closedSessions } = cli.swarm.calls
    assert.deepEqual([prompts.length, sessions.length, closedSessions], [1, 2, 2])
  })
})
