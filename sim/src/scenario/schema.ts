/**
 * A scenario as it is written in YAML. One source for the validation, the published JSON Schema and `skein-sim explain`.
 *
 * @packageDocumentation
 */
import { z } from 'zod'
import { areInOrder } from './churn-trace.ts'
import { distributionOf, duration, numberOf, positive, share, signedDuration, size, wholeNumber } from './fields.ts'
import { numberRanges, scenarioLimits } from './number-ranges.ts'

const name = z
  .string({ error: 'expected a name' })
  .regex(/^[\w][\w .-]{0,63}$/, { error: 'expected a name of letters, digits, dots, dashes and spaces, at most 64 characters' })

const durations = distributionOf('duration')
const rates = distributionOf('rate')
const counts = distributionOf('count')
const factors = distributionOf('factor')

const modelFields = {
  name: name.describe('how reports call it'),
  blocks: numberOf('blocks').describe('transformer blocks'),
  hiddenSize: numberOf('hiddenSize').describe('width of the hidden states'),
  vocabSize: numberOf('vocabSize'),
  contextTokens: numberOf('contextTokens').describe('prompt and answer together may not be longer'),
  weightBytesPerBlock: size.describe('in the dtype that nodes hold: what a step reads from memory'),
  kvBytesPerTokenPerBlock: size.describe('keys and values of one token in one block'),
  flopsPerTokenPerBlock: positive.describe('floating-point operations of one token through one block, without attention over the past'),
  rowBytes: size.describe('one row of activations on a link')
}

const model = z
  .union([
    z.string().describe('a preset'),
    z
      .strictObject({ preset: z.string().describe('where the fields that are not given come from'), ...modelFields })
      .partial()
      .describe('a model of your own: every field, or a preset and what differs from it')
  ])
  .describe('The model that the swarm serves: what it costs to compute, to hold and to send.')

/** From what a microcontroller does to more than any machine. */
const rateError = { error: 'expected a number from 1e3 to 1e18' }
const perSecond = z.number(rateError).min(1e3, rateError).max(1e18, rateError)
const microseconds = z.number().min(0).max(1e9)

const deviceFields = {
  name: name.describe('how reports call it'),
  memoryBandwidthBytesPerSecond: perSecond.describe('reads weights and keys and values'),
  flopsPerSecond: perSecond.describe('multiplies'),
  overheadUsPerBlock: microseconds.describe('fixed cost of a turn in each block, in microseconds'),
  overheadUsPerTurn: microseconds.describe('fixed cost of a turn, in microseconds'),
  overheadNsPerPastRow: z
    .number()
    .min(0)
    .optional()
    .describe('cost of a turn for each token before it, in nanoseconds: software that copies histories; none when not given'),
  overheadUsPerMessage: microseconds
    .optional()
    .describe('what a message costs the process that it comes to, one after another, in microseconds; nothing when not given'),
  overheadNsPerMessageByte: z
    .number()
    .min(0)
    .max(1e9)
    .optional()
    .describe('what it costs besides for each byte of activations, in nanoseconds; nothing when not given'),
  overheadUsPerSession: microseconds
    .optional()
    .describe(
      'what it costs besides to open a session on a stage, at both ends of its control channel, in microseconds; nothing when not given'
    ),
  overheadUsPerLink: microseconds
    .optional()
    .describe('what it costs besides to open a channel for activations, at both ends, in microseconds; nothing when not given'),
  overheadUsAfterPause: microseconds
    .optional()
    .describe('what it costs besides to do anything when the machine has done nothing for 2 ms, in microseconds; nothing when not given'),
  efficiency: z.number().positive().max(1).describe('share of the peak rates that is reached'),
  noise: factors.describe("multiplies each turn's time")
}

