/**
 * The flags that the commands share, as data: help, documentation and environment variables come from here.
 *
 * @packageDocumentation
 */
import { collect, integerParser, parsePath } from '@skein/node'
import { describeError, type TensorEncoding, parsePeerId } from '@skein/protocol'
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  connectChoices,
  connectDefaults,
  conversationTokens,
  generateDefaults,
  generateLimits,
  type ConnectOptions,
  type GenerateOptions,
  type Transport
} from '../client/types.ts'
import { resolveSampling, samplingDefaults, samplingLimits, type SamplingOptions } from '../text/sampling/options.ts'

/** Which swarm, and how to use it. */
export interface SwarmFlags {
  readonly model: string
  readonly bootstrap: readonly string[]
  readonly transport: Transport
  readonly encoding: Exclude<TensorEncoding, 'raw'>
  readonly exact: boolean
  readonly threads: number
  readonly headDtype: 'f32' | 'q8'
  readonly lan?: boolean
  readonly link?: string
  readonly cacheDir?: string
  readonly dataDir?: string
}

/** What to generate. What is undefined was not asked for, so that the model's own defaults count. */
export interface GenerationFlags extends SamplingOptions {
  readonly system?: string
  readonly maxTokens?: number
  readonly stop?: readonly string[]
  /** How many of the most likely tokens to name beside each; 0 for the chosen ones alone. */
  readonly logprobs?: number
}

export interface OutputFlags {
  readonly stats: boolean
  readonly json: boolean
}

function option(flags: string, description: string, variable: string): Option {
  return new Option(flags, description).env(variable)
}

/** Checks by the rules of the SDK, so that they are written once. */
function samplingParser(name: Exclude<keyof SamplingOptions, 'logitBias'>): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    checkSampling({ [name]: value })
    return value
  }
}

function checkSampling(options: SamplingOptions): void {
  try {
    resolveSampling(options)
  } catch (error) {
    throw new InvalidArgumentError(describeError(error).replace(/^.*: expected/, 'expected') + '.')
  }
}

function samplingOption(flags: string, name: Exclude<keyof SamplingOptions, 'logitBias'>, description: string): Option {
  const variable = `SKEIN_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
  const fallback = name === 'seed' ? 'a fresh one' : `the model's own, else ${samplingDefaults[name]}`
  return option(flags, description, variable).argParser(samplingParser(name)).default(undefined, fallback)
}

/** Adds `ID=VALUE` to what earlier uses of the flag gave; commas separate several. */
function collectBias(text: string, earlier: Readonly<Record<number, number>> | undefined): Record<number, number> {
  const bias: Record<number, number> = { ...earlier }
  for (const item of collect(text, undefined)) {
    const [, id, value] = /^(\d+)=(\S+)$/.exec(item) ?? []
    if (id === undefined || value === undefined) throw new InvalidArgumentError('expected a token id and a number, such as 42=-100.')
    bias[Number(id)] = Number(value)
  }
  checkSampling({ logitBias: bias })
  return bias
}

function parseBootstrap(text: string, earlier: readonly string[] | undefined): string[] {
  const all = collect(text, earlier)
  for (const address of all) {
    const peer = /^\/.+\/p2p\/([^/]+)$/.exec(address)?.[1]
    if (peer === undefined) {
      throw new InvalidArgumentError('expected a multiaddr with a peer id, such as /ip4/192.0.2.1/tcp/4774/p2p/12D3KooW...')
    }
    try {
      parsePeerId(peer)
    } catch (error) {
      throw new InvalidArgumentError(`${describeError(error)}.`)
    }
  }
  if (all.length === 0) throw new InvalidArgumentError('expected at least one multiaddr.')
  return all
}

/** Not split at commas, since a stop string may hold one. */
function collectStops(text: string, earlier: readonly string[] | undefined): string[] {
  const { maxStopStrings, maxStopChars } = generateLimits
  const all = [...(earlier ?? []), text]
  if (text === '' || text.length > maxStopChars) throw new InvalidArgumentError(`expected 1 to ${maxStopChars} characters.`)
  if (all.length > maxStopStrings) throw new InvalidArgumentError(`there can be at most ${maxStopStrings} of them.`)
  return all
}

/** Adds the flags that say which swarm to use and how. */
export function addSwarmFlags(command: Command): Command {
  return command
    .optionsGroup('Which swarm:')
    .addOption(
      option('--model <dir>', 'folder of the checkpoint: its embedding, head and tokenizer are used', 'SKEIN_MODEL')
        .argParser(parsePath)
        .makeOptionMandatory()
    )
    .addOption(
      option('--bootstrap <addr>', 'multiaddr of a node of the swarm, with /p2p/; may be repeated', 'SKEIN_BOOTSTRAP')
        .argParser(parseBootstrap)
        .makeOptionMandatory()
    )
    .addOption(
      option('--lan', 'use private and loopback addresses of nodes', 'SKEIN_LAN').default(undefined, 'when all of --bootstrap are such')
    )
    .addOption(
      option('--cache-dir <dir>', 'where converted weights are kept', 'SKEIN_CACHE_DIR')
        .argParser(parsePath)
        .default(undefined, 'below your cache folder')
    )
    .addOption(
      option('--data-dir <dir>', 'where the command keeps its own small files', 'SKEIN_DATA_DIR')
        .argParser(parsePath)
        .default(undefined, 'below your data folder')
    )
    .optionsGroup('How activations travel:')
    .addOption(
      option('--link <profile>', 'make the network look like another one, for tests: delays, bandwidth, cuts; JSON or a file', 'SKEIN_LINK')
    )
    .addOption(
      option('--transport <kind>', 'from node to node (ring), or by way of this machine (star)', 'SKEIN_TRANSPORT')
        .choices(connectChoices.transport)
        .default(connectDefaults.transport)
    )
    .addOption(
      option('--encoding <dtype>', 'how activations are encoded', 'SKEIN_ENCODING')
        .choices(connectChoices.encoding)
        .default(connectDefaults.encoding)
    )
    .addOption(
      option('--exact', 'compute so that a recovery restores every bit; decoding is slower', 'SKEIN_EXACT').default(connectDefaults.exact)
    )
    .optionsGroup("What this machine computes, the model's head:")
    .addOption(
      option('--head-dtype <dtype>', "the head's weights in memory; with q8 a third of it, and logits differ slightly", 'SKEIN_HEAD_DTYPE')
        .choices(connectChoices.headDtype)
        .default(connectDefaults.headDtype)
    )
    .addOption(
      option('--threads <n>', 'threads that compute it', 'SKEIN_THREADS').argParser(integerParser(1, 1024)).default(connectDefaults.threads)
    )
}

