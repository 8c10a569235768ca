import assert from 'node:assert/strict'
import { InvalidArgumentError, SkeinError } from '@skein/protocol'
import { CliHarness } from '../testing/cli-harness.ts'
import { fakeChain } from '../testing/fake-swarm-client.ts'

const never = (): Promise<void> => new Promise(() => undefined)

describe('skein run', () => {
  it('writes the answer to standard output and nothing else', async () => {
    const cli = new CliHarness({}, { files: ['privacy-notice-shown'] })
    assert.equal(await cli.run('run', 'Hello'), 0)
    assert.equal(cli.stdout.text, 'Geese fly.\n')
    assert.equal(cli.stderr.text, '')
    assert.equal(cli.swarm.calls.prompts[0]?.prompt, 'Hello')
    assert.equal(cli.swarm.calls.closedClients, 1)
    assert.equal(cli.listening, false)
  })

  it('ends with one newline, whatever the answer ends with', async () => {
    const cli = new CliHarness({ pieces: ['a\n'] })
    await cli.run('run', 'Hello')
    assert.equal(cli.stdout.text, 'a\n')
  })

  it('takes no empty path for the folder in which it was started', async () => {
    for (const flag of ['--model', '--cache-dir', '--data-dir']) {
      const cli = new CliHarness()
      assert.equal(await cli.run('run', 'Hello', flag, ''), 2)
      assert.match(cli.stderr.text, /expected a path/)
    }
  })

  it('hands every flag to the SDK, and only what was asked for', async () => {
    const cli = new CliHarness()
    const swarm = ['--transport', 'star', '--encoding', 'bf16', '--exact', '--lan', '--cache-dir', 'c', '--data-dir', 'd']
    swarm.push('--threads', '2', '--head-dtype', 'q8')
    const sampling = ['--temperature', '0.5', '--top-p', '0.9', '--top-k', '40', '--min-p', '0.1', '--seed', '7']
    const penalties = ['--repetition-penalty', '1.1', '--presence-penalty', '-0.5', '--frequency-penalty', '0.25']
    const bias = ['--logit-bias', '42=-100', '--logit-bias', '7=1.5,9=-2']
    const rest = ['--max-tokens', '9', '--stop', 'a,b', '--stop', 'c', '--logprobs', '2', '--system', 'Be brief.']
    assert.equal(await cli.run('run', 'Hello', ...swarm, ...sampling, ...penalties, ...bias, ...rest), 0)
    const { signal, onProgress, ...connect } = cli.swarm.calls.connects[0]!
    assert.deepEqual(connect, {
      model: 'm',
      bootstrap: [`/ip4/127.0.0.1/tcp/1/p2p/12D3KooW${'A'.repeat(44)}`],
      transport: 'star',
      encoding: 'bf16',
      exact: true,
      threads: 2,
      headDtype: 'q8',
      lan: true,
      cacheDir: 'c'
    })
    assert.ok(signal instanceof AbortSignal && onProgress !== undefined)
    assert.deepEqual(cli.dataDirs, ['d'])
    const { prompt, options } = cli.swarm.calls.prompts[0]!
    assert.deepEqual(prompt, [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' }
    ])
    const { signal: _signal, onEvent: _onEvent, ...generate } = options
    assert.deepEqual(generate, {
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.1,
      seed: 7,
      repetitionPenalty: 1.1,
      presencePenalty: -0.5,
      frequencyPenalty: 0.25,
      logitBias: { 42: -100, 7: 1.5, 9: -2 },
      maxTokens: 9,
      stop: ['a,b', 'c'],
      logprobs: 2,
      raw: false
    })
  })

  it('leaves to the model and the SDK what was not asked for', async () => {
    const cli = new CliHarness()
    await cli.run('run', 'Hello')
    const { signal: _signal, onEvent: _onEvent, ...generate } = cli.swarm.calls.prompts[0]!.options
    assert.deepEqual(generate, { raw: false })
    const { model: _model, bootstrap: _bootstrap, signal: _s, onProgress: _p, ...connect } = cli.swarm.calls.connects[0]!
    assert.deepEqual(connect, { transport: 'ring', encoding: 'f16', exact: false, threads: 1, headDtype: 'f32' })
  })

  it('takes every flag from its environment variable', async () => {
    const peer = (letter: string): string => `/ip4/127.0.0.1/tcp/1/p2p/12D3KooW${letter.repeat(44)}`
    const env = {
      ...{ SKEIN_MODEL: 'x', SKEIN_BOOTSTRAP: `${peer('A')},${peer('B')}`, SKEIN_TRANSPORT: 'star', SKEIN_ENCODING: 'f32' },
      ...{ SKEIN_EXACT: '1', SKEIN_LAN: 'true', SKEIN_CACHE_DIR: 'c', SKEIN_TEMPERATURE: '1', SKEIN_TOP_P: '0.5', SKEIN_TOP_K: '3' },
      ...{ SKEIN_MIN_P: '0.2', SKEIN_REPETITION_PENALTY: '2', SKEIN_PRESENCE_PENALTY: '1', SKEIN_FREQUENCY_PENALTY: '2', SKEIN_SEED: '4' },
      ...{ SKEIN_MAX_TOKENS: '5', SKEIN_STOP: 'x,y', SKEIN_LOGPROBS: '0', SKEIN_SYSTEM: 's', SKEIN_JSON: '1', SKEIN_STATS: '0' },
      ...{ SKEIN_LOGIT_BIAS: '1=2,3=-4' }
    }
    const cli = new CliHarness({}, { env, files: ['privacy-notice-shown'] })
    assert.equal(await cli.runRaw('run', 'Hello'), 0, cli.stderr.text)
    const connect = cli.swarm.calls.connects[0]!
    assert.deepEqual(connect.bootstrap, [peer('A'), peer('B')])
    assert.deepEqual([connect.model, connect.transport, connect.encoding, connect.exact, connect.lan], ['x', 'star', 'f32', true, true])
    const { signal: _signal, onEvent: _onEvent, ...generate } = cli.swarm.calls.prompts[0]!.options
    assert.deepEqual(generate, {
      ...{ temperature: 1, topP: 0.5, topK: 3, minP: 0.2, repetitionPenalty: 2, presencePenalty: 1, frequencyPenalty: 2, seed: 4 },
      ...{ maxTokens: 5, stop: ['x,y'], logprobs: true, logitBias: { 1: 2, 3: -4 }, raw: false }
    })
    assert.equal((JSON.parse(cli.stdout.text) as { text: string }).text, 'Geese fly.')
    assert.equal(cli.stderr.text, '', 'SKEIN_STATS=0 means no')
  })

  it('prints one object with --json, with the names that programs rely on', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.run('run', 'Hello', '--json'), 0)
    assert.deepEqual(JSON.parse(cli.stdout.text), {
      text: 'Geese fly.',
      tokens: [0, 1],
      finishReason: 'stop',
      promptTokens: 7,
      completionTokens: 2,
      chain: fakeChain,
      timeToFirstTokenMs: 12.5,
      tokensPerSecond: 40,
      recoveries: 0
    })
    assert.equal(cli.stdout.text.split('\n').length, 2)
    assert.match(cli.stderr.text, /^note: the volunteers[^\n]*\n$/, 'standard error is free for the notice')
  })

  it('gives times that there are not as null', async () => {
    const cli = new CliHarness({ pieces: [] })
    await cli.run('run', 'Hello', '--json')
    const report = JSON.parse(cli.stdout.text) as Record<string, unknown>
    assert.equal(report['timeToFirstTokenMs'], null)
    assert.equal(report['tokensPerSecond'], null)
  })

  it('adds log-probabilities to the object, or prints them on standard error', async () => {
    const json = new CliHarness()
    await json.run('run', 'Hello', '--json', '--logprobs', '1')
    const { logprobs } = JSON.parse(json.stdout.text) as { logprobs: unknown[] }
    assert.equal(logprobs.length, 2)
    const text = new CliHarness()
    await text.run('run', 'Hello', '--logprobs', '1')
    assert.equal(text.stdout.text, 'Geese fly.\n')
    assert.match(text.stderr.text, /-0\.250 {2}"Geese " {2}of "other" -1\.500/)
  })

  it('prints the figures with --stats on standard error', async () => {
    const cli = new CliHarness()
    await cli.run('run', 'Hello', '--stats')
    assert.equal(cli.stdout.text, 'Geese fly.\n')
    assert.match(cli.stderr.text, /chain +…AAAAAAAA 0:3 -> …BBBBBBBB 3:8\n/)
    assert.match(cli.stderr.text, /first token +after 13 ms\n/)
    assert.match(cli.stderr.text, /speed +40\.0 tokens\/s \(25 ms a token, of which the stages computed 8\.0 ms\)\n/)
    assert.match(cli.stderr.text, /recoveries +0\n/)
  })

  it('reads the prompt from standard input, without the last newline', async () => {
    const cli = new CliHarness()
    cli.stdin.end('two\nlines é\n')
    assert.equal(await cli.run('run', '-'), 0)
    assert.equal(cli.swarm.calls.prompts[0]?.prompt, 'two\nlines é')
  })

  it('reads it from a terminal too, and says until when', async () => {
    const cli = new CliHarness({}, { terminal: true, env: { NO_COLOR: '1' }, files: ['privacy-notice-shown'] })
    const exit = cli.run('run', '-')
    await cli.stderr.until('reads the prompt until Ctrl-D on a line of its own\n')
    cli.stdin.end('typed\nby hand\n')
    assert.equal(await exit, 0)
    assert.equal(cli.swarm.calls.prompts[0]?.prompt, 'typed\nby hand')
  })

  it('sends a raw text as it is', async () => {
    const cli = new CliHarness()
    cli.stdin.end('as it is\n')
    assert.equal(await cli.run('run', '-', '--raw'), 0)
    assert.equal(cli.swarm.calls.prompts[0]?.prompt, 'as it is\n')
    assert.equal(cli.swarm.calls.prompts[0]?.options.raw, true)
  })

  it('refuses bad input with one line and exit code 2, before it connects', async () => {
    const cases: Array<[argv: string[], message: RegExp, setup?: (cli: CliHarness) => void]> = [
      [['run', ' '], /^skein: the prompt is empty\n$/],
      [['run', '', '--raw'], /^skein: the prompt is empty\n$/],
      [['run', '-'], /^skein: the prompt is empty\n$/, (cli) => cli.stdin.end('\n')],
      [['run', '-'], /not UTF-8 text\n$/, (cli) => cli.stdin.end(new Uint8Array([0x61, 0xff]))],
      [['run', 'x', '--temperature', '101'], /^skein: option '--temperature <n>' argument '101' is invalid. expected a number from 0/],
      [['run', 'x', '--temperature', 'hot'], /expected a number from 0/],
      [['run', 'x', '--top-p', '0'], /expected a number above 0 and up to 1/],
      [['run', 'x', '--top-k', '1.5'], /expected an integer/],
      [['run', 'x', '--min-p', '2'], /from 0 \(all\) to 1/],
      [['run', 'x', '--repetition-penalty', '0'], /above 0/],
      [['run', 'x', '--presence-penalty', '3'], /from -2 to 2/],
      [['run', 'x', '--frequency-penalty', '-3'], /from -2 to 2/],
      [['run', 'x', '--seed', '-1'], /expected an integer from 0/],
      [['run', 'x', '--logit-bias', '7'], /expected a token id and a number, such as 42=-100/],
      [['run', 'x', '--logit-bias', '-1=3'], /expected a token id and a number/],
      [['run', 'x', '--logit-bias', '7=101'], /expected a number up to 100 \(-100 or less forbids the token\)/],
      [['run', 'x', '--logit-bias', '7=much'], /expected a number up to 100/],
      [['run', 'x', '--max-tokens', '0'], /expected an integer of at least 1/],
      [['run', 'x', '--stop', ''], /expected 1 to 256 characters/],
      [['run', 'x', '--logprobs', '21'], /expected an integer from 0 to 20/],
      [['run', 'x', '--transport', 'pigeon'], /Allowed choices are ring, star/],
      [['run', 'x', '--encoding', 'raw'], /Allowed choices are f32, f16, bf16/],
      [['run', 'x', '--bootstrap', 'localhost:4774'], /expected a multiaddr with a peer id/],
      [['run', 'x', '--bootstrap', '/ip4/127.0.0.1/tcp/1'], /expected a multiaddr with a peer id/],
      [['run', 'x', '--bootstrap', `/ip4/127.0.0.1/tcp/1/p2p/12D3KooW${'A'.repeat(43)}`], /A' is invalid.*it has 51 characters/],
      [['run', 'x', '--bootstrap', '/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orW'], /an Ed25519 key, which begins with 12D3KooW/],
      [['run', 'x', '--raw', '--system', 's'], /^skein: --system needs the chat template/],
      [['run', 'x', '--temprature', '1'], /unknown option '--temprature' \(Did you mean --temperature\?\)\n$/],
      [['run', 'x', 'y'], /too many arguments/],
      [['run'], /missing required argument 'prompt'/],
      [['rnu', 'x'], /unknown command 'rnu'/]
    ]
    for (const [argv, message, setup] of cases) {
      const cli = new CliHarness()
      setup?.(cli)
      assert.equal(await cli.run(...argv), 2, argv.join(' '))
      assert.match(cli.stderr.text, message, argv.join(' '))
      assert.equal(cli.stderr.text.trimEnd().split('\n').length, 1, cli.stderr.text)
      assert.equal(cli.stdout.text, '', argv.join(' '))
      assert.equal(cli.swarm.calls.connects.length, 0, argv.join(' '))
    }
  })

  it('names the flag that is missing', async () => {
    const cli = new CliHarness()
    assert.equal(await cli.runRaw('run', 'x', '--model', 'm'), 2)
    assert.match(cli.stderr.text, /required option '--bootstrap <addr>' not specified/)
  })

  it('names the flag that is written wrong, and not the one that is therefore missing', async () => {
    for (const argv of [
      ['run', 'x', '--modle', 'm'],
      ['run', 'x', '--modle=m'],
      ['run', '--modle', 'm', '--', '-x']
    ]) {
      const cli = new CliHarness()
      assert.equal(await cli.runRaw(...argv), 2)
      assert.match(cli.stderr.text, /^skein: unknown option '--modle(=m)?' \(Did you mean --model\?\)\n$/, argv.join(' '))
    }
    const literal = new CliHarness()
    assert.equal(await literal.runRaw('run', '--', '--modle'), 2)
    assert.match(literal.stderr.text, /required option '--model <dir>' not specified/)
    const help = new CliHarness()
    assert.equal(await help.runRaw('run', '--modle', 'm', '--help'), 0)
  })

  it('tells of bad usage as an object with --json', async () => {
    for (const argv of [
      ['run', 'x', '--json', '--temperature', '101'],
      ['run', '', '--json']
    ]) {
      const cli = new CliHarness()
      assert.equal(await cli.run(...argv), 2)
      const { error } = JSON.parse(cli.stdout.text) as { error: { code: string; message: string } }
      assert.equal(error.code, 'ERR_SKEIN_INVALID_ARGUMENT')
      assert.equal(cli.stderr.text, `skein: ${error.message}\n`)
    }
  })

  it('fails with the line and the code of what the SDK throws', async () => {
    const failure = new SkeinError('ERR_SKEIN_CHECKPOINT_MISSING_FILE', 'm has no config.json', { cause: new Error('no such file') })
    const cli = new CliHarness({ connectFailure: failure }, { files: ['privacy-notice-shown'] })
    assert.equal(await cli.run('run', 'Hello', '--json'), 1)
    assert.equal(cli.stderr.text, 'skein: m has no config.json: no such file\n')
    assert.deepEqual(JSON.parse(cli.stdout.text), {
      error: { code: 'ERR_SKEIN_CHECKPOINT_MISSING_FILE', message: 'm has no config.json: no such file' }
    })
    const usage = new CliHarness({ connectFailure: new InvalidArgumentError('no such option') })
    assert.equal(await usage.run('run', 'Hello'), 2)
  })

  it('fails after the text that came, on a line of its own', async () => {
    const cli = new CliHarness({ pieces: ['half'], failure: new SkeinError('ERR_SKEIN_NO_COVERAGE', 'nobody serves 3:6') })
    assert.equal(await cli.run('run', 'Hello'), 1)
    assert.equal(cli.stdout.text, 'half\n')
    assert.match(cli.stderr.text, /skein: nobody serves 3:6\n$/)
    assert.equal(cli.swarm.calls.closedClients, 1)
  })

  it('keeps what came before an interrupt, frees the caches and exits with 130', async () => {
    for (const json of [false, true]) {
      const cli: CliHarness = new CliHarness({
        pieces: ['half', 'never'],
        beforePiece: async (index) => {
          if (index === 0) return
          cli.interrupt()
          await never()
        }
      })
      assert.equal(await cli.run('run', 'Hello', ...(json ? ['--json'] : [])), 130)
      assert.match(cli.stderr.text, /skein: interrupted\n$/)
      if (json) assert.equal((JSON.parse(cli.stdout.text) as { finishReason: string }).finishReason, 'cancelled')
      else assert.equal(cli.stdout.text, 'half\n')
      assert.equal(cli.swarm.calls.closedClients, 1)
      assert.deepEqual(cli.exits, [])
    }
  })

  it('gives up connecting, or reading a prompt, at an interrupt', async () => {
    const connecting = new CliHarness({ connectHangs: true })
    const exit = connecting.run('run', 'Hello', '--json')
    while (connecting.swarm.calls.connects.length === 0) await Promise.resolve()
    connecting.interrupt()
    assert.equal(await exit, 130)
    assert.deepEqual(JSON.parse(connecting.stdout.text), { error: { code: 'ERR_SKEIN_ABORTED', message: 'interrupted' } })
    const reading = new CliHarness()
    const second = reading.run('run', '-')
    assert.equal(reading.listening, true)
    reading.interrupt()
    assert.equal(await second, 130)
  })

  it('ends at once at a second interrupt', async () => {
    const cli = new CliHarness({
      beforePiece: (index) => {
        if (index !== 0) return
        cli.interrupt()
        cli.interrupt()
      }
    })
    await cli.run('run', 'Hello')
    assert.deepEqual(cli.exits, [130])
  })

  it('stops without a word when its reader has gone', async () => {
    const cli = new CliHarness(
      { pieces: ['a', 'b', 'c'], beforePiece: (index) => (index === 2 ? never() : undefined) },
      { files: ['privacy-notice-shown'] }
    )
    cli.stdout.failWith = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
    assert.equal(await cli.run('run', 'Hello'), 0)
    assert.equal(cli.stderr.text, '')
    assert.equal(cli.swarm.calls.closedClients, 1)
  })

  it('fails when its output cannot be written', async () => {
    const cli = new CliHarness({ pieces: ['a', 'b'], beforePiece: (index) => (index === 1 ? never() : undefined) })
    cli.stdout.failWith = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    assert.equal(await cli.run('run', 'Hello'), 1)
    assert.match(cli.stderr.text, /skein: no space left on device\n$/)
  })

  it('warns once that volunteers can read prompts', async () => {
    const cli = new CliHarness()
    await cli.run('run', 'Hello')
    assert.match(cli.stderr.text, /^note: the volunteers of a public swarm can read your prompts/)
    assert.equal(cli.stderr.text.split('\n').length, 2)
    await cli.run('run', 'Hello')
    assert.equal(cli.stderr.text.split('\n').length, 2)
  })

  it('shows progress and recoveries on a terminal, and nothing of them elsewhere', async () => {
    const events = [
      { type: 'prefill-progress', doneTokens: 3, totalTokens: 7, atMs: 1 },
      { type: 'recovery-started', reason: 'channel-closed', lost: fakeChain.slice(1), message: 'the channel broke', atMs: 1 },
      { type: 'recovery-started', reason: 'no-progress', lost: [], message: 'nothing came', atMs: 1 },
      { type: 'waiting-for-coverage', uncoveredBlocks: [{ start: 3, end: 8 }], atMs: 2 },
      { type: 'recovery-finished', chain: fakeChain, tookMs: 12, atMs: 3 }
    ] as const
    const terminal = new CliHarness({ events }, { terminal: true, env: { NO_COLOR: '1' } })
    await terminal.run('run', 'Hello')
    assert.ok(terminal.stderr.text.includes('\r\u001B[Kdialling the first contact\r\u001B[K'))
    assert.match(terminal.stderr.text, /reading the prompt: 3 of 7 tokens/)
    assert.match(terminal.stderr.text, /lost …BBBBBBBB 3:8 \(connection closed\); looking for a replacement\n/)
    assert.match(terminal.stderr.text, /a link between nodes broke \(no progress\); making it anew\n/)
    assert.match(terminal.stderr.text, /nobody serves blocks 3:8; waiting\n/)
    assert.match(terminal.stderr.text, /goes on over …AAAAAAAA 0:3 -> …BBBBBBBB 3:8 after 12 ms\n/)
    const piped = new CliHarness({ events }, { files: ['privacy-notice-shown'] })
    await piped.run('run', 'Hello')
    assert.equal(piped.stderr.text, '')
  })

  it('colours only a terminal, and not where NO_COLOR is set', async () => {
    const coloured = new CliHarness({}, { terminal: true, env: {} })
    await coloured.run('run', 'Hello')
    assert.ok(coloured.stderr.text.includes('\u001B[33mnote:'))
    const plain = new CliHarness({}, { terminal: true, env: { NO_COLOR: '1' } })
    await plain.run('run', 'Hello')
    assert.ok(!plain.stderr.text.includes('\u001B[3'))
  })

  it('keeps escape sequences of the model from a terminal, and changes nothing in a pipe', async () => {
    const pieces = ['a\u001B[31mb\tc\n']
    const terminal = new CliHarness({ pieces }, { terminal: true })
    await terminal.run('run', 'Hello')
    assert.equal(terminal.stdout.text, 'a\uFFFD[31mb\tc\n')
    const piped = new CliHarness({ pieces })
    await piped.run('run', 'Hello')
    assert.equal(piped.stdout.text, pieces[0])
  })

  it('prints help and version on standard output', async () => {
    const help = new CliHarness()
    assert.equal(await help.runRaw('run', '--help'), 0)
    assert.match(help.stdout.text, /--temperature <n> [^]*?else 0;[^]*?SKEIN_TEMPERATURE/)
    const version = new CliHarness()
    assert.equal(await version.runRaw('--version'), 0)
    assert.equal(version.stdout.text, '1.2.3\n')
    const nothing = new CliHarness()
    assert.equal(await nothing.runRaw(), 2)
  })
})
