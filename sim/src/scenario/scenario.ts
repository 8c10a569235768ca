/**
 * A scenario: what world is simulated, what happens in it, and what is expected of it. This is the shape of a validated
 * one, with every default filled in; `schema.ts` reads it from YAML. Times are virtual milliseconds from the start.
 *
 * @packageDocumentation
 */

/** A distribution of numbers, drawn from a component's own random generator by series or tables, never by `Math` transcendentals. */
export type Distribution =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'uniform'; readonly min: number; readonly max: number }
  | { readonly kind: 'exponential'; readonly mean: number }
  /** `cv` is the coefficient of variation, the standard deviation over the mean: 1 is exponential, more is bursts and long gaps. */
  | { readonly kind: 'gamma'; readonly mean: number; readonly cv: number }
  | { readonly kind: 'weibull'; readonly shape: number; readonly scale: number }
  | { readonly kind: 'lognormal'; readonly median: number; readonly sigma: number }
  /** Drawn uniformly from values, such as those of a trace. */
  | { readonly kind: 'empirical'; readonly values: readonly number[] }

/** What a model costs: sizes that compute, memory and the wire are charged for. Presets are in `model-presets.ts`. */
export interface ScenarioModel {
  readonly name: string
  readonly blocks: number
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly contextTokens: number
  /** In the dtype that the nodes hold. */
  readonly weightBytesPerBlock: number
  readonly kvBytesPerTokenPerBlock: number
  /** Floating-point operations for one token through one block, attention over the past not counted. */
  readonly flopsPerTokenPerBlock: number
  /** Bytes of one row of activations on a link. */
  readonly rowBytes: number
}

/** A kind of machine. Presets with their sources are in `device-presets.ts`. */
export interface ScenarioDevice {
  readonly name: string
  readonly memoryBandwidthBytesPerSecond: number
  readonly flopsPerSecond: number
  /** Fixed cost of a turn through one block: launching kernels, copying, Python where there is any. */
  readonly overheadUsPerBlock: number
  /** Fixed cost of a turn, once: serialization, queueing, waking up. */
  readonly overheadUsPerTurn: number
  /**
   * Cost of a turn for each row of the past, once: software that copies a session's history at every step. @default 0
   */
  readonly overheadNsPerPastRow?: number
  /** What a message costs the process that it comes to: sockets, encryption, codecs, waking up. One after another. @default 0 */
  readonly overheadUsPerMessage?: number
  /** What it costs besides for each byte of rows: codecs, encryption, copies. @default 0 */
  readonly overheadNsPerMessageByte?: number
  /** What it costs besides to open a session on a stage, at both ends of its control channel: all that is set up for it. @default 0 */
  readonly overheadUsPerSession?: number
  /** What it costs besides to open a channel on which activations go, at both ends: its first message included. @default 0 */
  readonly overheadUsPerLink?: number
  /** What it costs besides to do anything when the machine has done nothing for 2 ms: cores are asleep, caches cold. @default 0 */
  readonly overheadUsAfterPause?: number
  /** Share of the peak rates that is reached. */
  readonly efficiency: number
  /** Multiplies each turn's time. */
  readonly noise: Distribution
}

/** `open`: can be dialled. `cone`, `symmetric`: through a relay, and differ only where the network has hole punching: see `findRoute`. */
export type NatClass = 'open' | 'cone' | 'symmetric'

/** How far apart two regions are. */
export type LatencyModel =
  /** One way, between any two peers. */
  | { readonly kind: 'constant'; readonly oneWayMs: number }
  /** Rows and columns in the order of `regions`; one way. Of a distribution each pair of peers draws one delay for the whole run. */
  | { readonly kind: 'matrix'; readonly oneWayMs: ReadonlyArray<ReadonlyArray<number | Distribution>> }
  /** Great-circle distance at two thirds of the speed of light, times a detour factor, plus the access links. */
  | { readonly kind: 'geographic'; readonly detour: number; readonly accessMs: number }
  /** A shipped table of measured round trips, by name. */
  | { readonly kind: 'measured'; readonly dataSet: string }