const device = z
  .union([
    z.string().describe('a preset'),
    z
      .strictObject({
        preset: z.string().describe('where the fields that are not given come from'),
        file: z.string().min(1).describe('or a device file, as skein-sim calibrate writes it, beside the scenario'),
        ...deviceFields
      })
      .partial()
      .refine(({ preset, file }) => preset === undefined || file === undefined, {
        error: 'expected one of preset and file, or neither',
        path: ['file']
      })
      .describe('a machine of your own: every field, or a preset or a file and what differs from it')
  ])
  .describe('The kind of machine.')

/** A file that holds a device: every field. */
export const deviceSchema = z.strictObject(deviceFields)

const latency = z
  .union([
    duration.transform((oneWayMs) => ({ kind: 'constant' as const, oneWayMs })),
    z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('constant'), oneWay: duration }).transform(({ kind, oneWay }) => ({ kind, oneWayMs: oneWay })),
      z
        .strictObject({
          kind: z.literal('matrix'),
          oneWay: z
            .array(z.array(durations))
            .describe('a row a region, in their order; of a distribution each pair of peers draws one delay for the whole run')
        })
        .transform(({ kind, oneWay }) => ({ kind, oneWayMs: oneWay })),
      z
        .strictObject({
          kind: z.literal('geographic'),
          detour: numberOf('detour').prefault(1.5).describe('length of the cable over the great circle'),
          access: duration.prefault('5ms').describe('added for the two access links')
        })
        .transform(({ kind, detour, access }) => ({ kind, detour, accessMs: access })),
      z
        .strictObject({
          kind: z.literal('measured'),
          dataSet: z.string().optional().describe('a shipped table of round trips, by its name: skein-sim explain datasets'),
          file: z
            .string()
            .min(1)
            .optional()
            .describe(
              'or one of your own beside the scenario: CSV with from, to and rtt in ms, or JSON; several values of a pair are drawn from'
            )
        })
        .refine(({ dataSet, file }) => (dataSet === undefined) !== (file === undefined), { error: 'expected one of dataSet and file' })
    ])
  ])
  .describe('How far apart two peers are, one way: a constant, a matrix of regions, geographic, or a measured table.')

const network = z
  .strictObject({
    latency: latency.prefault('20ms'),
    jitter: durations.prefault(0).describe('Added to each one-way delay.'),
    loss: share.prefault(0).describe('Share of packets lost; each costs a retransmission, as in TCP.'),
    connectRoundTrips: numberOf('connectRoundTrips')
      .prefault(4)
      .describe('Round trips of a new connection: one of TCP, one and a half of noise, the rest of yamux and identify.'),
    holePunching: z
      .boolean()
      .prefault(false)
      .describe(
        "Whether peers leave the relay by libp2p's DCUtR: a peer behind a NAT dials an open one back, and two cones reach each other. " +
          'Production code has none: what begins through a relay stays there.'
      )
  })
  .describe('The internet between the peers.')

const region = z
  .union([z.string(), z.strictObject({ name, latitude: numberOf('latitude'), longitude: numberOf('longitude') })])
  .describe('A place: a preset by name, or one of your own with its coordinates in degrees.')

const machine = z
  .strictObject({
    name: name.describe('How groups call it.'),
    cores: numberOf('cores').describe('So much can be computed on it at a time: what is more shares the cores evenly.')
  })
  .describe('A machine that peers share.')

const nat = z
  .enum(['open', 'cone', 'symmetric'])
  .describe(
    'Who can dial it: anyone (open), or only who goes through a relay (cone and symmetric, which are alike without ' +
      'network.holePunching). With it, both dial an open peer back, and two cones reach each other directly.'
  )

const peerFields = {
  name: name.describe('How faults, overrides and reports call the group.'),
  count: numberOf('count').describe('How many of them.'),
  regions: z.array(z.string()).min(1).optional().describe('Regions that they are spread over in turn; all of them when not given.'),
  up: rates.prefault('20 Mbit/s').describe('Bandwidth of its uplink, which all that it sends shares.'),
  down: rates.prefault('100 Mbit/s').describe('Bandwidth of its downlink.'),
  nat: nat.prefault('open'),
  machine: z.string().optional().describe('The machine of the list `machines` that all of them share; without it each has one of its own.')
}

