import { exitCodes, runCommand, wantsJson } from '@skein/node'
import { Command, Option } from 'commander'
import { chat, type ChatFlags } from './chat.ts'
import type { CliComponents } from './cli-io.ts'
import {
  addConversationFlags,
  addGenerationFlags,
  addOutputFlags,
  addSwarmFlags,
  hideFlags,
  type OutputFlags,
  type SwarmFlags
} from './flags.ts'
import { runPrompt, type RunFlags } from './run.ts'
import { showStatus } from './status.ts'

/** What the commands do, given their flags; each resolves with the exit code. */
export interface SkeinActions {
  run(prompt: string, flags: RunFlags): Promise<void>
  chat(flags: ChatFlags): Promise<void>
  status(flags: SwarmFlags & OutputFlags): Promise<void>
}

const setup = `
Examples:
  $ export SKEIN_MODEL=./models/skein-tiny SKEIN_BOOTSTRAP=/ip4/192.0.2.1/tcp/4774/p2p/12D3KooW...`

const examples = {
  all: `${setup}
  $ skein run "Tell me a story about an owl."
  $ skein chat
  $ skein status
More of them: skein run --help, skein chat --help, skein status --help.

Every flag has an environment variable. Text goes to standard output, everything else to standard error.`,
  run: `${setup}
  $ skein run "Tell me a story about an owl."
  $ cat letter.txt | skein run - --max-tokens 400 --json
  $ skein run "Once upon a time" --raw --temperature 0.8 --seed 7 --stats`,
  chat: `${setup}
  $ skein chat --temperature 0.7
  $ skein chat --system "Answer in one sentence."
  $ printf 'Hello!\\nWhat is a skein?\\n' | skein chat --json
/help in the chat lists what it knows. Ctrl-C stops an answer, Ctrl-D leaves.`,
  status: `${setup}
  $ skein status
  $ skein status --json | jq .uncoveredBlocks`
}

const exitCodeHelp = '\nExit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.'

/** The command line of `skein`, as data. */
export function skeinCommand(version: string, actions: SkeinActions): Command {
  const program = new Command('skein').description('Runs a language model on a swarm of volunteers.').version(version)
  const run = program
    .command('run')
    .description('Answers one prompt.')
    .argument('<prompt>', "the prompt; '-' reads standard input")
    .addHelpText('after', examples.run)
    .action((prompt: string, flags: RunFlags) => actions.run(prompt, flags))
  addGenerationFlags(run).addOption(
    new Option('--raw', 'send the text as it is, without the chat template').env('SKEIN_RAW').default(false)
  )
  addOutputFlags(addSwarmFlags(run), 'print one JSON object on standard output')

  const talk = program
    .command('chat')
    .description('Answers in a conversation, one line a turn.')
    .addHelpText('after', examples.chat)
    .action((flags: ChatFlags) => actions.chat(flags))
  addOutputFlags(addSwarmFlags(addConversationFlags(addGenerationFlags(talk))), 'print one JSON object a turn on standard output')

  const status = program
    .command('status')
    .description('Shows who hosts which blocks, and which blocks nobody serves.')
    .addHelpText('after', examples.status)
    .action((flags: SwarmFlags & OutputFlags) => actions.status(flags))
  addOutputFlags(addSwarmFlags(addGenerationFlags(status, true)), 'print one JSON object on standard output')
  // No session is opened, no prompt is sent, and nothing is kept.
  hideFlags(status, ['--transport', '--encoding', '--exact', '--head-dtype', '--threads', '--stats', '--data-dir'])
  return program.addHelpText('after', examples.all).addHelpText('afterAll', exitCodeHelp)
}

/**
 * Runs `skein` with these arguments (without the program's name).
 *
 * @returns the exit code
 */
export async function runSkein(argv: readonly string[], components: CliComponents): Promise<number> {
  // A closed standard error is no reason to fail, and there is nowhere to say so; standard output is watched by TextOutput.
  for (const stream of [components.stderr, components.stdout]) stream.on('error', () => undefined)
  let exitCode: number = exitCodes.done
  const keep = async (code: Promise<number>): Promise<void> => {
    exitCode = await code
  }
  const program = skeinCommand(components.version, {
    run: (prompt, flags) => keep(runPrompt(prompt, flags, components)),
    chat: (flags) => keep(chat(flags, components)),
    status: (flags) => keep(showStatus(flags, components))
  })
  const failed = await runCommand(program, ['node', 'skein', ...argv], {
    stdout: components.stdout,
    stderr: components.stderr,
    onFailure: ({ code, message }) => {
      if (wantsJson(argv, components.env)) components.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
    }
  })
  return failed === exitCodes.done ? exitCode : failed
}
