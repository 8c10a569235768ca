import { describeError, InvalidArgumentError } from '../errors.ts'
import { parsePeerId, type PeerId } from '../ids.ts'

/** A time in which nothing arrives, in milliseconds since the shaping began; `to` is exclusive. */
export type Cut = readonly [fromMs: number, toMs: number]

/** How a path to one peer is. */
export interface PathProfile {
  /** Delay of every frame on its way there, in milliseconds. The way back is taken to be as long, until the peer shapes its own. */
  readonly oneWayMs: number
  /** Up to so much is added to each frame's delay, drawn uniformly. Frames of one peer never overtake each other. */
  readonly jitterMs: number
  /** Ascending and apart. What would arrive in a cut arrives at its end, as through a connection that retransmits. */
  readonly cutsMs: readonly Cut[]
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
  /** What is different for single peers. */
  readonly peers: ReadonlyMap<PeerId, PathProfile>
}

const maxMs = 3_600_000
const maxMbps = 1_000_000
const pathFields = ['oneWayMs', 'jitterMs', 'cutsMs'] as const
const fields = [...pathFields, 'upMbps', 'downMbps', 'connectRoundTrips', 'peers'] as const

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
  const base = pathOf(object, '', { oneWayMs: 0, jitterMs: 0, cutsMs: [] })
  const upMbps = mbps(object, 'upMbps')
  const downMbps = mbps(object, 'downMbps')
  return {
    ...base,
    ...(upMbps === undefined ? {} : { upMbps }),
    ...(downMbps === undefined ? {} : { downMbps }),
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
  return {
    oneWayMs: number(object, prefix, 'oneWayMs', 0, maxMs) ?? base.oneWayMs,
    jitterMs: number(object, prefix, 'jitterMs', 0, maxMs) ?? base.jitterMs,
    cutsMs: object['cutsMs'] === undefined ? base.cutsMs : cutsOf(object['cutsMs'], `${prefix}cutsMs`)
  }
}

function cutsOf(value: unknown, field: string): Cut[] {
  const expected = 'pairs [fromMs, toMs] that rise and do not touch'
  if (!Array.isArray(value)) throw wrong(field, value, expected)
  let last = -1
  return value.map((cut: unknown) => {
    const [from, to] = Array.isArray(cut) && cut.length === 2 ? (cut as unknown[]) : []
    if (typeof from !== 'number' || typeof to !== 'number' || !(from > last && to > from && to <= maxMs)) throw wrong(field, cut, expected)
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
