import type { BlockRange, WeightDtype } from '@skein/protocol'
import { Command, Option } from 'commander'
import { collect, integerParser, parseBlocks, parsePath } from './parsers.ts'

/** What `skein-node` was asked to do, after parsing; defaults are filled in. */
export interface NodeOptions {
  /** Folder of the checkpoint. */
  readonly model: string
  /** Undefined for all blocks of the model. */
  readonly blocks?: BlockRange
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly bootstrap: readonly string[]
  readonly identity?: string
  readonly dataDir?: string
  readonly cacheDir?: string
  readonly dtype: WeightDtype
  readonly maxKvTokens: number
  readonly maxHistoryMb: number
  readonly maxSessions: number
  readonly threads: number
  readonly lan?: boolean
  readonly dht: 'client' | 'server' | 'off'
  /** JSON text of a link profile, or the file that holds it. */
  readonly link?: string
  readonly statusPort?: number
  readonly drainSeconds: number
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug' | 'trace'
  readonly json: boolean
}

const defaultListen = '/ip4/0.0.0.0/tcp/4774'

const examples = `
Examples:
  $ skein-node --model ./models/skein-tiny
      host all blocks of a small model, and be the first node of its swarm
  $ skein-node --model ./models/llama-1b --blocks 0:8 --dtype q8 --bootstrap /ip4/203.0.113.7/tcp/4774/p2p/12D3KooW...
      join a swarm with eight blocks in 8-bit weights
  $ skein-node --model ./models/skein-tiny --blocks 3:6 --listen /ip4/127.0.0.1/tcp/0 --lan --json
      a node for tests on one machine, with a log for programs

Signals: SIGINT and SIGTERM stop the node cleanly; a second one ends it at once. SIGUSR2 logs its state.
Exit codes: 0 stopped cleanly, 1 failed, 2 bad usage, 130 ended at once by a second signal.`

function option(flags: string, description: string, variable: string): Option {
  return new Option(flags, description).env(variable)
}

function pathOption(flags: string, description: string, variable: string): Option {
  return option(flags, description, variable).argParser(parsePath)
}

/** The command line of `skein-node`; `action` gets the parsed options. */
export function nodeCommand(version: string, action: (options: NodeOptions) => Promise<void>): Command {
  return new Command('skein-node')
    .description('Hosts a span of a model and serves it to a skein swarm.')
    .version(version)
    .optionsGroup('What to host:')
    .addOption(pathOption('--model <dir>', 'folder of a Hugging Face checkpoint', 'SKEIN_MODEL').makeOptionMandatory())
    .addOption(
      option('--blocks <start:end>', 'blocks to host, END exclusive', 'SKEIN_BLOCKS').argParser(parseBlocks).default(undefined, 'all')
    )
    .addOption(option('--dtype <dtype>', 'weights in memory', 'SKEIN_DTYPE').choices(['f32', 'q8']).default('f32'))
    .addOption(
      pathOption('--cache-dir <dir>', 'where converted weights are kept', 'SKEIN_CACHE_DIR').default(undefined, 'below your cache folder')
    )
    .optionsGroup('How much to give:')
    .addOption(
      option('--max-kv-tokens <n>', 'rows of KV cache, of all sessions', 'SKEIN_MAX_KV_TOKENS')
        .argParser(integerParser(16, 2 ** 26))
        .default(16_384)
    )
    .addOption(
      option('--max-history-mb <n>', 'memory for sent activations, of all sessions, in MiB', 'SKEIN_MAX_HISTORY_MB')
        .argParser(integerParser(1, 2 ** 20))
        .default(512)
    )
    .addOption(option('--max-sessions <n>', 'sessions at once', 'SKEIN_MAX_SESSIONS').argParser(integerParser(1, 10_000)).default(64))
    .addOption(
      option('--threads <n>', 'threads that compute', 'SKEIN_THREADS')
        .argParser(integerParser(1, 1024))
        .default(undefined, 'half of the processors')
    )
    .optionsGroup('Network:')
    .addOption(option('--listen <addr...>', 'multiaddrs to listen on', 'SKEIN_LISTEN').argParser(collect).default(undefined, defaultListen))
    .addOption(
      option('--announce <addr...>', 'multiaddrs to tell others instead of those listened on, without /p2p/', 'SKEIN_ANNOUNCE').argParser(
        collect
      )
    )
    .addOption(
      option('--bootstrap <addr...>', 'multiaddrs of nodes already in the swarm, with /p2p/', 'SKEIN_BOOTSTRAP').argParser(collect)
    )
    .addOption(
      pathOption('--identity <file>', 'key of this node; made when it is not there', 'SKEIN_IDENTITY').default(
        undefined,
        'node.key in --data-dir'
      )
    )
    .addOption(
      pathOption('--data-dir <dir>', 'where the node keeps its own small files', 'SKEIN_DATA_DIR').default(
        undefined,
        'below your data folder'
      )
    )
    .addOption(
      option('--lan', 'use private and loopback addresses of other nodes', 'SKEIN_LAN').default(
        undefined,
        'when all of --bootstrap or --listen are such'
      )
    )
    .addOption(option('--dht <mode>', 'part in the DHT', 'SKEIN_DHT').choices(['client', 'server', 'off']).default('server'))
    .addOption(
      option('--link <profile>', 'make the network look like another one, for tests: delays, bandwidth, cuts; JSON or a file', 'SKEIN_LINK')
    )
    .optionsGroup('Running:')
    .addOption(
      option('--status-port <port>', 'serve GET /status and /healthz on 127.0.0.1; 0 picks a port', 'SKEIN_STATUS_PORT').argParser(
        integerParser(0, 65_535)
      )
    )
    .addOption(
      option('--drain-seconds <n>', 'how long open sessions may go on after a stop was asked for', 'SKEIN_DRAIN_SECONDS')
        .argParser(integerParser(0, 86_400))
        .default(2)
    )
    .addOption(
      option('--log-level <level>', 'how much to log', 'SKEIN_LOG_LEVEL')
        .choices(['error', 'warn', 'info', 'debug', 'trace'])
        .default('info')
    )
    .addOption(option('--json', 'log one JSON object a line on standard output', 'SKEIN_JSON').default(false))
    .addHelpText('after', examples)
    .action((options: Partial<NodeOptions> & Omit<NodeOptions, 'listen' | 'announce' | 'bootstrap' | 'threads'>) =>
      action({
        ...options,
        listen: options.listen ?? [defaultListen],
        announce: options.announce ?? [],
        bootstrap: options.bootstrap ?? [],
        threads: options.threads ?? 0
      })
    )
}