const biasDescription = `add a number up to ${samplingLimits.maxBias} to the logit of a token; ${samplingLimits.forbidBias} or less forbids it; may be repeated`

function generationOptions(): Option[] {
  return [
    option('--system <text>', 'instructions that come before the first message', 'SKEIN_SYSTEM'),
    option('--max-tokens <n>', 'the most tokens of an answer', 'SKEIN_MAX_TOKENS')
      .argParser(integerParser(1))
      .default(undefined, String(generateDefaults.maxTokens)),
    option('--stop <text>', 'end the answer before this text; may be repeated', 'SKEIN_STOP').argParser(collectStops),
    samplingOption('--temperature <n>', 'temperature', 'how freely to draw tokens; 0 always takes the most likely one'),
    samplingOption('--top-p <n>', 'topP', 'draw from the most likely tokens that reach this probability together'),
    samplingOption('--top-k <n>', 'topK', 'draw from this many most likely tokens; 0 for all'),
    samplingOption('--min-p <n>', 'minP', 'draw only tokens this likely, relative to the most likely one'),
    samplingOption('--repetition-penalty <n>', 'repetitionPenalty', 'make tokens of the prompt and the answer less likely; 1 for none'),
    samplingOption('--presence-penalty <n>', 'presencePenalty', 'take this from the logits of tokens that are in the answer'),
    samplingOption('--frequency-penalty <n>', 'frequencyPenalty', 'the same, once for each time that a token is in the answer'),
    option('--logit-bias <id=value>', biasDescription, 'SKEIN_LOGIT_BIAS').argParser(collectBias),
    samplingOption('--seed <n>', 'seed', 'makes the draw repeatable'),
    option('--logprobs <n>', 'give log-probabilities, with this many of the most likely tokens; 0 for the chosen ones', 'SKEIN_LOGPROBS')
      .argParser(integerParser(0, samplingLimits.maxTopLogprobs))
      .default(undefined, 'none')
  ]
}

/** Adds the flags of answers. `hidden`: they are taken and have no effect, so that one set of flags serves all commands. */
export function addGenerationFlags(command: Command, hidden = false): Command {
  command.optionsGroup('What to answer:')
  for (const item of generationOptions()) command.addOption(item.hideHelp(hidden))
  return command
}

/** Adds the flags of a conversation. */
export function addConversationFlags(command: Command): Command {
  return command.addOption(
    option('--max-context-tokens <n>', 'room for the whole conversation, which every node sets aside', 'SKEIN_MAX_CONTEXT_TOKENS')
      .argParser(integerParser(2))
      .default(undefined, `${conversationTokens}, the context of the model, or what the nodes have left`)
  )
}

export function addOutputFlags(command: Command, json: string): Command {
  return command
    .optionsGroup('Output:')
    .addOption(option('--stats', 'print the chain, the times and the recoveries on standard error', 'SKEIN_STATS').default(false))
    .addOption(option('--json', json, 'SKEIN_JSON').default(false))
}

/** These flags are taken and have no effect on a command, so that one set of variables and flags serves all: its help leaves them out. */
export function hideFlags(command: Command, flags: readonly string[]): Command {
  for (const item of command.options) if (flags.includes(item.long ?? '')) item.hideHelp()
  return command
}

/** The flags as the SDK takes them. */
export function toConnectOptions(flags: SwarmFlags): ConnectOptions {
  const { model, bootstrap, transport, encoding, exact, threads, headDtype, lan, link, cacheDir } = flags
  return {
    ...{ model, bootstrap, transport, encoding, exact, threads, headDtype },
    ...(lan === undefined ? {} : { lan }),
    ...(link === undefined ? {} : { link }),
    ...(cacheDir === undefined ? {} : { cacheDir })
  }
}

/** The flags as the SDK takes them; what was not asked for is left out. */
export function toGenerateOptions(flags: GenerationFlags): GenerateOptions {
  const { temperature, topP, topK, minP, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, seed } = flags
  const { maxTokens, stop, logprobs } = flags
  const wanted: GenerateOptions = {
    ...{ temperature, topP, topK, minP, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, seed, maxTokens, stop },
    logprobs: logprobs === undefined ? undefined : logprobs === 0 ? true : logprobs
  }
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined))
}