export interface ScenarioNetwork {
  readonly latency: LatencyModel
  /** Added to each one-way delay. */
  readonly jitterMs: Distribution
  /** Share of packets lost; a loss costs a retransmission, as TCP does it. */
  readonly lossShare: number
  /** Round trips of a new connection: tcp, noise, yamux and identify. */
  readonly connectRoundTrips: number
  /** Whether peers leave the relay where they can (libp2p's DCUtR). What skein runs on does not: a relayed connection stays one. */
  readonly holePunching: boolean
}

export interface ScenarioRegion {
  readonly name: string
  readonly latitude: number
  readonly longitude: number
}

/** A machine that peers share: what they compute at one time competes for its cores. */
export interface ScenarioMachine {
  readonly name: string
  readonly cores: number
}

/** Nodes of one kind. `span: 'auto'` spreads the group's spans of `blocksPerNode` evenly over the model. */
export interface NodeGroup {
  readonly name: string
  readonly count: number
  /** Regions that they are spread over in turn. */
  readonly regions: readonly string[]
  readonly device: ScenarioDevice
  readonly upMbps: Distribution
  readonly downMbps: Distribution
  readonly nat: NatClass
  /** Whether somebody runs a libp2p relay on its host; only an open one can. @default false, since `skein-node` runs none */
  readonly relay?: boolean
  readonly span: 'auto' | { readonly start: number; readonly end: number }
  readonly blocksPerNode: number
  readonly kvTokens: number
  readonly historyBytes: number
  readonly maxSessions: number
  /** The name of the machine that all of them share. @default each has one of its own, with cores enough */
  readonly machine?: string
  /** When nodes come and go; undefined when they never leave. */
  readonly churn?: Churn
}

/** When the nodes of a group come and go. With `graceful` they drain before they leave; else they just vanish. */
export type Churn =
  /** Stays and absences one after another, each drawn anew (an alternating renewal process). All are there at the start. */
  | { readonly kind: 'renewal'; readonly upMs: Distribution; readonly downMs: Distribution; readonly graceful: boolean }
  | DiurnalChurn
  /** Of each node, in the order of their numbers in the group: the times from which and until which it is there, in order. */
  | {
      readonly kind: 'trace'
      readonly sessions: ReadonlyArray<ReadonlyArray<readonly [upMs: number, downMs: number]>>
      readonly graceful: boolean
    }

/**
 * A node is there with a probability that follows the hour of the day where it is: `mostShare` at the hour `peakHour` of its
 * region, `leastShare` half a day later, a cosine between.
 */
export interface DiurnalChurn {
  readonly kind: 'diurnal'
  readonly leastShare: number
  readonly mostShare: number
  /** Local solar time, 0 to 24. */
  readonly peakHour: number
  /** Mean stay, while the share does not fall so fast that stays must be shorter. */
  readonly upMs: number
  /** Length of a day. */
  readonly dayMs: number
  readonly graceful: boolean
}

export interface ClientGroup {
  readonly name: string
  readonly count: number
  readonly regions: readonly string[]
  /** Computes the ends. */
  readonly device: ScenarioDevice
  readonly upMbps: Distribution
  readonly downMbps: Distribution
  readonly nat: NatClass
  /** The name of the machine that all of them share. @default each has one of its own, with cores enough */
  readonly machine?: string
  readonly transport: 'ring' | 'star'
  readonly workload: Workload
}

/** Messages that build on each other, in a session of the SDK that keeps its caches from one to the next. */
export interface ScenarioConversation {
  /** Messages of one conversation; it ends before when its context is full. */
  readonly turns: Distribution
  /** From an answer to the next message. */
  readonly thinkMs: Distribution
  /** Share of the answers that the user stops, at a token of it drawn evenly. */
  readonly stopShare: number
  /** Room that the session is asked for. @default the SDK's: 8192, the model's context, or what the nodes have left */
  readonly roomTokens?: number
}

