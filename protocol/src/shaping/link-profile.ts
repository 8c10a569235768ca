import { describeError, InvalidArgumentError } from '../errors.ts'
import { parsePeerId, type PeerId } from '../ids.ts'

/** A time in which nothing passes, in milliseconds since the profile's start; `to` is exclusive. */
export type Cut = readonly [fromMs: number, toMs: number]

/** How a path to one peer is. */
export interface PathProfile {
  /** Delay of every frame on its way there, in milliseconds. The way back is taken to be as long, until the peer shapes its own. */
  readonly oneWayMs: number
  /**
   * Added to each frame's delay: up to so much, drawn uniformly, or one of these values. Frames of one peer never overtake each
   * other.
   */
  readonly jitterMs: number | readonly number[]
  /** Share of the packets to the peer that are lost: each costs what a retransmission by TCP does. Below 1. */
  readonly lossShare: number
  /**
   * When nothing goes to the peer, ascending and apart. What would leave in a cut does so with TCP's first retransmission after
   * it; a cut of 5 to 15 s or more breaks the connection; in a cut nobody can connect. See `ConnectionCuts`.
   */
  readonly cutsMs: readonly Cut[]
  /** When nothing comes from the peer, which is for its own profile to see to. @default `cutsMs` */
  readonly cutsBackMs: readonly Cut[]
}

/**
 * What a network connection is made to look like: see {@link shapeNetwork}. All fields of the text are optional; a
 * bandwidth that is not said is unlimited.
 */
export interface LinkProfile extends PathProfile {
  /** The line out of this process, shared by all its channels, in 10^6 bits a second. */
  readonly upMbps?: number
  /** The line into this process. */
  readonly downMbps?: number
  /** Round trips that a new connection costs: tcp, noise, yamux, identify. */
  readonly connectRoundTrips: number
  /** When the times of cuts begin, by the wall clock in milliseconds since 1970. @default when the shaping begins */
  readonly startWallMs?: number
  /** What is different for single peers. */
  readonly peers: ReadonlyMap<PeerId, PathProfile>
}

const maxMs = 3_600_000
/** Of a cut: thirty days, as long as a scenario may be. */
const maxCutMs = 30 * 86_400_000
const maxMbps = 1_000_000
/** Of more, next to nothing would ever arrive. */
const maxLossShare = 0.99
const maxJitterValues = 10_000
const pathFields = ['oneWayMs', 'jitterMs', 'lossShare', 'cutsMs', 'cutsBackMs'] as const
const fields = [...pathFields, 'upMbps', 'downMbps', 'connectRoundTrips', 'startWallMs', 'peers'] as const

type Fields = Readonly<Record<string, unknown>>

/**
 * Reads a profile from JSON, such as `{"oneWayMs": 25, "jitterMs": 2, "upMbps": 20, "cutsMs": [[5000, 8000]]}`.
 *
 * @throws InvalidArgumentError that names the field, what it holds and what was expected
 */
export function parseLinkProfile(text: string): LinkProfile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new InvalidArgumentError(`a link profile must be a JSON object such as {"oneWayMs": 25, "upMbps": 20}: ${describeError(error)}`)
  }
  const object = objectOf(value, '', fields)
  const base = pathOf(object, '', { oneWayMs: 0, jitterMs: 0, lossShare: 0, cutsMs: [], cutsBackMs: [] })
  const upMbps = mbps(object, 'upMbps')
  const downMbps = mbps(object, 'downMbps')
  const startWallMs = number(object, '', 'startWallMs', 0, Number.MAX_SAFE_INTEGER)
  return {
    ...base,
    ...(upMbps === undefined ? {} : { upMbps }),
    ...(downMbps === undefined ? {} : { downMbps }),
    ...(startWallMs === undefined ? {} : { startWallMs }),
    connectRoundTrips: number(object, '', 'connectRoundTrips', 0, 100) ?? 4,
    peers: peersOf(object['peers'], base)
  }
}

function peersOf(value: unknown, base: PathProfile): Map<PeerId, PathProfile> {
  const peers = new Map<PeerId, PathProfile>()
  if (value === undefined) return peers
  for (const [name, path] of Object.entries(objectOf(value, 'peers'))) {
    let peer: PeerId
    try {
      peer = parsePeerId(name)
    } catch (error) {
      throw wrong(`peers.${name}`, name, 'a peer id', error)
    }
    const prefix = `peers.${name}.`
    peers.set(peer, pathOf(objectOf(path, `peers.${name}`, pathFields), prefix, base))
  }
  return peers
}

function pathOf(object: Fields, prefix: string, base: PathProfile): PathProfile {
  const own = object['cutsMs'] === undefined ? undefined : cutsOf(object['cutsMs'], `${prefix}cutsMs`)
  const back = object['cutsBackMs'] === undefined ? own : cutsOf(object['cutsBackMs'], `${prefix}cutsBackMs`)
  return {
    oneWayMs: number(object, prefix, 'oneWayMs', 0, maxMs) ?? base.oneWayMs,
    jitterMs: jitterOf(object, prefix) ?? base.jitterMs,
    lossShare: number(object, prefix, 'lossShare', 0, maxLossShare) ?? base.lossShare,
    cutsMs: own ?? base.cutsMs,
    cutsBackMs: back ?? base.cutsBackMs
  }
}

function jitterOf(object: Fields, prefix: string): number | readonly number[] | undefined {
  const value = object['jitterMs']
  if (!Array.isArray(value)) return number(object, prefix, 'jitterMs', 0, maxMs)
  const isGood = (ms: unknown): boolean => typeof ms === 'number' && ms >= 0 && ms <= maxMs
  if (value.length === 0 || value.length > maxJitterValues || !value.every(isGood)) {
    throw wrong(
      `${prefix}jitterMs`,
      value.length > 8 ? `${value.length} values` : value,
      `1 to ${maxJitterValues} values from 0 to ${maxMs}`
    )
  }
  return value as number[]
}

function cutsOf(value: unknown, field: string): Cut[] {
  const expected = 'pairs [fromMs, toMs] that rise and do not touch'
  if (!Array.isArray(value)) throw wrong(field, value, expected)
  let last = -1
  return value.map((cut: unknown) => {
    const [from, to] = Array.isArray(cut) && cut.length === 2 ? (cut as unknown[]) : []
    if (typeof from !== 'number' || typeof to !== 'number' || !(from > last && to > from && to <= maxCutMs))
      throw wrong(field, cut, expected)
    last = to
    return [from, to] as const
  })
}

function mbps(object: Fields, field: string): number | undefined {
  return number(object, '', field, 0.001, maxMbps)
}

function number(object: Fields, prefix: string, field: string, min: number, max: number): number | undefined {
  const value = object[field]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !(value >= min && value <= max))
    throw wrong(`${prefix}${field}`, value, `a number from ${min} to ${max}`)
  return value
}

function objectOf(value: unknown, field: string, known?: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, value, 'a JSON object')
  const unknown = known === undefined ? undefined : Object.keys(value).find((key) => !known.includes(key))
  if (unknown !== undefined) {
    throw new InvalidArgumentError(
      `a link profile has no field '${field === '' ? '' : `${field}.`}${unknown}': there are ${known?.join(', ')}`
    )
  }
  return value as Fields
}

function wrong(field: string, value: unknown, expected: string, cause?: unknown): InvalidArgumentError {
  const what = field === '' ? 'the link profile' : `the field '${field}' of the link profile`
  return new InvalidArgumentError(`${what} is ${JSON.stringify(value)}: expected ${expected}`, cause === undefined ? {} : { cause })
}