const spanExpected = 'expected auto, or a span as START:END, such as 0:12'

const span = z
  .union([
    z.literal('auto', { error: spanExpected }),
    z
      .string({ error: spanExpected })
      .regex(/^\d+:\d+$/, { error: spanExpected })
      .transform((text) => {
        const [start = 0, end = 0] = text.split(':').map(Number)
        return { start, end }
      })
  ])
  .describe('The blocks that it hosts: START:END (without END), or auto, which spreads the spans of the group evenly over the model.')

const hour = numberOf('peakHour', 'expected an hour of the day from 0 to 24')
const graceful = z.boolean().prefault(false).describe('Whether it drains before it leaves, or just vanishes.')
/** A share of 0 or 1 would need stays or absences without end. */
const upShare = share.refine((value) => value >= 0.01 && value <= 0.99, { error: 'expected a share from 1 % to 99 %' })

const churn = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('renewal').optional().describe('drawn anew each time; what is meant without a kind'),
      up: durations.describe('How long it stays.'),
      down: durations.describe('How long it is away.'),
      graceful
    }),
    z
      .strictObject({
        kind: z.literal('diurnal').describe('more are there at some hours of their day than at others'),
        least: upShare.describe('Share of the nodes that are there at the quietest hour.'),
        most: upShare.describe('Share at the peak, half a day from it.'),
        peak: hour.prefault(21).describe('Hour of the peak where the node is, by the sun: UTC and the longitude of its region.'),
        up: duration.prefault('3h').describe('Mean stay, where the share does not fall so fast that stays must be shorter.'),
        day: duration.prefault('24h').describe('Length of a day: a shorter one for small runs.'),
        graceful
      })
      .refine(({ least, most }) => least <= most, { error: 'expected most not to be below least', path: ['most'] })
      .refine(({ up, day }) => up > 0 && day >= 1_000, { error: 'expected a stay above 0, and a day of at least 1s', path: ['day'] }),
    z
      .strictObject({
        kind: z.literal('trace').describe('as it was observed'),
        file: z
          .string()
          .min(1)
          .optional()
          .describe('CSV with a header: node, and up and down, between which it is there; beside the scenario'),
        unit: z.string().optional().describe('the unit of bare numbers in the file, such as s; without it they are milliseconds'),
        sessions: z
          .array(z.array(z.tuple([duration, duration])))
          .optional()
          .describe('or, for each node, a list of [from, to]')
          .refine((lists) => lists?.every(areInOrder) ?? true, {
            error: 'expected of each node intervals that follow each other, each with its end after its beginning'
          }),
        graceful
      })
      .refine(({ sessions, file }) => (sessions === undefined) !== (file === undefined), { error: 'expected one of file and sessions' })
  ])
  .describe('When nodes come and go; without it they never leave.')

const nodes = z
  .array(
    z.strictObject({
      ...peerFields,
      relay: z
        .boolean()
        .prefault(false)
        .describe(
          'Whether somebody runs a libp2p relay on its host, by which those behind NATs are reached; skein-node runs none. Needs nat: open.'
        ),
      device,
      span: span.prefault('auto'),
      blocksPerNode: numberOf('blocksPerNode').optional().describe('Length of the span of each; needed with span: auto.'),
      kvTokens: numberOf('kvTokens').prefault(32_768).describe('Room for keys and values, in tokens of all sessions together.'),
      history: size.prefault('512 MB').describe('Room for the activations that it has sent on, for replays.'),
      maxSessions: numberOf('maxSessions').prefault(64).describe('Sessions that it serves at a time.'),
      churn: churn.optional()
    })
  )
  .min(1, { error: 'expected at least one group of nodes' })
  .describe('The volunteers, in groups of one kind.')