interface WorkloadOfAnyKind {
  /** Of a conversation: of each message. */
  readonly promptTokens: Distribution
  readonly outputTokens: Distribution
  /** Requests, or conversations where there are any. */
  readonly maxRequests: number
  /** @default each request stands alone */
  readonly conversation?: ScenarioConversation
}

/** `closed`: each client asks again `thinkMs` after the last answer. `open`: requests come whatever happens to earlier ones. */
export type Workload = WorkloadOfAnyKind &
  (
    | { readonly kind: 'closed'; readonly startMs: Distribution; readonly thinkMs: Distribution }
    | { readonly kind: 'open'; readonly interArrivalMs: Distribution }
  )

/**
 * What a fault hits: a node or a client by its number in the population, a group, a region, or random nodes drawn from the seed.
 * Clients of a group are hit by `crash` and `freeze`, those of a group or region by `partition` and `corrupt`; all else is done to
 * nodes.
 */
export type FaultTarget =
  | { readonly node: number }
  | { readonly client: number }
  | { readonly group: string }
  | { readonly region: string }
  | { readonly random: number }

/** When a fault happens. */
export interface FaultTimes {
  /** The time; with `repeat`, that from which on it happens. */
  readonly atMs: number
  /** Again and again: the first time is one gap after `atMs`, all are before `untilMs`. */
  readonly repeat?: {
    /** Gaps, drawn from the seed. */
    readonly everyMs: Distribution
    /** @default the end of the duration */
    readonly untilMs?: number
  }
}

export type ScenarioFault = FaultTimes &
  (
    | {
        readonly kind: 'crash'
        readonly target: FaultTarget
        readonly restartAfterMs?: number
        /** `host`: the power goes, and nobody is told. `process`: its host resets its connections. @default 'process' */
        readonly how?: 'process' | 'host'
      }
    | { readonly kind: 'freeze'; readonly target: FaultTarget; readonly forMs: number }
    | { readonly kind: 'slow'; readonly target: FaultTarget; readonly forMs: number; readonly factor: number }
    | { readonly kind: 'lie'; readonly target: FaultTarget; readonly share: number }
    | {
        readonly kind: 'partition'
        readonly forMs: number
        readonly between: readonly [FaultTarget, FaultTarget]
        readonly oneWay: boolean
      }
    | { readonly kind: 'corrupt'; readonly target: FaultTarget; readonly forMs: number; readonly share: number }
    | { readonly kind: 'clock-jump'; readonly target: FaultTarget; readonly byMs: number }
    | { readonly kind: 'full-disk'; readonly target: FaultTarget; readonly forMs: number }
  )

/** A figure of the report, by its name in `figures`, and the bounds it must keep. */
export interface Expectation {
  readonly figure: string
  readonly atLeast?: number
  readonly atMost?: number
}

export interface Scenario {
  readonly name: string
  /** The question that a volunteer or researcher has, which this scenario answers. */
  readonly question: string
  readonly seed: number
  readonly durationMs: number
  /** The hour of the day in UTC at which the run begins, 0 to 24: what `diurnal` churn goes by. */
  readonly startHour: number
  /** After `durationMs` no new requests come, faults end, cuts heal, and what is under way must end within this time. */
  readonly settleMs: number
  readonly model: ScenarioModel
  readonly network: ScenarioNetwork
  readonly regions: readonly ScenarioRegion[]
  /** Those that are shared. @default none */
  readonly machines?: readonly ScenarioMachine[]
  readonly nodes: readonly NodeGroup[]
  readonly clients: readonly ClientGroup[]
  readonly faults: readonly ScenarioFault[]
  /** Wrong results are a violation, unless there is a liar in the chain and this is set. */
  readonly allowLies: boolean
  readonly expect: readonly Expectation[]
}
