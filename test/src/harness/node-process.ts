import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeLoad, PeerId } from '@skein/protocol'
import { root } from '../tidy/repository.ts'
import { Program, type ProgramExit } from './program.ts'
import { newFolder, sharedCache, tinyModel } from './work-folder.ts'

const script = join(root, 'node', 'dist', 'bin', 'skein-node.js')

export interface NodeProcessOptions {
  /** `START:END`. @default all blocks */
  readonly blocks?: string
  /** @default skein-tiny */
  readonly model?: string
  readonly bootstrap?: readonly string[]
  /** @default a free port of loopback */
  readonly listen?: string
  /** Where the node keeps its key and its records: give the folder of an earlier node to start that node again. @default a new one */
  readonly folder?: string
  readonly cacheDir?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly wrapper?: readonly string[]
}

export interface NodeStatus {
  readonly state: string
  readonly load: NodeLoad
  readonly kvTokens: number
  /** Since the start. */
  readonly done: { readonly turns: number; readonly rows: number }
}

/** A line of the log with `"event":"ready"`. */
export interface ReadyLine {
  readonly peerId: PeerId
  readonly addresses: readonly string[]
  readonly model: string
  readonly start: number
  readonly end: number
  readonly statusUrl: string
  readonly numerics: { readonly weights: 'f32' | 'q8'; readonly kernels: string }
}

/** A `skein-node` that serves on loopback. */
export interface NodeProcess {
  readonly program: Program
  readonly ready: ReadyLine
  readonly peerId: PeerId
  readonly addresses: readonly string[]
  readonly folder: string
  readonly exited: Promise<ProgramExit>
  /** Whether the test has sent it a signal. */
  asked(): boolean
  logs(): string
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, and waits for the end. */
  stop(): Promise<ProgramExit>
  /** SIGKILL, and waits for the end. */
  crash(): Promise<ProgramExit>
  /** GET /status. */
  status(): Promise<NodeStatus>
}

/** Starts a `skein-node` without waiting for anything. */
export function launchNode(options: NodeProcessOptions): { readonly program: Program; readonly folder: string } {
  const { model = tinyModel, blocks, bootstrap = [], folder = newFolder('node'), cacheDir = sharedCache() } = options
  const listen = options.listen ?? '/ip4/127.0.0.1/tcp/0'
  mkdirSync(folder, { recursive: true })
  const args = [
    ...['--model', model, '--listen', listen, '--lan', '--json', '--threads', '1', '--status-port', '0'],
    ...['--identity', join(folder, 'node.key'), '--data-dir', folder, '--cache-dir', cacheDir],
    ...(blocks === undefined ? [] : ['--blocks', blocks]),
    ...bootstrap.flatMap((address) => ['--bootstrap', address]),
    ...(options.args ?? [])
  ]
  const { env, wrapper } = options
  const program = new Program(script, {
    args,
    tethered: true,
    ...(env === undefined ? {} : { env }),
    ...(wrapper === undefined ? {} : { wrapper })
  })
  return { program, folder }
}

/** Starts a `skein-node` and waits until it serves. */
export async function spawnNode(options: NodeProcessOptions = {}): Promise<NodeProcess> {
  const { program, folder } = launchNode(options)
  try {
    const ready = await waitForEvent(program, 'ready')
    return nodeProcess(program, folder, ready as unknown as ReadyLine)
  } catch (error) {
    program.destroy()
    throw error
  }
}

function nodeProcess(program: Program, folder: string, ready: ReadyLine): NodeProcess {
  let asked = false
  const kill = (signal: NodeJS.Signals): void => {
    asked = true
    program.kill(signal)
  }
  const end = (signal: NodeJS.Signals): Promise<ProgramExit> => {
    kill(signal)
    return program.exited
  }
  return {
    program,
    ready,
    peerId: ready.peerId,
    addresses: ready.addresses,
    folder,
    exited: program.exited,
    asked: () => asked,
    logs: () => program.logs(),
    kill,
    stop: () => end('SIGTERM'),
    crash: () => end('SIGKILL'),
    status: async () => (await (await fetch(ready.statusUrl)).json()) as NodeStatus
  }
}

/** The first line of the JSON log with that event. */
export function waitForEvent(program: Program, event: string): Promise<Record<string, unknown>> {
  return program.waitFor(`the event ${event}`, () => logLines(program).find((line) => line['event'] === event))
}

/** The lines of a JSON log that are out. */
function logLines(program: Program): Record<string, unknown>[] {
  const text = program.stdout()
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)
}