const lengths = {
  preset: z
    .string()
    .optional()
    .describe('Lengths of prompts and answers as a published trace has them, unless they are given: skein-sim explain workloads.'),
  promptTokens: counts
    .optional()
    .describe("Length of a prompt; 64, or the preset's, when not given. What is longer than the model's context is clipped to it."),
  outputTokens: counts
    .optional()
    .describe("Length of an answer; 64, or the preset's, when not given; no more than the context has left after the prompt."),
  maxRequests: wholeNumber(1, numberRanges.maxRequests.most)
    .prefault(numberRanges.maxRequests.most)
    .describe('A client stops after so many: requests, or conversations where there are any.'),
  conversation: z
    .strictObject({
      turns: counts.describe("Messages of a conversation; it ends before when the session's room is full."),
      think: durations
        .optional()
        .describe("From an answer to the next message; the workload's think when not given, and 1s where it has none."),
      stop: share
        .prefault(0)
        .describe('Share of the answers that the user stops midway: at a token drawn evenly, or while the prompt is read.'),
      room: numberOf('roomTokens')
        .optional()
        .describe("Tokens that the session has room for; when not given, the SDK's own: 8192, the context, or what the nodes have left.")
    })
    .optional()
    .describe(
      'Requests are conversations, each in one session of the SDK (client.session()): prompts and answers are those of each message, ' +
        'and only what is new is sent. Without it each request stands alone.'
    )
}

const workload = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('closed').describe('each client asks again after the last answer'),
      start: durations.prefault(0).describe('When its first request comes.'),
      think: durations.prefault('1s').describe('From an answer to the next request.'),
      ...lengths
    }),
    z.strictObject({
      kind: z.literal('open').describe('requests come whatever happens to earlier ones'),
      interArrival: durations.describe(
        'From one request of a client to its next; exponential makes a Poisson process, gamma with a cv above 1 bursts.'
      ),
      ...lengths
    })
  ])
  .describe('What the clients ask for, and when.')

const clients = z
  .array(
    z.strictObject({
      ...peerFields,
      device,
      transport: z
        .enum(['ring', 'star'])
        .prefault('ring')
        .describe('Activations go from stage to stage (ring), or through the client each time (star, as Petals does it).'),
      workload
    })
  )
  .min(1, { error: 'expected at least one group of clients' })
  .describe('Who asks: coordinators, in groups of one kind.')

const target = z
  .union([
    z.strictObject({ node: numberOf('node') }),
    z.strictObject({ client: numberOf('client') }),
    z.strictObject({ group: z.string() }),
    z.strictObject({ region: z.string() }),
    z.strictObject({ random: wholeNumber(1, numberRanges.random.most) })
  ])
  .describe(
    'Whom: { node: NUMBER } or { client: NUMBER } in the order of the groups, { group: NAME }, { region: NAME }, or { random: N } nodes, ' +
      'drawn from the seed. Clients by their number or group crash and freeze too; by their region as well they are cut off and their ' +
      'bytes flipped; all else is done to nodes.'
  )

const during = duration.describe('How long.')

const times = {
  at: duration.optional().describe('When, from the start; or give every.'),
  every: durations.optional().describe('Instead of at: again and again with such gaps, a gap before the first time too.'),
  from: duration.optional().describe('With every: when the first gap begins; at the start when not given.'),
  until: duration.optional().describe('With every: not from then on; until the duration ends when not given.')
}

const fault = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('crash').describe('the process ends without a word; what a client was being answered ends unfinished'),
      ...times,
      target,
      restartAfter: duration.optional().describe('Comes back after that; without it, never.'),
      how: z
        .enum(['process', 'host'])
        .optional()
        .describe('Of a process that is killed (process), its host resets the connections; when the power goes (host), nobody is told.')
    }),
    z.strictObject({ kind: z.literal('freeze').describe('answers nothing, holds its connections open'), ...times, target, for: during }),
    z.strictObject({
      kind: z.literal('slow').describe('computes slower'),
      ...times,
      target,
      for: during,
      factor: numberOf('factor').describe('So many times slower.')
    }),
    z.strictObject({ kind: z.literal('lie').describe('sends wrong activations; needs allowLies'), ...times, target, share }),
    z.strictObject({
      kind: z.literal('partition').describe('no packet passes'),
      ...times,
      for: during,
      between: z.tuple([target, target]),
      oneWay: z.boolean().prefault(false).describe('Only from the first to the second.')
    }),
    z.strictObject({
      kind: z.literal('corrupt').describe('flips bytes of what it sends and is sent'),
      ...times,
      target,
      for: during,
      share
    }),
    z.strictObject({
      kind: z.literal('clock-jump').describe('its wall clock jumps'),
      ...times,
      target,
      by: signedDuration.describe('How far; back with a minus.')
    }),
    z.strictObject({ kind: z.literal('full-disk').describe('every write fails'), ...times, target, for: during })
  ])
  .refine(({ at, every }) => at !== undefined || every !== undefined, { error: 'expected a time, or every instead of it', path: ['at'] })
  .refine(({ at, every }) => at === undefined || every === undefined, { error: 'expected one of at and every', path: ['every'] })
  .refine(({ from, every }) => from === undefined || every !== undefined, { error: 'expected with every, not with at', path: ['from'] })
  .refine(({ until, every }) => until === undefined || every !== undefined, { error: 'expected with every, not with at', path: ['until'] })
  .describe('Something that goes wrong.')

const expectations = z
  .record(
    z.string(),
    z
      .strictObject({ atLeast: z.number().optional(), atMost: z.number().optional() })
      .refine(({ atLeast, atMost }) => atLeast !== undefined || atMost !== undefined, { error: 'expected atLeast, atMost or both' })
      .refine(({ atLeast = -Infinity, atMost = Infinity }) => atLeast <= atMost, { error: 'expected atLeast to be at most atMost' })
  )
  .describe(
    'What must come out: figures of the report with bounds, such as completedShare: { atLeast: 1 }. `skein-sim explain figures` lists them.'
  )

/** The whole file. */
export const scenarioSchema = z
  .strictObject({
    name: name.describe('What the scenario is called; that of a shipped one is the name of its file.'),
    question: z.string().min(1).max(500).describe('The question that it answers.'),
    seed: numberOf('seed').prefault(1).describe('All chance of a run comes from it; --seed gives another.'),
    duration: duration.describe('How long requests, churn and faults go on, in virtual time.'),
    startHour: hour.prefault(0).describe('The hour of the day in UTC at which it begins: for diurnal churn.'),
    settle: duration.prefault('2m').describe('After the duration, faults heal, and what is under way must end within this time.'),
    model,
    network: network.prefault({}),
    regions: z.array(region).min(1).max(1000).prefault(['frankfurt']).describe('The places where peers are.'),
    machines: z.array(machine).max(1000).prefault([]).describe('Machines that groups of peers share, by name; all others have their own.'),
    nodes,
    clients,
    faults: z.array(fault).max(scenarioLimits.faults).prefault([]).describe('What goes wrong, beside churn.'),
    allowLies: z.boolean().prefault(false).describe('A wrong answer is no violation when a liar was in the chain.'),
    expect: expectations.prefault({}),
    ci: z
      .strictObject({
        set: z.record(z.string(), z.unknown()).describe('Fields to replace, by their path, such as nodes.homes.count: 10.'),
        expect: expectations.optional().describe('Replaces the expectations of the full size.')
      })
      .optional()
      .describe('A small variant that tests run (--ci).')
  })
  .describe('A scenario of skein-sim.')

/** A scenario that has the right fields with the right types, quantities in base units and presets still by name. */
export type ScenarioInput = z.output<typeof scenarioSchema>

/** The schema for editors, published as `scenarios/schema.json`. */
export function scenarioJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(scenarioSchema, { io: 'input', reused: 'inline' })
  return { ...schema, title: 'skein-sim scenario' }
}
